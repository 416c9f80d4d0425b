"""One machine of a cluster as a process: `python -m tests.cluster.host_process OPTION...` starts Ray there, and reaps its children.

It is the parent of all that Ray starts, so that a killed process does not stay as a zombie, and ends with its last child. When
its standard input ends, because the test has died, it kills them all.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading

import psutil

_SUBREAPER = 36


def _kill_when_deserted() -> None:
    sys.stdin.read()
    for process in psutil.Process().children(recursive=True):
        try:
            process.kill()
        except psutil.Error:
            continue
    os._exit(0)


def main(options: list[str]) -> None:
    """Start Ray as `coterie cluster start` and `coterie cluster join` do, with their options of ``ray start``."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    threading.Thread(target=_kill_when_deserted, daemon=True).start()  # noqa: TID251 - of a test
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", *options, "--disable-usage-stats"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - Ray's own command
    sys.stdout.write("started\n" if done.returncode == 0 else f"{' '.join(done.stderr.split()[-80:])}\n")
    sys.stdout.flush()
    try:
        while True:
            os.wait()
    except ChildProcessError:
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
