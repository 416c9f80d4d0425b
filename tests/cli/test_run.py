import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.telemetry.collector import read_file

ROOT = Path(__file__).parents[2]
FISHING = "examples/commons/fishing.toml"


def coterie(
    *arguments: object, cwd: Path = ROOT, code: int = 0, given: str | None = None, **environment: str
) -> tuple[str, str]:
    command = [str(Path(sys.executable).parent / "coterie"), *map(str, arguments)]
    done = subprocess.run(  # noqa: S603 - our own command
        command,
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        input=given,
        env={**os.environ, "COLUMNS": "100", **environment},
        check=False,
    )
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout, done.stderr


def test_a_run_shows_its_months_and_its_result_and_leaves_a_folder(tmp_path: Path) -> None:
    out, err = coterie("run", FISHING, "--out", tmp_path)
    assert err == ""
    assert "month 1: stock 100, caught 48, left 52, grows to 100" in out
    assert "fishing: 12 months, no collapse" in out
    for name in ("Ada", "Ben", "Cleo", "Dag", "Esi", "imitate-the-best (first 8)"):
        assert name in out
    (folder,) = tmp_path.iterdir()
    assert f"The record is in {folder}" in out
    page = (folder / "report.html").read_text()
    assert page.count("<svg") == 4
    assert "href=" not in page.replace('xlink:href="#', "").replace("<metadata", "")
    assert re.search(r"digest ([0-9a-f]{64})", out)[1] in page  # type: ignore[index] # it is there
    assert len((folder / "events.jsonl").read_text().splitlines()) >= 3


def test_a_quiet_run_shows_its_result_only(tmp_path: Path) -> None:
    out, _ = coterie("run", "examples/commons/ten-each.toml", "--out", tmp_path, "-q")
    assert "month 1:" not in out
    assert "ten-each: 12 months, no collapse" in out


def test_seed_and_dispatcher_can_be_set(tmp_path: Path) -> None:
    one, _ = coterie("run", FISHING, "--out", tmp_path / "a", "--seed", 3, "--dispatcher", "dedicated")
    two, _ = coterie("run", FISHING, "--out", tmp_path / "b", "--seed", 3)
    assert one.replace(str(tmp_path / "a"), "").split("The record")[0] == two.split("The record")[0]
    (folder,) = (tmp_path / "a").iterdir()
    settings = json.loads((folder / "scenario.json").read_text())
    assert (settings["seed"], settings["runtime"]["dispatcher"]) == (3, "dedicated")


def test_a_surprise_fails_the_run(tmp_path: Path) -> None:
    scenario = (ROOT / "examples/commons/ten-each.toml").read_text().replace("harvest = 600", "harvest = 601")
    path = tmp_path / "wrong.toml"
    path.write_text(scenario)
    out, _ = coterie("run", path, "--out", tmp_path / "runs", code=1)
    assert "not as expected: harvest: expected 601, got 600" in out


def test_a_bad_scenario_gets_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "bad [x].toml"
    path.write_text('kind = "commons"\nname = "x"\nmonths = -1\n')
    out, err = coterie("run", path, "--out", tmp_path / "runs", code=1)
    assert out == ""
    assert "error:" in err
    assert "bad [x].toml" in err
    assert "months: -1 is out of range; it must be at least 1" in err
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()


def test_a_place_that_cannot_be_written_gets_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    _, err = coterie("run", FISHING, "--out", tmp_path / "file", code=1)
    assert "cannot be written" in err
    assert "Traceback" not in err


def test_wrong_use_and_help() -> None:
    _, err = coterie("run", code=2)
    assert "Missing argument" in err
    _, err = coterie("run", FISHING, "--seed", "x", code=2)
    assert "Invalid value" in err
    out, _ = coterie("--help")
    assert "run" in out
    out, _ = coterie("--version")
    assert re.fullmatch(r"coterie \d+\.\d+\.\d+\n", out)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_at_once_and_keeps_its_record(sent: signal.Signals, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "coterie"), "run", FISHING, "--out", str(tmp_path), "--pace", "5"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603 - our own
    assert process.stdout is not None
    assert process.stdout.readline().startswith("month 1")
    process.send_signal(sent)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    (folder,) = tmp_path.iterdir()
    assert err == f"interrupted; the record so far is in {folder}; go on with: coterie resume {folder}\n"
    events = (folder / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in events] == ["run started", "month settled"]


def test_a_trace_of_a_run_is_written_and_changes_nothing(tmp_path: Path) -> None:
    arguments = ("--out", tmp_path, "--no-report", "--quiet")
    out, _ = coterie("run", FISHING, *arguments, "--trace", tmp_path / "trace.json")
    read = read_file(tmp_path / "trace.json")
    assert f"digest {read.one('simulation').attributes['coterie.digest']}" in out
    assert len({each.trace for each in read}) == 1
    assert len(read.named("turn decide")) == 60
    _, err = coterie("run", FISHING, *arguments, "--trace", tmp_path / "no" / "trace.json", code=1)
    assert "cannot be written" in err
