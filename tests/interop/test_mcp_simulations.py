"""Simulations, their runs, and the memory of an assistant over MCP, by the official client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from typer.testing import CliRunner

from coterie.cli.application import create_application
from coterie.cli.mcp import _simulations_of
from coterie.errors import InvalidSetting, ScenarioError
from coterie.interop.mcp.server import AssistantMcpServer
from coterie.orchestrator import load_scenario, run_scenario
from coterie.orchestrator.assistants.opening import load_assistant, open_assistant
from coterie.orchestrator.assistants.simulations import SimulationTools, host_simulations
from coterie.orchestrator.folder import RunFolder
from tests.conversation.scripted import run
from tests.interop.test_mcp_server import Tasks, task, text_of

WALK = '''
from pathlib import Path
from coterie.orchestrator import Adjustable, RunContext, ScenarioKind, ScenarioParameters, SimulationRun, Summary, Table, adjusted
from coterie.rounds import Graph, Simulation, per_agent
import time

class Parameters(ScenarioParameters):
    days: int = 4
    step: int = 1
    gate: str = ""

class Walk(ScenarioKind[Parameters]):
    """Walkers take steps; with a gate, day 3 waits for a file of that name."""

    parameters = Parameters
    step_name = "day"

    def build(self, parameters, context):
        names = ["ada", "ben"]

        @per_agent
        def walk(turn):
            while parameters.gate and turn.round == 3 and turn.name == "ada" and not Path(parameters.gate).exists():
                time.sleep(0.005)
            turn.intend("set", key=turn.name, value=turn.view[turn.name] + parameters.step)

        world = context.world({**dict.fromkeys(names, 0), "path": list(range(50))})
        return SimulationRun(Simulation(world, names, Graph.chain(walk), seed=parameters.seed), parameters.days)

    def adjustable(self, parameters):
        return {"wind": Adjustable(0.0, 0.0, 9.0)}

    def summarise(self, parameters, record):
        rows = tuple((number, number * 2) for number in range(500))
        return Summary(f"{len(record.steps)} days", {"days": len(record.steps)}, history=Table("course", ("day", "place"), rows))
'''


def walking(folder: Path, name: str = "walk") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "walk.py").write_text(WALK)
    path = folder / f"{name}.toml"
    path.write_text(f'kind = "walk:Walk"\nname = "{name}"\nseed = 3\ndays = 4\n')
    return path


@contextlib.asynccontextmanager
async def served(folder: Path, *scenarios: Path, runs: Path | None = None, **options: Any) -> AsyncIterator[Client]:
    simulations = SimulationTools(runs or folder / "runs", scenarios or [walking(folder)])
    async with host_simulations(simulations, folder / "operations.db") as conversations:
        server = AssistantMcpServer(conversations, name="walk", resources=simulations, talks=False).server
        async with Client(server, **options) as client:
            yield client


async def called(client: Client, name: str, **given: Any) -> Any:
    result = await client.call_tool(name, given)
    assert not result.is_error, text_of(result)
    return json.loads(text_of(result))


async def refused(client: Client, name: str, **given: Any) -> str:
    result = await client.call_tool(name, given)
    assert result.is_error
    return text_of(result)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_simulation_is_run_and_its_record_is_read(tmp_path: Path, mode: str) -> None:
    told: list[tuple[float, str | None]] = []

    async def heard(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, message))

    async def main() -> None:
        async with served(tmp_path, mode=mode) as client:
            names = {each.name for each in (await client.list_tools()).tools}
            assert {"run_simulation", "resume_simulation", "steer_simulation", "run_world", "list_operations"} <= names
            assert "ask_assistant" not in names
            (known,) = await called(client, "list_simulations")
            assert (known["simulation"], known["parameters"]["days"]) == ("walk", 4)
            first = json.loads(text_of(await client.call_tool("run_simulation", {}, progress_callback=heard)))
            assert (first["headline"], first["steps"], first["state"]) == ("4 days", 4, "ended")
            (table,) = first["tables"]
            assert (len(table["rows"]), table["rows_left_out_in_the_middle"]) == (200, 300)
            again = await called(client, "run_simulation", simulation="walk", settings={"step": 2, "days": 3})
            assert again["figures"] == {"days": 3}
            assert again["digest"] != first["digest"]
            listed = await called(client, "list_runs")
            assert {(each["run"], each["steps"]) for each in listed} == {(first["run"], 4), (again["run"], 3)}
            assert (await called(client, "run_result", run=first["run"])) == first
            for round_, place in ((0, 0), (2, 2), (None, 4)):
                world = await called(client, "run_world", run=first["run"], round=round_)
                assert world["world"]["ada"] == place
            world = await called(client, "run_world", run=first["run"], limit=2)
            assert (world["round"], world["keys"], len(world["world"])) == (4, 3, 2)
            world = await called(client, "run_world", run=first["run"], beginning="pa", limit=10)
            assert world["world"]["path"][-1] == "(40 left out)"
            assert "round 9 is not settled" in await refused(client, "run_world", run=first["run"], round=9)
            assert "there is no run '../x'" in await refused(client, "run_world", run="../x")
            assert "there is no simulation 'fly'" in await refused(client, "run_simulation", simulation="fly")
            assert "dayz: no such key" in await refused(client, "run_simulation", settings={"dayz": 1})
            assert "the run has ended" in await refused(client, "steer_simulation", run=first["run"], command="pause")
            assert "give a number from 1" in await refused(client, "run_world", run=first["run"], limit=0)
            uris = [str(each.uri) for each in (await client.list_resources()).resources]
            assert uris[:2] == ["coterie://operations", "coterie://runs"]
            (content,) = (await client.read_resource(f"coterie://runs/{first['run']}")).contents
            assert json.loads(content.text)["digest"] == first["digest"]  # type: ignore[union-attr]
            for gone in ("coterie://runs/gone", "coterie://transcript"):
                with pytest.raises(MCPError, match="there is no"):
                    await client.read_resource(gone)

    run(main, 60.0)
    assert all(message and message.startswith("day ") for _, message in told)


def test_a_long_run_is_a_task_that_is_steered_cancelled_and_resumed(tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    async def ended(client: Client, id_: str) -> dict[str, Any]:
        while (found := await task(client, "tasks/get", id_))["status"] == "working":
            await asyncio.sleep(0.01)
        return found

    async def main() -> None:
        async with served(tmp_path, extensions=[Tasks()]) as client:
            settings = {"settings": {"gate": str(gate)}}
            assert text_of(await client.call_tool("run_simulation", settings)) == "task op-1"
            while "day 2" not in (await task(client, "tasks/get", "op-1")).get("statusMessage", ""):
                await asyncio.sleep(0.01)
            (state,) = await called(client, "list_runs")
            assert (state["state"], state["steps"], state["planned"]) == ("running", 2, 4)
            name = state["run"]
            assert list((await called(client, "run_state", run=name))["adjustable"]) == ["wind"]
            assert (await called(client, "run_world", run=name))["world"]["ada"] == 2
            said = await client.call_tool(
                "steer_simulation", {"run": name, "command": "adjust", "parameter": "wind", "value": 3}
            )
            assert not said.is_error
            cancel = asyncio.create_task(task(client, "tasks/cancel", "op-1"))
            while "cancelling" not in text_of(await client.call_tool("list_operations")):
                await asyncio.sleep(0.01)
            gate.touch()
            await cancel
            assert (await ended(client, "op-1"))["status"] == "cancelled"
            assert (await called(client, "run_state", run=name))["state"] == "stopped"
            if text_of(resumed := await client.call_tool("resume_simulation", {"run": name})).startswith("task"):
                resumed = (await ended(client, text_of(resumed).split()[1]))["result"]
                found = json.loads(resumed["content"][0]["text"])
            else:
                found = json.loads(text_of(resumed))
            assert (found["run"], found["steps"], found["state"]) == (name, 4, "ended")
            plain = await called(client, "run_simulation", settings={"gate": str(gate), "days": 4})
            assert plain["steps"] == 4

    run(main, 60.0)


def test_a_run_that_the_end_of_the_server_cut_off_goes_on_at_the_next_opening(tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    async def begin() -> None:
        async with served(tmp_path, extensions=[Tasks()]) as client:
            assert text_of(await client.call_tool("run_simulation", {"settings": {"gate": str(gate)}})) == "task op-1"
            while "day 2" not in (await task(client, "tasks/get", "op-1")).get("statusMessage", ""):
                await asyncio.sleep(0.01)
            gate.touch()

    async def go_on() -> None:
        async with served(tmp_path, extensions=[Tasks()]) as client:
            while (found := await task(client, "tasks/get", "op-1"))["status"] == "working":
                await asyncio.sleep(0.01)
            result = json.loads(found["result"]["content"][0]["text"])
            assert (result["steps"], result["state"]) == (4, "ended")
            assert len(await called(client, "list_runs")) == 1

    run(begin, 60.0)
    run(go_on, 60.0)


def test_two_scenarios_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(ScenarioError, match="has the name 'walk' too"):
        SimulationTools(tmp_path, [walking(tmp_path / "a"), walking(tmp_path / "b")])


DESK = """
from coterie.models import RuleModel
from coterie.orchestrator import Assistant

