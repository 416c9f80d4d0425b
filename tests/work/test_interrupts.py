import subprocess
import sys

CODE = """
import _thread, signal, sys, threading, time
from coterie.work import ActionSystem, ProcessingEngine, QueueLimits, ResourceLimits

engine = ProcessingEngine(queue=QueueLimits(capacity=50))
system = ActionSystem(resources={"a": ResourceLimits(at_once=2)}, queue=QueueLimits(capacity=50))
main = threading.main_thread().ident
over = threading.Event()

armed = False  # so that none comes while another is being handled

def interrupt():
    global armed
    while not over.wait(0.0005):
        if armed:
            armed = False
            signal.pthread_kill(main, signal.SIGINT)

thread = threading.Thread(target=interrupt, daemon=True)
thread.start()
interrupted = 0
end = time.monotonic() + 3.0
while time.monotonic() < end:
    try:
        armed = True
        while time.monotonic() < end:
            engine.submit(int)
            job = system.submit(int, resource="a")
            job.cancel()
            engine.submit(int).result()
            engine.metrics()
        armed = False
        time.sleep(0.1)  # the last one may be on its way
    except KeyboardInterrupt:
        interrupted += 1
try:
    over.set()
    thread.join()
except KeyboardInterrupt:
    pass
signal.signal(signal.SIGINT, signal.SIG_IGN)
reports = engine.stop(timeout=10.0), system.stop(timeout=10.0)
totals = engine.metrics().totals, system.metrics().totals
assert all(report.drained for report in reports), reports
assert all(total.pending == 0 for total in totals), totals
print(interrupted > 10)
"""


def test_no_interrupt_leaves_a_lock_held_or_a_job_behind() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=50, check=False)  # noqa: S603
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
