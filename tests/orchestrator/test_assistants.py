"""Scenarios of kind conversation: checked whole, with the code that they name, and opened."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from coterie.conversation import Conversations
from coterie.errors import ScenarioError
from coterie.errors.orchestrator import RunUnknown
from coterie.memory import TieredMemory
from coterie.models import ModelGateway
from coterie.orchestrator import load_scenario
from coterie.orchestrator.assistants.opening import ChatFolder, load_assistant, open_assistant
from coterie.orchestrator.assistants.servers import make_servers
from coterie.testing.models import ModelServer

PROVIDER = """
from pydantic import BaseModel, Field
from coterie.models import RuleModel
from coterie.orchestrator import Assistant

class Settings(BaseModel):
    model_config = {"extra": "forbid"}
    colour: str = "red"
    size: int = Field(default=1, ge=1)

def plain(place):
    return Assistant(tools=[], model=RuleModel(lambda request: "plain"))

def with_settings(place, settings: Settings):
    closed = lambda: place.notice("closed")
    return Assistant(tools=[], model=RuleModel(lambda request: settings.colour), close=closed)

def no_model(place):
    return Assistant(tools=[])

def nothing(place):
    return None

def broken(place):
    raise RuntimeError("out of paper")

def untyped(place, settings):
    return None

def many(place, a, b):
    return None

VALUE = 3
"""


def write(folder: Path, provider: str = "code:plain", more: str = "", head: str = "") -> Path:
    (folder / "code.py").write_text(PROVIDER)
    path = folder / "scenario.toml"
    path.write_text(f'kind = "conversation"\nname = "test"\n{head}\n[assistant]\nprovider = "{provider}"\n{more}\n')
    return path


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"provider": "code"}, "assistant.provider: 'code' names no function; write module:function"),
        ({"provider": "../code:plain"}, "names no function"),
        ({"provider": "os:system"}, "assistant.provider: there is no os.py and no package os beside the scenario file"),
        ({"provider": "code:unknown"}, "has no function unknown"),
        ({"provider": "code:VALUE"}, "has no function VALUE"),
        ({"provider": "code:untyped"}, "settings of untyped has no type; annotate it"),
        ({"provider": "code:many"}, "many takes 3 arguments"),
        ({"more": "[settings]\nx = 1"}, "settings.x: the provider takes no settings; remove it"),
        (
            {"provider": "code:with_settings", "more": "[settings]\ncolor = 'blue'"},
            "settings.color: no such key; did you mean 'colour'?",
        ),
        (
            {"provider": "code:with_settings", "more": "[settings]\nsize = 0"},
            "settings.size: 0 is out of range; it must be at least 1",
        ),
        ({"head": "descripton = 'x'"}, "descripton: no such key; did you mean 'description'?"),
        ({"more": "[conversation]\npatience = -1"}, "conversation.patience"),
        ({"more": "[conversation]\npatience = 'long'"}, "conversation.patience: 'long' is not possible; it must be a number"),
        ({"more": "[conversation]\npatients = 1"}, "conversation.patients: no such key; did you mean 'patience'?"),
        ({"more": "[conversation]\nsteps = 1.5"}, "conversation.steps"),
        ({"more": "[model]\nname = ''"}, "model.name: '' is not possible; it must be text that is not empty"),
        ({"more": "[broken"}, "it is not TOML"),
    ],
)
def test_a_mistake_names_its_key_and_the_remedy(tmp_path: Path, arguments: dict[str, str], line: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_assistant(write(tmp_path, **arguments))
    assert line in str(caught.value)


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_assistant(write(tmp_path, head="nam = 1", more="[model]\nnme = 1\n[conversation]\nstep = 1"))
    assert len(caught.value.problems) == 3


def test_a_scenario_of_another_kind_is_sent_to_the_right_command(tmp_path: Path) -> None:
    commons = Path(__file__).parents[2] / "examples" / "commons" / "fishing.toml"
    with pytest.raises(ScenarioError, match="use `coterie run`"):
        load_assistant(commons)
    with pytest.raises(ScenarioError, match="use `coterie chat`"):
        load_scenario(write(tmp_path))


def answer(path: Path, notice: Callable[[str], None] = lambda _: None) -> str:
    with open_assistant(load_assistant(path), path.parent / "data", notice=notice) as assistant:
        return asyncio.run(assistant.conversations.open("chat").send("hello").answer())


def test_settings_reach_the_provider_which_is_closed_at_the_end(tmp_path: Path) -> None:
    notices: list[str] = []
    path = write(tmp_path, "code:with_settings", "[settings]\ncolour = 'blue'")
    assert answer(path, notices.append) == "blue"
    assert notices == ["closed"]


def test_two_scenarios_may_use_one_name_for_different_code(tmp_path: Path) -> None:
    for word in ("one", "two"):
        (tmp_path / word).mkdir()
        path = write(tmp_path / word)
        (tmp_path / word / "code.py").write_text(PROVIDER.replace('"plain"', f'"{word}"'))
        assert answer(path) == word


@pytest.mark.parametrize(
    ("provider", "line"),
    [
        ("nothing", "it returned a NoneType; it is to return a coterie.orchestrator.Assistant"),
        ("broken", "assistant.provider: code:broken failed: RuntimeError: out of paper"),
        ("no_model", "model.name: this assistant brings no rules; name a model"),
    ],
)
def test_a_failing_provider_is_reported(tmp_path: Path, provider: str, line: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        answer(write(tmp_path, f"code:{provider}"))
    assert line in str(caught.value)


def test_code_that_cannot_be_imported_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "code.py").write_text("import nothing_of_that_name")
    with pytest.raises(ScenarioError, match="cannot be loaded: ModuleNotFoundError"):
        load_assistant(path)
    (tmp_path / "code.py").write_text(PROVIDER)
    assert answer(path) == "plain"


def test_the_latest_conversation_of_each_user_is_remembered(tmp_path: Path) -> None:
    folder = ChatFolder(tmp_path)
    with pytest.raises(RunUnknown, match="alice has no conversation to resume"):
        folder.choose("alice", None, resume=True)
    first = folder.choose("alice", None, resume=False)
    assert folder.choose("alice", "named", resume=True) == "named"
    folder.remember("alice", first)
    folder.remember("bob", "his")
    assert folder.choose("alice", None, resume=True) == first
    assert ChatFolder(tmp_path).choose("bob", None, resume=True) == "his"
    (tmp_path / "latest.json").write_text("damaged")
    assert folder.choose("bob", "his", resume=True) == "his"


def test_all_mistakes_of_a_scenario_come_in_one_message(tmp_path: Path) -> None:
    more = """
