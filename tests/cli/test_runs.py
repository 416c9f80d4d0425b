import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coterie.tables import DataTable
from tests.cli.test_run import FISHING, ROOT, coterie


def test_a_run_can_be_shown_and_replayed(tmp_path: Path) -> None:
    coterie("run", FISHING, "--out", tmp_path, "-q", "--no-report", "--mode", "tokens")
    (folder,) = tmp_path.iterdir()
    out, _ = coterie("show", folder)
    assert "quota" in out
    assert "fishing: 12 months, no collapse" in out
    assert "not finished" not in out
    out, _ = coterie("replay", folder)
    assert out.count("as recorded") == 13


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_ended_too_early_is_shown_and_resumed_to_the_same_digest(sent: signal.Signals, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "coterie"), "run", FISHING, "--out", str(tmp_path / "a"), "--pace", "0.2"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603 - our own
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(sent)
    process.communicate(timeout=20)
    (folder,) = (tmp_path / "a").iterdir()
    out, _ = coterie("show", folder)
    assert f"not finished; go on with: coterie resume {folder}" in out
    out, _ = coterie("resume", folder)
    whole, _ = coterie("run", FISHING, "--out", tmp_path / "b", "-q", "--no-report")
    assert [line for line in out.splitlines() if line.startswith("digest")] == [
        line for line in whole.splitlines() if line.startswith("digest")
    ]
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [event["number"] for event in events if event["event"] == "month settled"] == list(range(1, 13))
    assert (folder / "report.html").is_file()
    again, _ = coterie("resume", folder, "-q", "--no-report")
    assert "fishing: 12 months" in again


def test_a_folder_that_is_not_a_run_gets_one_clear_error(tmp_path: Path) -> None:
    for command in ("show", "replay", "resume"):
        _, err = coterie(command, tmp_path, code=1)
        assert "give the folder of a `coterie run`" in err
        assert "Traceback" not in err


def test_the_data_of_a_run_are_exported(tmp_path: Path) -> None:
    epidemic = ROOT / "examples/epidemic/epidemic.toml"
    coterie("run", str(epidemic), "--quiet", "--no-report", "--out", str(tmp_path / "runs"))
    run = next((tmp_path / "runs").iterdir())
    collected = DataTable.read(run / "data" / "round.parquet")
    assert collected["ill"][-1] == 18
    coterie("export", str(run), "--format", "parquet,csv,markdown,json-run", "--out", str(tmp_path / "data"))
    assert DataTable.read(tmp_path / "data" / "round.parquet") == collected
    assert (tmp_path / "data" / "round.csv").read_text().startswith("round,ill\n1,")
    assert DataTable.read(tmp_path / "data" / "events.parquet").rows > 40
    assert "fell ill" in (tmp_path / "data" / "run.md").read_text()
    assert json.loads((tmp_path / "data" / "run.json").read_text())["figures"] == {"ill": 18}
    _, error = coterie("export", str(run), "--format", "xls", code=1)
    assert "need one or more of parquet, arrow, csv" in error


def test_a_record_that_was_changed_is_found(tmp_path: Path) -> None:
    coterie("run", "examples/commons/ten-each.toml", "--out", tmp_path, "-q", "--no-report")
    (folder,) = tmp_path.iterdir()
    settings = json.loads((folder / "scenario.json").read_text())
    settings["agents"][0]["strategy"]["amount"] = 9
    (folder / "scenario.json").write_text(json.dumps(settings))
    _, err = coterie("replay", folder, code=1)
    assert "round 1 was recorded as" in err


def test_games_are_run_shown_replayed_and_resumed(tmp_path: Path) -> None:
    out, err = coterie("run", "examples/tic_tac_toe/game.toml", "--out", tmp_path)
    assert err == ""
    assert "X tries what is taken: X (0 4 1 8 2, 3 illegal moves refused)" in out
    (folder,) = tmp_path.iterdir()
    digest = re.search(r"digest ([0-9a-f]{64})", out)[1]  # type: ignore[index] # it is there
    assert digest in coterie("show", folder)[0]
    assert f"10 games, each as recorded; digest {digest}" in coterie("replay", folder)[0]
    assert digest in coterie("resume", folder, "-q")[0]
    assert len(list((folder / "meetings").glob("*.md"))) == 10
    page = (folder / "report.html").read_text()
    assert page.count("<svg") == 10
    assert digest in page
    assert "kind: tic-tac-toe has no modes to compare" in coterie("compare", "examples/tic_tac_toe/game.toml", code=1)[1]
    assert (
        "--mode: tic-tac-toe has no such setting"
        in coterie("run", "examples/tic_tac_toe/game.toml", "--mode", "tokens", "--out", tmp_path, code=1)[1]
    )
