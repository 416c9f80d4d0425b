"""Kinds of scenarios: found beside the file, importable, or by an entry point; and a user's own works with all commands."""

import csv
import re
import shutil
from pathlib import Path

import pytest

from coterie.errors import ReplayDiverged, ScenarioError
from coterie.errors.orchestrator import RunUnknown
from coterie.orchestrator import compare, load_run, load_scenario, replay_run, run_scenario, write_report
from coterie.orchestrator.folder import RunFolder
from coterie.orchestrator.scenario import check_scenario
from tests.cli.test_run import coterie

EPIDEMIC = Path(__file__).parents[2] / "examples" / "epidemic"
FILE = EPIDEMIC / "epidemic.toml"

CALLABLE = """
from coterie.orchestrator import ScenarioKind, ScenarioParameters, Summary

class Parameters(ScenarioParameters):
    count: int = 3

class Counting(ScenarioKind[Parameters]):
    parameters = Parameters

    def build(self, parameters, context):
        def count():
            for number in range(parameters.count):
                context.step({"number": number})
            return {"last": parameters.count}
        return count

    def summarise(self, parameters, record):
        return Summary(f"counted to {len(record.steps)}", figures={"steps": len(record.steps)})
"""
MEETING = """
from coterie import Agent, on
from coterie.meetings import Accept, Invitation, MaxTurns, Meetings, RoundRobin, YourTurn
from coterie.orchestrator import MeetingRun, ScenarioKind, ScenarioParameters, Summary

class Speaker(Agent):
    @on
    def invited(self, message: Invitation) -> Accept:
        return Accept()

    @on
    async def speak(self, message: YourTurn) -> None:
        await self.context.use(Meetings).meeting(message.meeting).say({"greeting": "hello"})

class Greeting(ScenarioKind[ScenarioParameters]):
    parameters = ScenarioParameters

    def build(self, parameters, context):
        members = {"ada": (Speaker, ()), "ben": (Speaker, ())}
        return MeetingRun("greetings", members, RoundRobin(order=("ada", "ben")), MaxTurns(4))

    def summarise(self, parameters, record):
        return Summary(f"{len(record.steps)} greetings")
"""


def digest_in(text: str) -> str:
    found = re.search(r"digest ([0-9a-f]{64})", text)
    assert found is not None
    return found[1]


def test_a_kind_beside_its_file_is_run_shown_replayed_and_resumed(tmp_path: Path) -> None:
    out, err = coterie("run", FILE, "--out", tmp_path / "runs")
    assert err == ""
    assert "day 1: " in out
    assert "of 20 fell ill" in out
    (folder,) = (tmp_path / "runs").iterdir()
    digest = digest_in(out)
    page = (folder / "report.html").read_text()
    assert digest in page
    assert "New cases" in page
    assert page.count("<svg") == 2
    assert digest_in(coterie("show", folder)[0]) == digest
    assert digest_in(coterie("replay", folder)[0]) == digest
    assert digest_in(coterie("resume", folder, "-q", "--no-report")[0]) == digest


def test_a_kind_beside_its_file_is_compared_and_swept(tmp_path: Path) -> None:
    compared = coterie("compare", FILE)[0]
    assert all(mode in compared for mode in ("lockstep", "sync_points", "pipelines", "tokens"))
    table = tmp_path / "sweep.csv"
    coterie("sweep", FILE, "--set", "contacts=1,3", "--seeds", "1..2", "--out", table)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["contacts"] for row in rows] == ["1", "1", "3", "3"]
    assert all(row["ill"] and not row["error"] for row in rows)


