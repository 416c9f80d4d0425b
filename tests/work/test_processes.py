import ctypes
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

from coterie.errors import JobCancelled, JobExited, JobTimeout, NotSendable, WorkerDied
from coterie.errors.work import WorkerStartFailed
from coterie.testing import ManualClock, eventually
from coterie.work import Bounds, JobState, ProcessingEngine, Retry, TaskType
from coterie.work.jobs import Call
from coterie.work.processes import ProcessRunner, pack

pytestmark = pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="threads serve both where they compute at once"
)
ONE = Bounds(1, 1)


class Unwritable(Exception):
    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


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


def test_a_program_without_a_main_guard_gets_an_error_with_the_remedy(tmp_path: Path) -> None:
    done = run(
        "from coterie.work import ProcessingEngine\n"
        "with ProcessingEngine() as engine:\n"
        "    print(type(engine.submit(abs, 1, cpu_bound=True).exception()), end='')\n"
        "    error = engine.submit(abs, 1, cpu_bound=True); error.wait(30); print(error.exception())\n",
        tmp_path,
    )
    assert 'if __name__ == "__main__":' in done.stdout


def test_a_program_that_forgets_to_stop_its_engine_ends_and_tells_what_it_lost(tmp_path: Path) -> None:
    done = run(
        "import time\nfrom coterie.work import ProcessingEngine\n"
        "if __name__ == '__main__':\n"
        "    engine = ProcessingEngine(exit_timeout=0.1); engine.submit(int, cpu_bound=True).result()\n"
        "    engine.submit(time.sleep, 600, cpu_bound=True); engine.submit(time.sleep, 600); print('over')\n",
        tmp_path,
    )
    assert (done.returncode, done.stdout) == (1, "over\n")
    assert "2 jobs of processing, not done within 0.1 s: sleep (2)" in done.stderr


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


GROUP = """
import ctypes, os, subprocess, sys, time
from coterie.work import ProcessingEngine

def hang(path):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(path + ".new", "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    os.rename(path + ".new", path)
    ctypes.PyDLL(None).sleep(600)  # it keeps the interpreter's lock

if __name__ == "__main__":
    engine = ProcessingEngine()
    engine.submit(hang, sys.argv[1], cpu_bound=True)
    time.sleep(600)
"""


def ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_processes_that_jobs_started_end_when_the_parent_is_killed_and_no_python_can_run(tmp_path: Path) -> None:
    program, marker = tmp_path / "program.py", tmp_path / "pids"
    program.write_text(GROUP)
    with subprocess.Popen([sys.executable, str(program), str(marker)]) as parent:  # noqa: S603 - our own
        eventually(marker.exists, 30)
        worker, grandchild = map(int, marker.read_text().split())
        parent.kill()
    eventually(lambda: ended(worker) and ended(grandchild))


def fork_and_leave(code: int) -> str:
    if os.fork() == 0:
        sys.exit(code)
    return "the parent's"


def fork_and_return() -> int:
    return os.fork()


def fork_and_raise() -> int:
    child = os.fork()
    if not child:
        raise ValueError("in the copy")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fork_and_wait(code: int) -> int:
    child = os.fork()
    if not child:
        sys.exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def answer_for_another() -> None:
    # As a library does that takes the descriptors of the process for its own.
    for descriptor in range(3, 64):
        try:
            if str(Path(f"/proc/self/fd/{descriptor}").readlink()).startswith("socket:"):
                os.write(descriptor, b"\0\0\0\x0aanything..")
        except OSError:
            continue


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_copy_that_a_job_forks_never_answers() -> None:
    with ProcessingEngine(processes=ONE) as engine:
        for n in range(3):
            assert engine.submit(fork_and_leave, n, cpu_bound=True).result(30) == "the parent's"
            assert engine.submit(fork_and_return, cpu_bound=True).result(30) > 0
            assert engine.submit(abs, -n, cpu_bound=True).result(30) == n
        assert engine.submit(fork_and_wait, 7, cpu_bound=True).result(30) == 7
        assert engine.submit(fork_and_raise, cpu_bound=True).result(30) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_copy_that_a_job_forks_on_a_thread_ends() -> None:
    code = (
        "import os, sys\n"
        "from coterie.work import ProcessingEngine\n"
        "def fork():\n"
        "    child = os.fork()\n"
        "    if not child: sys.exit(7)\n"
        "    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
        "with ProcessingEngine() as engine: print(engine.submit(fork).result(30), engine.submit(abs, -1).result(30))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)  # noqa: S603
    assert (done.stdout, done.returncode) == ("7 1\n", 0), done.stderr


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_process_that_answers_out_of_turn_is_ended() -> None:
    with ProcessingEngine(processes=ONE) as engine:
        pid = engine.submit(os.getpid, cpu_bound=True).result(30)
        with pytest.raises(WorkerDied, match="out of turn"):
            engine.submit(answer_for_another, cpu_bound=True).result(30)
        assert engine.submit(os.getpid, cpu_bound=True).result(30) != pid
        assert ended(pid)


def test_a_worker_that_speaks_unasked_is_replaced() -> None:
    runner = ProcessRunner()
    runner.start()
    pid = runner.pid
    process = runner._process
    assert process is not None
    assert process.usable
    # An answer that was not fetched.
    process._calls.send_bytes(b"\0" * 8 + pack(Call(abs, (-1,), None)).payload)
    eventually(lambda: not process.usable)
    runner.start()
    assert runner.pid != pid
    runner.close()


def hold_the_pipe_and_die(marker: str) -> None:
    # A copy made without Python's fork handlers, as a C library makes it, holds the pipe open.
    if not ctypes.CDLL(None).fork():
        Path(marker).write_text(str(os.getpid()))
        time.sleep(600)
        os._exit(0)
    while not Path(marker).exists():
        time.sleep(0.001)
    os._exit(3)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the C library's fork")
def test_a_death_is_seen_though_a_copy_holds_the_pipe(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    with ProcessingEngine(processes=ONE) as engine:
        with pytest.raises(WorkerDied) as caught:
            engine.submit(hold_the_pipe_and_die, str(marker), cpu_bound=True).result(30)
        assert caught.value.code == 3
        eventually(lambda: ended(int(marker.read_text())))


def start_a_program() -> int:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid


def test_programs_of_jobs_end_with_their_worker() -> None:
    with ProcessingEngine(processes=ONE) as engine:
        program = engine.submit(start_a_program, cpu_bound=True).result(30)
        assert not ended(program)
    eventually(lambda: ended(program))


def test_functions_of_a_session_without_a_file_are_refused() -> None:
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
