"""A sweep whose processes are killed loses no run but those that kill their process."""

import json
import subprocess
import sys
from pathlib import Path

from coterie.orchestrator.sweep import SweepRow, table

# Forked children need no imports, which would take most of the time. The script has one thread.
SCRIPT = """
import json, multiprocessing, os, signal, sys, time
from pathlib import Path
from coterie.orchestrator import sweep

fork = multiprocessing.get_context("fork")
multiprocessing.get_context = lambda _: fork
once = Path(sys.argv[1])

def run_job(job):
    if job.seed == 1:
        while not once.exists():
            # The other must have begun: one that is killed before that, with its pool, would kill itself in the second attempt.
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGKILL)
    if job.seed == 2 and not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return sweep.SweepRow({}, job.seed, {"twice": 2 * job.seed})

sweep.run_job = run_job
told = []
rows = sweep.run_jobs([sweep.SweepRun({}, seed, {}, "") for seed in (1, 2, 3, 4)], 2, told.append)
print(json.dumps([[row.seed, row.figures, row.error] for row in rows]))
assert sorted(row.seed for row in told) == [1, 2, 3, 4]
"""


def test_a_killed_process_fails_no_run_but_the_one_that_kills_it_again(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path / "once")]
    told = subprocess.run(command, capture_output=True, timeout=60, check=True, text=True)  # noqa: S603 - our own
    (killed, *others) = json.loads(told.stdout)
    assert others == [[2, {"twice": 4}, ""], [3, {"twice": 6}, ""], [4, {"twice": 8}, ""]]
    assert killed[:2] == [1, {}]
    assert "its process was killed, twice" in killed[2]


def test_a_run_that_failed_has_no_forfeits_in_the_table() -> None:
    rows = [SweepRow({}, 1, {"total": 5}, 2, "abc"), SweepRow({}, 2, error="killed")]
    assert table(rows).splitlines() == ["seed,total,forfeits,digest,error", "1,5,2,abc,", "2,,,,killed"]
