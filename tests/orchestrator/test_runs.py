"""What is done with the folder of a run: shown while the run goes on, and not resumed under other rules."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from coterie.errors import CheckpointMissing
from coterie.orchestrator import load_run, load_scenario, run_scenario
from coterie.orchestrator.folder import SCENARIO, RunFolder
from coterie.orchestrator.plots import timeline
from coterie.orchestrator.running import scenario_of_run
from coterie.rounds.engine.timeline import Span

FILE = Path(__file__).parents[2] / "examples" / "epidemic" / "epidemic.toml"
HOLD = "import sys; from coterie.world import EventLog; log = EventLog(sys.argv[1]); print('held', flush=True); input()"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with RunFolder.create(tmp_path, "epidemic", FILE.read_text()) as folder:
        run_scenario(load_scenario(FILE), folder)
    return folder.path


def test_a_run_that_goes_on_in_another_process_is_shown(run: Path) -> None:
    _, ended = load_run(run)
    process = subprocess.Popen(  # noqa: S603 - our own
        [sys.executable, "-c", HOLD, str(run / "run.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        _, record = load_run(run)
    finally:
        process.communicate(b"\n", timeout=10)
    assert record.steps == ended.steps
    assert (record.running, record.finished) == (True, False)
    assert (ended.running, ended.finished) == (False, True)


def test_a_run_is_not_resumed_under_other_rules(run: Path) -> None:
    file = run / SCENARIO
    whole = json.loads(file.read_text())
    number = next(key for key, value in whole.items() if type(value) is int and key != "seed")
    file.write_text(json.dumps({**whole, "description": "other words"}))
    with RunFolder.open(run) as folder:
        again = run_scenario(scenario_of_run(run), folder, resume=True)
    assert again.finished
    file.write_text(json.dumps({**whole, number: whole[number] + 1}))
    with RunFolder.open(run) as folder, pytest.raises(CheckpointMissing, match="rules were changed"):
        run_scenario(scenario_of_run(run), folder, resume=True)


def test_a_large_time_line_shows_some_agents_over_all_rounds_and_names_the_omission() -> None:
    spans = [Span(f"a{agent}", number, "act", number, number + 0.5) for number in range(1, 9) for agent in range(800)]
    spans += [Span(f"a{agent}", number, "act", number + 0.5, number + 1, "a799") for number in (1, 8) for agent in range(799)]
    drawn = timeline(spans, 8)
    assert "60 of 800 agents" in drawn
    assert ">a799<" in drawn
    assert "rounds" not in drawn
    few = timeline([span for span in spans if span.agent in ("a1", "a2")], 8)
    assert "agents:" not in few


def test_a_time_line_names_its_rounds() -> None:
    spans = [Span("a", number // 100 + 1, "act", number, number + 1) for number in range(6_000)]
    assert "rounds 1 to 40 of 60" in timeline(spans, 60)
    assert "rounds 1 to 60 of 99" in timeline(spans[::2], 99)
