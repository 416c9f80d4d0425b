"""What a type checker makes of programs: right ones pass, wrong ones do not."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

PREAMBLE = """
from collections.abc import AsyncIterator

from coterie import Agent, AgentRef, Message, Reply, ReplyStream, Request, Runtime, Stream, on

class Words(Stream[str]):
    count: int

class Add(Request[int]):
    amount: int
    note: str = ""

class Note(Message):
    text: str

class Counter(Agent):
    def __init__(self, start: int = 0) -> None:
        self.count = start

    @on
    def add(self, message: Add) -> int:
        self.count += message.amount
        return self.count

    @on
    async def words(self, message: Words) -> AsyncIterator[str]:
        yield "one"

    @on(interleave=True, raises=KeyError)
    async def note(self, message: Note | Add) -> None: ...
"""

RIGHT = """
with Runtime() as runtime:
    counter: AgentRef = runtime.spawn(Counter, 10, name="counter")
    counter.tell(Add(amount=1))
    counter.tell(Note("x"))
    reply: Reply[int] = counter.ask(Add(2), timeout=1.0)
    total: int = reply.result()

    async def main() -> int:
        words: ReplyStream[str] = counter.stream(Words(3), ahead=2)
        async for word in words:
            word.upper()
        for word in counter.stream(Words(3)):
            word.upper()
        return await counter.ask(Add(3))
"""

WRONG = {
    'counter.ask(Add(amount="2"))': "incompatible type",
    "text: str = counter.ask(Add(2)).result()": "Incompatible types in assignment",
    "counter.ask(Note('x'))": "incompatible type",
    "counter.tell(3)": "incompatible type",
    "Add(2).amount = 3": "read-only",
    "Add()": "Missing positional argument",
    "Counter().add(Note('x'))": "incompatible type",
    "counter.ask(Words(1))": "incompatible type",
    "counter.stream(Add(1))": "incompatible type",
    "numbers: list[int] = list(counter.stream(Words(1)))": "incompatible type",
    "other: Reply[str] = counter.ask(Add(1))": 'expected "Request[str]"',
}


def check(program: str, folder: Path) -> str:
    path = folder / "program.py"
    path.write_text(program)
    cache = Path(__file__).parents[2] / ".mypy_cache"
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(cache), "--config-file", "", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 - our own command


@pytest.mark.timeout(300)
def test_right_programs_pass_and_each_wrong_use_is_found(tmp_path: Path) -> None:
    assert "Success" in check(PREAMBLE + RIGHT, tmp_path)
    lines = "\n".join(WRONG)
    program = f"{PREAMBLE}\ndef wrong(counter: AgentRef) -> None:\n" + "\n".join(f"    {line}" for line in WRONG)
    found = check(program, tmp_path)
    first = program[: program.index(next(iter(WRONG)))].count("\n") + 1
    for number, (line, error) in enumerate(WRONG.items(), start=first):
        assert any(f":{number}: error" in each and error in each for each in found.splitlines()), (line, found, lines)
