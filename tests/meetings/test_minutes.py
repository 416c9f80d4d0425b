"""The minutes of a meeting are whole, whatever was said, and whatever happens to the process or the disk."""

import os
import signal
import subprocess
import sys
from decimal import Decimal
from io import FileIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coterie.errors import EncodeFailed, InvalidSetting
from coterie.errors.definition import DecodeFailed
from coterie.meetings import read_minutes
from coterie.meetings.minutes import read_json_lines
from coterie.testing import eventually
from tests.meetings.people import house

SAID = [
    "a line\u2028separator",
    "another\x85one",
    "and a paragraph\u2029",
    "\x0b\x0c\x1c\x00\r\n- no entry",
    "🎣",
    {"a": [1, {"b": None}], "c": 1e308},
    2**63,
    "| a | <b> ```",
]

PROGRAM = """
import sys
from coterie import Agent, Request, Runtime, on
from coterie.meetings import Meetings

class Go(Request[None]):
    pass

class Caller(Agent):
    @on
    async def go(self, message: Go) -> None:
        meeting = await self.context.use(Meetings).call("tea")
        for number in range(1_000_000):
            await meeting.say({"number": number})
            print(number, flush=True)

with Runtime() as runtime:
    runtime.provide(Meetings(folder=sys.argv[1]))
    runtime.spawn(Caller).ask(Go(), timeout=60).result()
"""


def test_all_that_can_be_said_is_read_back_as_it_was(tmp_path: Path) -> None:
    with house(folder=tmp_path) as each:
        ada = each.member("ada")
        id_ = each.call(ada)
        for content in SAID:
            each.use(ada, id_, lambda meeting: meeting.say(content))
        (path,) = tmp_path.glob("*.jsonl")
        transcript = each.see(ada, id_, lambda meeting: meeting.transcript)
        assert [said.content for said in transcript] == SAID
        assert tuple(read_minutes(str(path))) == transcript.entries
        assert tuple(read_json_lines(transcript.to_json_lines())) == transcript.entries
        each.use(ada, id_, lambda meeting: meeting.close())
        eventually(lambda: list(tmp_path.glob("*.md")))
        lines = path.with_suffix(".md").read_text().split("\n")
        assert len([line for line in lines if line.startswith("- ")]) == len(SAID) + 2
        assert lines[-2].endswith("**ada** closed the meeting")


class _Offer(msgspec.Struct):
    price: int


@pytest.mark.parametrize(
    "content",
    [
        float("nan"),
        {"a": float("inf")},
        b"\x00",
        {1: "one"},
        [[{"a": b""}]],
        {1, 2},
        {"a": {1}},
        [{"a": Decimal(1)}],
        {"a": (_Offer(1),)},
    ],
)
def test_data_that_json_would_change_is_refused(content: Any) -> None:
    with house() as each:
        ada = each.member("ada")
        id_ = each.call(ada)
        with pytest.raises(EncodeFailed, match="keys are text"):
            each.use(ada, id_, lambda meeting: meeting.say(content))
        with pytest.raises(InvalidSetting, match="keys are text"):
            each.call(ada, parameters={"given": content})


def test_data_nested_too_deeply_is_refused() -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        id_ = each.call(ada, [ben])
        for depth in (50, 299, 300, 900, 990, 999, 5_000):
            deep: Any = []
            for _ in range(depth):
                deep = [deep]
            if depth < 300:
                each.use(ada, id_, lambda meeting: meeting.say(deep))
            else:
                with pytest.raises(EncodeFailed):
                    each.use(ada, id_, lambda meeting: meeting.say(deep))
        each.use(ben, id_, lambda meeting: meeting.say("all is well"))


def test_cut_off_and_spoilt_minutes_are_distinguished(tmp_path: Path) -> None:
    with house(folder=tmp_path) as each:
        ada = each.member("ada")
        id_ = each.call(ada)
        each.use(ada, id_, lambda meeting: meeting.say("🎣"))
        (path,) = tmp_path.glob("*.jsonl")
        whole = path.read_bytes()
        for end in range(whole.index("🎣".encode()), len(whole)):
            path.write_bytes(whole[:end])  # also in the middle of a character
            assert len(read_minutes(path)) == 1
        path.write_bytes(whole.replace("🎣".encode(), b"\xff"))
        with pytest.raises(DecodeFailed):
            read_minutes(path)


def test_minutes_are_whole_after_the_process_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - this interpreter
        assert process.stdout is not None
        told = [next(process.stdout) for _ in range(20)]
        os.kill(process.pid, signal.SIGKILL)
        told += process.stdout.read().splitlines(keepends=True)
    (path,) = tmp_path.glob("*.jsonl")
    said: list[Any] = [entry.event for entry in read_minutes(path)[1:]]
    assert [each.content["number"] for each in said] == list(range(len(said)))
    # What the program was told to be certain is there.
    assert len(said) >= len([line for line in told if line.endswith("\n")])


def test_files_of_another_run_stay(tmp_path: Path) -> None:
    for run in range(3):
        with house(folder=tmp_path) as each:
            ada = each.member("ada")
            id_ = each.call(ada, topic="tea")
            each.use(ada, id_, lambda meeting: meeting.say(run))
    said: list[Any] = [read_minutes(path)[1].event for path in sorted(tmp_path.glob("*.jsonl"))]
    assert sorted(each.content for each in said) == [0, 1, 2]


def test_two_meetings_do_not_write_one_file(tmp_path: Path) -> None:
    with house(folder=tmp_path) as each:
        ada = each.member("ada")
        first = each.call(ada, record="Month 1")
        with pytest.raises(InvalidSetting, match=r"month-1\.jsonl"):
            each.call(ada, record="month-1")
        each.use(ada, first, lambda meeting: meeting.close())
        each.call(ada, record="month-1")


def test_entries_that_a_full_disk_refused_are_written_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = [False]
    write = FileIO.write

    class Disk(FileIO):
        def write(self, data: Any) -> int:
            if not full[0]:
                return write(self, data)
            if len(data) > 5:
                return write(self, data[:5])
            raise OSError("no space left on device")

    monkeypatch.setattr("coterie.meetings.minutes.FileIO", Disk)
    with house(folder=tmp_path) as each:
        ada = each.member("ada")
        id_ = each.call(ada)
        for number in range(6):
            full[0] = number in (2, 3)
            each.use(ada, id_, lambda meeting: meeting.say(number))
        (path,) = tmp_path.glob("*.jsonl")
        assert tuple(read_minutes(path)) == each.see(ada, id_, lambda meeting: meeting.transcript.entries)


def test_markdown_that_cannot_be_written_does_not_keep_a_meeting_from_ending(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with house(folder=tmp_path) as each:
        (tmp_path / "tea.md").mkdir()
        ada = each.member("ada")
        id_ = each.call(ada, record="tea")
        each.use(ada, id_, lambda meeting: meeting.close("done"))
        eventually(lambda: not each.meetings.held)
        assert each.meetings.status(id_).outcome == "done"
        assert "cannot be written" in caplog.text
        assert "restart" not in caplog.text
