import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, threading
from coterie.errors.work import WorkForked
from coterie.work import ActionSystem, ProcessingEngine

def refused(call):
    try:
        call()
    except WorkForked as error:
        assert "parent of this process" in str(error)
    else:
        raise AssertionError(call)

over = threading.Event()
engine, system = ProcessingEngine(), ActionSystem()
engine.submit(int).result(10)
engine.submit(int, cpu_bound=True).result(30)
job = engine.submit(over.wait, 30)
action = system.submit(over.wait, 30, key="k", target="t")
child = os.fork()
if not child:
    for call in (
        lambda: engine.submit(int),
        lambda: engine.submit(int, cpu_bound=True),
        lambda: system.submit(int, key="k", target="t"),
        lambda: job.result(5),
        lambda: action.result(5),
    ):
        refused(call)
    engine.balance()
    totals = engine.metrics().totals
    assert (totals.submitted, totals.cancelled, totals.pending) == (3, 1, 0), totals
    assert not engine.stop().drained and not system.stop().drained
    with ProcessingEngine() as another:
        assert another.submit(int, "3").result(10) == 3
    os._exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
over.set()
assert job.result(10) and action.result(10)
assert engine.submit(int, "4", cpu_bound=True).result(30) == 4
engine.stop()
system.stop()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_has_a_stopped_copy_that_raises_and_the_parent_goes_on() -> None:
    command = [sys.executable, "-c", PROGRAM]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own
    assert (ended.returncode, ended.stdout) == (0, "3\n"), ended.stderr
