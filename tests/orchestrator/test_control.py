"""A run follows commands that come through its folder, from this process or another."""

from pathlib import Path

import pytest

from coterie.concurrency import start_thread
from coterie.errors.orchestrator import CommandRefused, RunStopped, RunUnknown
from coterie.orchestrator import RunCommand, load_scenario, replay_run, run_scenario, run_status, send_command
from coterie.orchestrator.control import STATUS
from coterie.orchestrator.folder import RunFolder
from coterie.rounds import Simulation
from coterie.testing import eventually

FISHING = Path(__file__).parents[2] / "examples/commons/fishing.toml"


class PausedRun:
    """A run of the fishers on a thread, paused before its first month."""

    def __init__(self, parent: Path) -> None:
        self.scenario = load_scenario(FISHING)
        self.folder = RunFolder.create(parent, "fishing", FISHING.read_text())
        self.path = self.folder.path
        self.months: list[int] = []
        self.error: BaseException | None = None
        self.live: list[object] = []
        self.thread = start_thread(self._run, "paused-run")
        self.wait_for("paused", 0)

    def _run(self) -> None:
        try:
            with self.folder:
                run_scenario(self.scenario, self.folder, self._step, paused=True, on_live=self.live.append)
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def _step(self, step: object) -> None:
        self.months.append(step.number)  # type: ignore[attr-defined]

    def send(self, command: str, name: str = "", value: float | None = None) -> None:
        send_command(self.path, RunCommand(command, name, value, by="test"))  # type: ignore[arg-type]

    def wait_for(self, state: str, months: int) -> None:
        def there() -> bool:
            status = run_status(self.path) if (self.path / STATUS).is_file() else None
            return status is not None and status.state == state and len(self.months) == months

        eventually(there, timeout=20)

    def end(self) -> None:
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture
def run(tmp_path: Path) -> PausedRun:
    return PausedRun(tmp_path)


def test_a_run_is_stepped_adjusted_and_let_go_on_and_its_replay_is_the_same(run: PausedRun) -> None:
    assert isinstance(run.live[0], Simulation)
    run.send("step")
    run.wait_for("paused", 1)
    run.send("step")
    run.wait_for("paused", 2)
    run.send("adjust", "lake.growth", 1.0)
    run.send("go on")
    run.end()
    assert run.error is None
    assert len(run.months) < 12, "a lake that does not grow collapses"
    status = run_status(run.path)
    assert status is not None
    assert (status.state, status.live) == ("ended", False)
    replayed = replay_run(run.path)
    assert replayed.digest
    assert run.live[0].runtime is not None
    assert run.live[0].timeline(5)[-1].round == len(run.months)


def test_a_running_run_pauses_and_a_stopped_one_can_be_resumed(run: PausedRun) -> None:
    run.send("step")
    run.wait_for("paused", 1)
    run.send("stop")
    run.end()
    assert isinstance(run.error, RunStopped)
    status = run_status(run.path)
    assert status is not None
    assert status.state == "stopped"
    with pytest.raises(CommandRefused, match="has stopped"):
        run.send("pause")
    with RunFolder.open(run.path) as folder:
        resumed = run_scenario(run.scenario.of_run(run.path), folder, resume=True)
    assert (len(resumed.steps), resumed.digest) == (12, run_scenario(run.scenario).digest)


def test_a_parameter_that_is_not_adjustable_and_a_value_out_of_its_bounds_are_refused(run: PausedRun) -> None:
    with pytest.raises(CommandRefused, match=r"'lake.stock' as adjustable, only lake.growth, lake.collapse_below"):
        run.send("adjust", "lake.stock", 1)
    with pytest.raises(CommandRefused, match=r"lake.growth must be a number from 1 to 1000"):
        run.send("adjust", "lake.growth", 0.5)
    with pytest.raises(CommandRefused, match="must be a number"):
        run.send("adjust", "lake.growth")
    run.send("go on")
    run.end()


def test_a_killed_run_is_interrupted_and_a_folder_of_no_run_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(RunUnknown, match="there is no"):
        run_status(tmp_path)
    (tmp_path / STATUS).write_text('{"state": "running", "pid": 1, "began": 1.0}')
    status = run_status(tmp_path)
    assert status is not None
    assert status.state == "interrupted"
    (tmp_path / STATUS).write_text("{")
    with pytest.raises(RunUnknown, match="cannot be read"):
        run_status(tmp_path)
