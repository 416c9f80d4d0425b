"""Output in poor places: narrow terminals, old encodings, full disks, half an extra."""

import logging
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from coterie.cli import application, doctor
from coterie.cli.chat.words import wrapped
from coterie.cli.output import print_table, say
from coterie.orchestrator.folder import RunLog
from tests.cli.test_run import FISHING, coterie


def test_an_encoding_without_bars_and_boxes_ends_no_command() -> None:
    out, err = coterie("compare", FISHING, PYTHONIOENCODING="latin-1")
    assert "lockstep" in out
    assert err == ""


def test_input_of_an_ascii_locale_is_read_as_utf_8(tmp_path: Path) -> None:
    command = ("chat", "examples/telco/telco.toml", "--out", tmp_path)
    out, err = coterie(*command, given="Grüße\n", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert "you: Gr??e" in out
    assert err == ""


@pytest.mark.parametrize("columns", ["20", "30"])
def test_a_narrow_terminal_gets_whole_words(columns: str) -> None:
    for command in (["doctor"], ["run", "--help"]):
        out, _ = coterie(*command, COLUMNS=columns)
        assert "…" not in out
    assert "dispatcher" in out


def test_a_wide_table_stays_a_table_and_a_narrow_one_is_lines(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(title="catches")
    table.add_column("fisher")
    table.add_column("kilograms", justify="right")
    table.add_row("Bartholomew", "12")
    for width, expected in ((60, "┃"), (16, "fisher:")):
        print_table(Console(width=width, force_terminal=False), table)
        out = capsys.readouterr().out
        assert expected in out
        assert "Bartholomew" in out


def test_speech_is_broken_between_words_only() -> None:
    text = "incomprehensibilities of telecommunication"
    assert wrapped("you", text, 12).split() == ["you:", *text.split()]


def test_a_log_on_a_full_disk_counts_the_lost_lines_and_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    log = RunLog(full)
    for _ in range(100):
        log.handle(logging.makeLogRecord({"msg": "a line"}))
    log.close()
    assert log.lost >= 100
    assert capsys.readouterr() == ("", "")


def test_half_an_extra_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {
        "coterie": ['a>=1; extra == "x"', 'b[c]>=1; extra == "x"', 'd; extra == "y"'],
        "b": ['e; extra == "c"', "f"],
    }

    def version(name: str) -> str:
        if name in ("a", "e"):
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(doctor, "requires", wanted.get)
    monkeypatch.setattr(doctor, "version", version)
    assert doctor.missing_packages("coterie", "x") == ["a", "e"]
    assert doctor.missing_packages("coterie", "y") == []


def test_an_unexpected_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ZeroDivisionError("as told")

    monkeypatch.setattr(application, "create_application", lambda _: fail)
    with pytest.raises(SystemExit) as ended:
        application.main()
    assert ended.value.code == 1
    err = capsys.readouterr().err
    assert "error: ZeroDivisionError: as told" in err.replace("\n", "")
    assert "Traceback" not in err
    monkeypatch.setenv("COTERIE_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        application.main()


def test_lines_on_a_narrow_terminal_are_broken_between_words(capsys: pytest.CaptureFixture[str]) -> None:
    text = "twelve months without a collapse of the fishery"
    say(Console(width=20, force_terminal=True, highlight=False), text)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 20
    assert " ".join(line.strip() for line in lines) == text
    say(Console(width=20, force_terminal=False, highlight=False), text)
    assert capsys.readouterr().out == text + "\n"