[model]
name = ""
[conversation]
patience = -1
steps = 0
history = "many"
[settings]
size = 0
colours = "red"
"""
    path = write(tmp_path, "code:with_settings", more, head="versoin = 2")
    with pytest.raises(ScenarioError) as caught:
        load_assistant(path)
    lines = str(caught.value)
    for key in ("versoin", "model.name", "patience", "steps", "conversation.history", "settings.size", "settings.colours"):
        assert lines.count(key) == 1, (key, lines)
    with pytest.raises(ScenarioError) as caught:
        load_assistant(write(tmp_path, "code:absent", more))
    assert "assistant.provider" in str(caught.value)
    assert "patience" in str(caught.value)


SERVER = """
[mcp.files]
command = "server"
environment = { TOKEN = "$FILES_TOKEN" }
[mcp.files.default]
confirm = true
[mcp.files.tools.read]
effect = "read"
resources = ["file {path}"]
"""


def test_the_servers_of_a_scenario_have_their_rules_and_secrets_from_the_environment(tmp_path: Path) -> None:
    loaded = load_assistant(write(tmp_path, more=SERVER))
    (server,) = make_servers(loaded.path, loaded.scenario.mcp, {"FILES_TOKEN": "sesame"})
    assert (server.environment, server.folder) == ({"TOKEN": "sesame"}, tmp_path)
    assert server.policies["read"].resources == ("file {path}",)
    assert server.policy.confirm is True
    assert "sesame" not in repr(server)
    with pytest.raises(ScenarioError, match=r"mcp\.files\.environment\.TOKEN: the variable FILES_TOKEN is not set"):
        make_servers(loaded.path, loaded.scenario.mcp, {})


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ('[mcp.x]\ncommand = "a"\nurl = "http://b"', "give a command, or a url, and not both"),
        ('[mcp.x]\ncommand = "a"\n[mcp.x.default]\neffect = "reads"', "McpToolPolicy.effect='reads': need one of read, write"),
        ('[mcp.x]\ncommand = "a"\nport = 3', "mcp.x.port"),
    ],
)
def test_a_wrong_server_of_a_scenario_is_named(tmp_path: Path, table: str, line: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        load_assistant(write(tmp_path, more=table))
    assert line in str(refused.value)


def test_the_parts_for_a_console_are_the_conversations_the_gateway_and_the_memory(tmp_path: Path) -> None:
    path = write(tmp_path, more="[memory]")
    with open_assistant(load_assistant(path), tmp_path / "rules") as assistant:
        assert [type(part) for part in assistant.parts] == [Conversations, TieredMemory]
    with (
        ModelServer() as server,
        open_assistant(load_assistant(path), tmp_path / "model", model="ollama:any", base_url=server.url) as assistant,
    ):
        assert [type(part) for part in assistant.parts] == [Conversations, ModelGateway, TieredMemory]
