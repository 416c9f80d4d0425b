import gc
import subprocess
import sys
import threading
import weakref
from typing import Any

import pytest

from coterie.testing import eventually
from coterie.work import ActionSystem, Bounds, Job, ProcessingEngine

HEAD = """
import os, sys, threading, time
from coterie.work import ActionSystem, ProcessingEngine, Retry

def work(n):
    time.sleep(0.05)
    sys.stdout.write(f"{n} ")
    sys.stdout.flush()
"""


def run(code: str) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, "-c", HEAD + code], capture_output=True, text=True, timeout=50, check=False)  # noqa: S603
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("kind", ["ProcessingEngine", "ActionSystem"])
def test_accepted_work_is_done_though_the_program_ends(kind: str) -> None:
    assert run(f"engine = {kind}(); jobs = [engine.submit(work, 1) for _ in range(5)]") == (0, "1 1 1 1 1 ", "")


def test_work_that_work_submits_is_done_too() -> None:
    code = "engine = ProcessingEngine(); engine.submit(lambda: engine.submit(work, 1, retry=Retry(1)))"
    assert run(code) == (0, "1 ", "")


def test_work_of_a_dropped_engine_is_done_before_the_program_ends() -> None:
    assert run("def start(): ProcessingEngine().submit(work, 1)\nstart()") == (0, "1 ", "")


def test_lost_work_is_told_on_stderr_and_in_the_exit_status() -> None:
    code, out, err = run(
        "import atexit; atexit.register(print, 'cleaned')\n"
        "engine = ActionSystem(exit_timeout=0.05)\n"
        "for _ in range(3): engine.submit(time.sleep, 60)\n"
        "engine.submit(work, 1, retry=Retry(9, initial=60.0, maximum=60.0)).result()\n"
        "print('over')\n"
    )
    assert (code, out) == (1, "1 over\ncleaned\n")
    assert "coterie: lost at the end of the program: 3 jobs of actions, not done within 0.05 s: sleep (3); use Act" in err


def test_a_fork_does_not_finish_the_work_of_its_parent() -> None:
    code = (
        # From Python 3.12 on a fork beside other threads is warned of.
        "import warnings; warnings.simplefilter('ignore', DeprecationWarning)\n"
        "engine = ProcessingEngine(); over = threading.Event(); engine.submit(over.wait, 30)\n"
        "child = os.fork()\n"
        "if not child: sys.exit(3)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])); over.set()\n"
    )
    assert run(code) == (0, "3\n", "")


@pytest.mark.parametrize("kind", [ProcessingEngine, ActionSystem])
def test_a_dropped_engine_warns_finishes_and_ends_its_threads(kind: type[ProcessingEngine] | type[ActionSystem]) -> None:
    before = set(threading.enumerate())
    done: list[int] = []
    over = threading.Event()
    engines = [kind(name="dropped")]
    engine = engines[0]
    jobs: list[Job[Any]] = [engine.submit(over.wait, 30), engine.submit(done.append, 1)]
    system = weakref.ref(engine)

    def drop(caught: pytest.WarningsRecorder) -> None:
        engines.clear()
        over.set()
        # An action keeps its system until it has ended.
        eventually(lambda: gc.collect() is not None and system() is None and len(caught) > 0)

    del engine
    with pytest.warns(ResourceWarning, match=f"{kind.__name__} dropped was dropped and not stopped") as caught:
        drop(caught)
    assert [job.result(10) for job in jobs] == [True, None]
    eventually(lambda: not set(threading.enumerate()) - before)
    assert done == [1]


def test_a_stopped_engine_is_dropped_in_silence() -> None:
    engine = ProcessingEngine(threads=Bounds(1, 1))
    engine.submit(int).result(10)
    engine.stop()
    gone = weakref.ref(engine)
    del engine
    eventually(lambda: gc.collect() >= 0 and gone() is None)


def test_the_end_of_a_program_does_not_wait_for_a_clock_that_is_driven() -> None:
    code, _, err = run(
        "from coterie.testing import ManualClock\n"
        "def fail(): raise OSError\n"
        "engine = ProcessingEngine(clock=ManualClock(), exit_timeout=600)\n"
        "job = engine.submit(fail, retry=Retry(9)); time.sleep(0.1)\n"
    )
    assert (code, "1 jobs of processing" in err) == (1, True)