def test_mistakes_in_the_parameters_of_an_own_kind_are_reported_at_once(tmp_path: Path) -> None:
    shutil.copy(EPIDEMIC / "epidemic.py", tmp_path)
    (tmp_path / "x.toml").write_text('kind = "epidemic:Epidemic"\nname = "x"\ndays = "8"\npeopel = 3\ncontacts = -1\n')
    with pytest.raises(ScenarioError) as caught:
        load_scenario(tmp_path / "x.toml")
    assert set(caught.value.problems) == {
        "days: '8' is not possible; it must be a whole number",
        "peopel: no such key; did you mean 'people'?",
        "contacts: -1 is out of range; it must be at least 0",
    }


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("nowhere:Kind", "there is no module 'nowhere' in"),
        ("coterie.world:Nothing", "coterie.world has no class Nothing"),
        ("coterie.world:World", "is not a subclass of coterie.orchestrator.ScenarioKind"),
        ("broken:Kind", "broken.py cannot be loaded: ZeroDivisionError"),
        ("needs:Kind", "needs cannot be loaded: ModuleNotFoundError: No module named 'not_installed'; install it"),
        ("half:Half", "does not define build, summarise; add it"),
        (":Kind", "names no class; write 'module:Class'"),
        (7, "7 is not possible; it must be text"),
    ],
)
def test_a_kind_that_cannot_be_had_gets_one_clear_error(reference: object, problem: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "needs.py").write_text("import not_installed")
    (tmp_path / "half.py").write_text(
        "from coterie.orchestrator import ScenarioKind, ScenarioParameters\n"
        "class Half(ScenarioKind):\n    parameters = ScenarioParameters\n"
    )
    with pytest.raises(ScenarioError) as caught:
        check_scenario({"kind": reference, "name": "x"}, tmp_path / "x.toml")
    assert len(caught.value.problems) == 1
    assert problem in caught.value.problems[0]


def test_an_importable_module_is_found_too() -> None:
    scenario = check_scenario(
        {"kind": "coterie_examples.tic_tac_toe.kind:TicTacToeKind", "name": "x", "games": [game()]}, "elsewhere/x.toml"
    )
    assert run_scenario(scenario).steps[0].result == "draw"


def game() -> dict[str, object]:
    return {"name": "a", "x": {"rule": "perfect"}, "o": {"rule": "perfect"}}


@pytest.mark.parametrize(("code", "kind", "steps"), [(CALLABLE, "Counting", 3), (MEETING, "Greeting", 4)])
def test_a_callable_and_a_meeting_are_run_recorded_and_replayed(code: str, kind: str, steps: int, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(code)
    (tmp_path / "x.toml").write_text(f'kind = "own:{kind}"\nname = "x"\n')
    scenario = load_scenario(tmp_path / "x.toml")
    with RunFolder.create(tmp_path / "runs", "x", "") as folder:
        record = run_scenario(scenario, folder)
    assert len(record.steps) == steps
    found = load_run(folder.path)[1]
    assert (found.steps, found.digest, found.finished) == (record.steps, record.digest, True)
    assert replay_run(folder.path).digest == record.digest
    assert record.digest in write_report(folder.path).read_text()
    events = (folder.path / "events.jsonl").read_text().splitlines()
    (folder.path / "events.jsonl").write_text("\n".join(events[:-1]))
    with pytest.raises(RunUnknown, match="resume it first"):
        replay_run(folder.path)


def test_a_callable_that_depends_on_more_than_its_parameters_is_found(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        CALLABLE.replace('"number": number', '"number": id(object()), "time": __import__("time").perf_counter()')
    )
    (tmp_path / "x.toml").write_text('kind = "own:Counting"\nname = "x"\n')
    with RunFolder.create(tmp_path / "runs", "x", "") as folder:
        run_scenario(load_scenario(tmp_path / "x.toml"), folder)
    with pytest.raises(ReplayDiverged):
        replay_run(folder.path)


TWO_STAGES = """
from coterie.orchestrator import ScenarioKind, ScenarioParameters, SimulationRun, Summary
from coterie.rounds import Graph, Simulation, commit

class Parameters(ScenarioParameters):
    mode: str = "sync_points"

class Walk(ScenarioKind[Parameters]):
    parameters = Parameters

    def build(self, parameters, context):
        def one(turn): turn.intend("add", key="n", amount=1)
        def two(turn): turn.intend("add", key="n", amount=turn.view["n"])
        world = context.world({"n": 0})
        return SimulationRun(Simulation(world, ["a"], Graph.chain(one, commit, two), mode=parameters.mode), 2)

    def summarise(self, parameters, record):
        return Summary("walked")
"""


def test_a_comparison_leaves_out_a_mode_that_the_graph_of_a_kind_refuses(tmp_path: Path) -> None:
    (tmp_path / "walk.py").write_text(TWO_STAGES)
    (tmp_path / "walk.toml").write_text('kind = "walk:Walk"\nname = "walk"\n')
    runs = list(compare(load_scenario(tmp_path / "walk.toml")))
    assert [run.mode for run in runs] == ["lockstep", "sync_points", "pipelines"]
    assert len({run.record.digest for run in runs}) == 1
