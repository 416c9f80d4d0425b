import functools
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from coterie.errors import JobCancelled, JobExited, JobRaised, JobTimeout, NotSendable, WorkerDied
from coterie.errors.general import RemoteError
from coterie.errors.work import WorkerStartFailed
from coterie.testing import ManualClock, eventually
from coterie.work import Bounds, JobState, ProcessingEngine, Retry, TaskType
from coterie.work.processes.sending import pack

pytestmark = pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="threads serve both where they compute at once"
)
ONE = Bounds(1, 1)


class Unreadable(Exception):
    """Can be pickled, and not be read again."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Unwritable(Exception):
    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


def raise_unreadable() -> None:
    raise Unreadable(1, 2)


def raise_unwritable() -> None:
    raise Unwritable


def return_unwritable() -> object:
    return threading.Lock()


def die_once(marker: str) -> str:
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "lived"


def start_a_child_and_hang(marker: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(marker).write_text(str(child.pid))
    time.sleep(600)


def touch_and_hang(marker: str) -> None:
    Path(marker).touch()
    time.sleep(600)


def test_a_cpu_bound_job_runs_in_another_process() -> None:
    with ProcessingEngine(processes=ONE, cpu_bound={TaskType.LEARNING}) as engine:
        there = engine.submit(os.getpid, type=TaskType.LEARNING).result(30)
        assert there != os.getpid()
        assert engine.submit(os.getpid).result(30) == os.getpid()
        assert engine.submit(os.getpid, type="learning", cpu_bound=False).result(30) == os.getpid()
        assert engine.submit(os.getpid, cpu_bound=True).result(30) == there


def test_a_death_of_a_worker_fails_the_job_and_the_pool_goes_on() -> None:
    with ProcessingEngine(processes=ONE) as engine:
        for function, argument, code in ((os._exit, 3, 3), (signal.raise_signal, signal.SIGSEGV, -signal.SIGSEGV)):
            with pytest.raises(WorkerDied) as caught:
                engine.submit(function, argument, cpu_bound=True).result(30)
            assert caught.value.code == code
        assert engine.submit(math.factorial, 5, cpu_bound=True).result(30) == 120


def test_a_job_whose_worker_died_is_retried_by_its_policy(tmp_path: Path) -> None:
    with ProcessingEngine(processes=ONE) as engine:
        job = engine.submit(die_once, str(tmp_path / "died"), cpu_bound=True, retry=Retry(1, initial=0.0))
        assert job.result(30) == "lived"
        assert "was killed by signal 9" in job.history[0].error


def test_sys_exit_is_a_failure_like_others() -> None:
    with ProcessingEngine(processes=ONE) as engine:
        with pytest.raises(JobExited, match="SystemExit"):
            engine.submit(sys.exit, 3, cpu_bound=True).result(30)
        assert engine.submit(int, cpu_bound=True).result(30) == 0


def test_a_timeout_really_ends_the_job_and_all_that_it_started(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    clock = ManualClock()
    with ProcessingEngine(processes=ONE, clock=clock) as engine:
        job = engine.submit(start_a_child_and_hang, str(marker), cpu_bound=True, timeout=1.0)
        eventually(lambda: marker.exists() and marker.read_text())
        clock.advance(1.0)
        with pytest.raises(JobTimeout) as caught:
            job.result(30)
        assert caught.value.ended
        assert job.state is JobState.TIMED_OUT
        child = int(marker.read_text())
        eventually(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)
        assert engine.submit(int, cpu_bound=True).result(30) == 0


def test_a_killed_attempt_may_be_retried() -> None:
    with ProcessingEngine(processes=ONE) as engine:
        job = engine.submit(time.sleep, 600, cpu_bound=True, timeout=0.1, retry=Retry(2, initial=0.0))
        with pytest.raises(JobTimeout):
            job.result(60)
        assert job.attempts == 3


def test_cancelling_a_job_in_a_process_kills_it(tmp_path: Path) -> None:
    marker = tmp_path / "begun"
    with ProcessingEngine(processes=ONE) as engine:
        job = engine.submit(touch_and_hang, str(marker), cpu_bound=True)
        eventually(marker.exists, 30)
        assert job.cancel()
        with pytest.raises(JobCancelled):
            job.result(30)
        assert job.state is JobState.CANCELLED


def test_a_stop_without_drain_kills_processes(tmp_path: Path) -> None:
    marker = tmp_path / "begun"
    engine = ProcessingEngine(processes=ONE)
    job = engine.submit(touch_and_hang, str(marker), cpu_bound=True)
    eventually(marker.exists, 30)
    report = engine.stop(drain=False, timeout=10.0)
    assert (report.stuck, job.state) == ((), JobState.CANCELLED)
    assert engine.metrics().workers["processes"] == 0


def test_errors_keep_their_type_and_the_remote_traceback() -> None:
    with ProcessingEngine(processes=ONE) as engine:
        with pytest.raises(ZeroDivisionError) as caught:
            engine.submit(divmod, 1, 0, cpu_bound=True).result(30)
        assert isinstance(caught.value.__cause__, RemoteError)
        for function, words in ((raise_unreadable, "Unreadable: 1 and 2"), (raise_unwritable, "Unwritable: holds a lock")):
            with pytest.raises(JobRaised, match=words) as described:
                engine.submit(function, cpu_bound=True).result(30)
            assert function.__name__ in str(described.value.__cause__)


def test_an_unpicklable_result_is_named() -> None:
    with ProcessingEngine(processes=ONE) as engine, pytest.raises(NotSendable, match="the result, a lock"):
        engine.submit(return_unwritable, cpu_bound=True).result(30)


def test_an_unpicklable_call_is_named_at_submission() -> None:
    def local() -> None: ...

    with ProcessingEngine() as engine:
        for submit, words in (
            (lambda: engine.submit(lambda: 1, cpu_bound=True), "lambda cannot be imported by name"),
            (lambda: engine.submit(local, cpu_bound=True), "inside another function"),
            (lambda: engine.submit(functools.partial(local), cpu_bound=True), "inside another function"),
            (lambda: engine.submit(math.hypot, 1, threading.Lock(), cpu_bound=True), "argument 2 of hypot, a lock"),
            (
                lambda: engine.submit(int, keywords={"base": threading.Lock()}, cpu_bound=True),
                "the argument base of int, a lock",
            ),
            (lambda: engine.submit(threading.Lock().acquire, cpu_bound=True), "the function lock.acquire"),
            (lambda: engine.submit(id, {"a": [1, Unwritable()]}, cpu_bound=True), r"because of its \['a'\]\[1\].lock, a lock"),
            (
                lambda: engine.map(lambda _: local(), [1], cpu_bound=True),
                "the function .*lambda> cannot .* cannot be imported by name",
            ),
            (lambda: engine.map(id, [1, threading.Lock()], chunk=2, cpu_bound=True), "argument 2 of id, a lock"),
        ):
            with pytest.raises(NotSendable, match=words):
                submit()
        assert engine.metrics().totals.submitted == 0


def test_arguments_are_pickled_at_submission() -> None:
    board = [3, 1, 2]
    with ProcessingEngine(processes=ONE) as engine:
        job = engine.submit(sorted, board, cpu_bound=True)
        board.append(0)
        assert job.result(30) == [1, 2, 3]
    assert pack(job.call).name == "sorted"


def test_a_map_over_processes_returns_in_order() -> None:
    with ProcessingEngine(processes=Bounds(2, 2)) as engine:
        assert list(engine.map(abs, range(-100, 0), chunk=7, cpu_bound=True)) == list(range(100, 0, -1))


def run(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "program.py"
    path.write_text(code)
    return subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-W", "error", str(path)], capture_output=True, text=True, timeout=50, check=False
    )


def test_functions_of_a_program_itself_can_be_sent(tmp_path: Path) -> None:
    done = run(
        "from coterie.work import ProcessingEngine\n"
        "def double(n): return 2 * n\n"
        "if __name__ == '__main__':\n"
        "    with ProcessingEngine() as engine: print(engine.submit(double, 21, cpu_bound=True).result())\n",
        tmp_path,
    )
    assert (done.stdout, done.stderr) == ("42\n", "")


def test_a_program_without_a_guard_is_told_what_to_do(tmp_path: Path) -> None:
    done = run(
        "from coterie.work import ProcessingEngine\n"
        "with ProcessingEngine() as engine:\n"
        "    print(type(engine.submit(abs, 1, cpu_bound=True).exception()), end='')\n"
        "    error = engine.submit(abs, 1, cpu_bound=True); error.wait(30); print(error.exception())\n",
        tmp_path,
    )
    assert 'if __name__ == "__main__":' in done.stdout


def test_a_program_that_forgets_to_stop_its_engine_ends(tmp_path: Path) -> None:
    done = run(
        "import time\nfrom coterie.work import ProcessingEngine\n"
        "if __name__ == '__main__':\n"
        "    engine = ProcessingEngine(); engine.submit(int, cpu_bound=True).result()\n"
        "    engine.submit(time.sleep, 600, cpu_bound=True); engine.submit(time.sleep, 600); print('over')\n",
        tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "over\n")


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(
        "import os, time\nfrom coterie.work import ProcessingEngine\n"
        "if __name__ == '__main__':\n"
        "    engine = ProcessingEngine()\n"
        "    print(engine.submit(os.getpid, cpu_bound=True).result(), flush=True)\n"
        "    engine.submit(time.sleep, 600, cpu_bound=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True) as parent:  # noqa: S603 - our own
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_session_without_a_file_is_told_that_its_functions_cannot_be_sent() -> None:
    code = (
        "from coterie.work import ProcessingEngine\n"
        "def f(): pass\n"
        "with ProcessingEngine() as engine:\n"
        "    try: engine.submit(f, cpu_bound=True)\n"
        "    except TypeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)  # noqa: S603
    assert "interactive session" in done.stdout


def test_a_program_that_comes_through_a_pipe_can_use_processes() -> None:
    code = (
        "import math\n"
        "from coterie.work import ProcessingEngine\n"
        "def f(): pass\n"
        "with ProcessingEngine() as engine:\n"
        "    print(engine.submit(math.isqrt, 9, cpu_bound=True).result())\n"
        "    try: engine.submit(f, cpu_bound=True)\n"
        "    except TypeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True, timeout=50, check=False)
    assert done.stdout.startswith("3\nthe function f cannot be sent")


def test_a_process_that_cannot_start_fails_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise OSError("no more processes")

    with monkeypatch.context() as patch, ProcessingEngine(processes=ONE) as engine:
        patch.setattr("multiprocessing.context.SpawnProcess.start", refuse)
        job = engine.submit(int, cpu_bound=True)
        with pytest.raises(WorkerStartFailed) as caught:
            job.result(30)
        assert "no more processes" in str(caught.value.__cause__)
        patch.undo()
        # A worker that could not begin was made ready for the next job before it knew better.
        eventually(lambda: engine.submit(int, cpu_bound=True, retry=Retry(1, initial=0.0)).result(30) == 0)


def rest(seconds: object) -> None:
    time.sleep(float(str(seconds)))


def test_a_map_that_fails_to_submit_cancels_its_jobs() -> None:
    with ProcessingEngine(processes=ONE) as engine:
        with pytest.raises(NotSendable):
            engine.map(rest, [60, 60, threading.Lock()], cpu_bound=True)
        eventually(lambda: engine.metrics().totals.cancelled == 2)


def leave() -> None:
    raise SystemExit(3)


def test_an_exception_that_would_end_a_process_is_named_once() -> None:
    with ProcessingEngine(processes=ONE) as engine, pytest.raises(JobExited, match=r"worker: SystemExit\(3\); raise"):
        engine.submit(leave, cpu_bound=True).result(30)
