"""`coterie forget`, and the table `[memory]` of an assistant's scenario."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coterie.cli.application import create_application
from coterie.errors import InvalidSetting, ScenarioError
from coterie.orchestrator.assistants.opening import load_assistant, open_assistant

PROVIDER = """
from coterie.models import ModelReply, RuleModel, ToolCall, ToolResult
from coterie.orchestrator import Assistant

def answer(request):
    last = request.exchanges[-1]
    if isinstance(last, ToolResult):
        return last.content
    if last.text.startswith("remember"):
        return ModelReply(calls=(ToolCall("1", "remember", {"text": last.text[9:]}),))
    return request.instructions

def open_desk(place):
    return Assistant(tools=[], model=RuleModel(answer), instructions="Be brief.")
"""


def scenario(folder: Path, table: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "desk.py").write_text(PROVIDER)
    path = folder / "desk.toml"
    path.write_text(f'kind = "conversation"\nname = "desk"\n[assistant]\nprovider = "desk:open_desk"\n{table}\n')
    return path


def say(path: Path, out: Path, user: str, *texts: str) -> str:
    """Say texts in a new conversation of a user, and return the last answer: the instructions that the model saw."""
    with open_assistant(load_assistant(path), out) as assistant:
        chat = assistant.conversations.open(("chat", user, texts[0]), user=user)

        async def main() -> str:
            return [await chat.send(each).answer() for each in texts][-1]

        return asyncio.run(asyncio.wait_for(main(), 30))


def test_the_table_memory_recalls_what_earlier_conversations_left(tmp_path: Path) -> None:
    path = scenario(tmp_path, "[memory]\nrecall = 1\nnewest = true\nsummarise = false")
    out = tmp_path / "runs" / "desk"
    say(path, out, "ann", "remember her dog is called Rex", "remember she lives in Rome")
    assert (out / "memory.db").exists()
    known = say(path, out, "ann", "hello")
    assert ("Rome" in known, "Rex" in known) == (True, False)
    assert "Rome" not in say(path, out, "ben", "hello")
    without = scenario(tmp_path / "without", "")
    say(without, tmp_path / "other", "ann", "hello")
    assert not (tmp_path / "other" / "memory.db").exists()


@pytest.mark.parametrize(
    ("table", "problem"),
    [("recall = 0", "memory.recall"), ("recal = 1", "did you mean 'recall'"), ("newest = 'yes'", "memory.newest")],
)
def test_a_mistake_in_the_table_memory_names_its_key(tmp_path: Path, table: str, problem: str) -> None:
    with pytest.raises(ScenarioError, match=problem):
        load_assistant(scenario(tmp_path, f"[memory]\n{table}"))


def test_forget_deletes_a_user_in_all_assistants(tmp_path: Path) -> None:
    path = scenario(tmp_path, "[memory]\nsummarise = false")
    runs = tmp_path / "runs"
    for out in (runs / "one", runs / "two"):
        for user in ("ann", "ben"):
            say(path, out, user, f"remember {user} has a blue door")
    command = create_application()
    refused = CliRunner().invoke(command, ["forget", "ann", "--out", str(runs)], input="n\n")
    assert refused.exit_code == 1
    done = CliRunner().invoke(command, ["forget", "ann", "--out", str(runs), "--yes"])
    assert done.exit_code == 0, done.output
    assert done.output.count("1 conversations, 1 memories deleted") == 2
    left = b"".join(each.read_bytes() for each in runs.rglob("*.db*"))
    assert b"ann has" not in left
    assert b"ben has" in left
    assert "blue door" in say(path, runs / "one", "ben", "the blue door")
    for arguments in (["forget", "ann", "--out", str(tmp_path / "no"), "--yes"], ["forget", "", "--out", str(runs), "--yes"]):
        assert isinstance(CliRunner().invoke(command, arguments).exception, InvalidSetting)
