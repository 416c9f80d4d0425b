"""A program that one talks to over a pipe or a terminal, line by line: reading waits for the words that are due."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TELCO = ROOT / "examples" / "telco"
COTERIE = str(Path(sys.executable).parent / "coterie")
CODE = "482913"
LIMIT = 40.0
"""Seconds after which words that have not come never will."""


def scenario(folder: Path, **settings: object) -> Path:
    """Make the telephone company's scenario in a folder of a test, with settings of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "carrier").exists():
        (folder / "carrier").symlink_to(TELCO / "carrier")
    text = (TELCO / "telco.toml").read_text().split("[settings]")[0]
    lines = {"fixed_code": f'"{CODE}"', "time_scale": 0.1} | settings
    path = folder / "telco.toml"
    path.write_text(text + "[settings]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items()))
    return path


class Talk:
    """A running program. `expect` reads until the words have come, and returns all that was read for it."""

    def __init__(self, process: subprocess.Popen[bytes], out: int, into: int) -> None:
        self.process = process
        self._out = out
        self._into = into
        self._read = ""
        self.all = ""

    def expect(self, words: str) -> str:
        end = time.monotonic() + LIMIT  # noqa: TID251 - real time, for a real program
        while words not in self._read:
            if not self._more(end):
                raise AssertionError(f"{words!r} never came; there was:\n{self.all}")
        before, _, self._read = self._read.partition(words)
        return before + words

    def say(self, text: str) -> None:
        os.write(self._into, text.encode() + (b"\r" if self._into == self._out else b"\n"))

    def key(self, key: bytes) -> None:
        os.write(self._into, key)

    def end(self) -> str:
        """End the input, read to the end, and return all that was said."""
        if self._into != self._out:
            os.close(self._into)
        end = time.monotonic() + LIMIT  # noqa: TID251 - as above
        while self._more(end):
            pass
        self.process.wait(LIMIT)
        return self.all

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(LIMIT)

    def _more(self, end: float) -> bool:
        ready, _, _ = select.select([self._out], [], [], max(0.0, end - time.monotonic()))  # noqa: TID251 - as above
        if not ready:
            raise AssertionError(f"nothing came for {LIMIT:g} s; there was:\n{self.all}")
        try:
            piece = os.read(self._out, 65_536)
        except OSError:  # what Linux says when the other side of a terminal is gone
            return False
        self._read += piece.decode(errors="replace")
        self.all += piece.decode(errors="replace")
        return bool(piece)


@contextlib.contextmanager
def talking(*arguments: object, terminal: bool = False, columns: int = 100, **environment: str) -> Iterator[Talk]:
    command = [COTERIE, *map(str, arguments)]
    settings = {
        **os.environ,
        "COLUMNS": str(columns),
        "LINES": "40",
        "TERM": "xterm",
        "PROMPT_TOOLKIT_NO_CPR": "1",
        **environment,
    }
    if terminal:
        out, other = pty.openpty()
        into = out
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, stdin=other, stdout=other, stderr=other, env=settings, start_new_session=True
        )
        os.close(other)
    else:
        reading, into = os.pipe()
        out, writing = os.pipe()
        process = subprocess.Popen(command, stdin=reading, stdout=writing, stderr=writing, env=settings)  # noqa: S603 - as above
        os.close(reading)
        os.close(writing)
    try:
        yield Talk(process, out, into)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(LIMIT)
        for each in {out, into}:
            with contextlib.suppress(OSError):
                os.close(each)