def open_desk(place):
    return Assistant(tools=[], model=RuleModel(lambda request: f"you said {request.exchanges[-1].text}"))
"""


def test_an_assistant_serves_its_memory_and_its_simulations(tmp_path: Path) -> None:
    walking(tmp_path)
    (tmp_path / "desk.py").write_text(DESK)
    path = tmp_path / "desk.toml"
    text = 'kind = "conversation"\nname = "desk"\nsimulations = ["walk.toml"]\n[assistant]\nprovider = "desk:open_desk"\n[memory]\n'
    path.write_text(text)

    async def main() -> None:
        with open_assistant(load_assistant(path), tmp_path / "out") as assistant:
            server = AssistantMcpServer(
                assistant.conversations, name="desk", user="ann", resources=assistant.simulations
            ).server
            async with Client(server) as client:
                assert text_of(await client.call_tool("remember", {"text": "Her dog is called Rex."})) == "Remembered."
                assert "Rex" in text_of(await client.call_tool("recall_memory", {"question": "dog"}))
                assert (await called(client, "run_simulation"))["headline"] == "4 days"
                assert text_of(await client.call_tool("ask_assistant", {"message": "hello"})) == "you said hello"
                uris = [str(each.uri) for each in (await client.list_resources()).resources]
                assert uris[:3] == ["coterie://operations", "coterie://transcript", "coterie://runs"]

    run(main, 60.0)
    path.write_text(text.replace("walk.toml", "gone.toml"))
    with pytest.raises(ScenarioError, match=r"gone.toml.*\n.*cannot be read"):
        open_assistant(load_assistant(path), tmp_path / "out")


def test_the_command_serves_a_scenario(tmp_path: Path) -> None:
    path = walking(tmp_path)
    program = "from coterie.cli.application import main; main()"
    arguments = ["-c", program, "mcp", str(path), "--out", str(tmp_path / "runs")]

    async def main() -> None:
        parameters = StdioServerParameters(command=sys.executable, args=arguments)
        async with Client(stdio_client(parameters)) as client:
            made = await called(client, "run_simulation", seed=5)
            assert (made["headline"], made["state"]) == ("4 days", "ended")

    run(main, 60.0)
    assert (tmp_path / "runs" / "mcp" / "walk" / "conversations.db").exists()


def test_a_folder_of_runs_and_a_single_run_are_served_to_look_at(tmp_path: Path) -> None:
    scenario = load_scenario(walking(tmp_path))
    with RunFolder.create(tmp_path / "runs", "walk", "") as folder:
        digest = run_scenario(scenario, folder).digest

    async def main() -> None:
        for place in (tmp_path / "runs", folder.path):
            name, simulations, store = _simulations_of(place, tmp_path / "out")
            assert (name, store) == (place.name, None)
            with host_simulations(simulations) as conversations:
                async with Client(AssistantMcpServer(conversations, name=name, talks=False).server) as client:
                    names = {each.name for each in (await client.list_tools()).tools}
                    assert ("run_simulation" in names, "resume_simulation" in names) == (False, True)
                    assert (await called(client, "run_result", run=folder.path.name))["digest"] == digest

    run(main, 60.0)


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    found = CliRunner().invoke(create_application(), ["mcp", str(tmp_path)])
    assert isinstance(found.exception, InvalidSetting)
    assert "a folder in which runs are" in str(found.exception)
    found = CliRunner().invoke(create_application(), ["mcp", str(walking(tmp_path)), "--model", "openai:x"])
    assert "a simulation has the model of its scenario" in str(found.exception)
