import subprocess
import sys

CODE = """
import _thread, signal, sys, threading, time
from coterie.work import ActionSystem, ProcessingEngine, QueueLimits, ResourceLimits

engine = ProcessingEngine(queue=QueueLimits(capacity=50))
system = ActionSystem(resources={"a": ResourceLimits(at_once=2)}, queue=QueueLimits(capacity=50))
main = threading.main_thread().ident
over = threading.Event()

def interrupt():
    while not over.wait(0.0005):
        signal.pthread_kill(main, signal.SIGINT)

def use():
    while time.monotonic() < end:
        engine.submit(int)
        job = system.submit(int, resource="a")
        job.cancel()
        engine.submit(int).result()
        engine.metrics()

def handle(number, frame):
    caller = frame
    while caller is not None and caller.f_code is not use.__code__:
        caller = caller.f_back
    # Elsewhere this program could not catch it.
    if caller is not None:
        guarded(number, frame)

guarded = signal.getsignal(signal.SIGINT)
signal.signal(signal.SIGINT, handle)
end = time.monotonic() + 3.0
thread = threading.Thread(target=interrupt, daemon=True)
thread.start()
interrupted = 0
while time.monotonic() < end:
    try:
        use()
    except KeyboardInterrupt:
        interrupted += 1
over.set()
thread.join()
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
