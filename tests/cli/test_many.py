import csv
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from coterie.testing import eventually
from tests.cli.test_run import FISHING, ROOT, coterie


def test_all_modes_are_shown_side_by_side() -> None:
    out, _ = coterie("compare", FISHING, "--delay", "0.005")
    rows = {line.split()[1]: line.split()[-2] for line in out.splitlines() if line.startswith("│")}
    assert set(rows) == {"lockstep", "sync_points", "pipelines", "tokens"}
    assert rows["lockstep"] == rows["sync_points"] != rows["pipelines"]


def test_a_sweep_writes_a_table_and_a_plot(tmp_path: Path) -> None:
    table = tmp_path / "new" / "sweep.csv"
    out, _ = coterie("sweep", FISHING, "--set", "lake.growth=1.5,2.0", "--seeds", "1..2", "--out", table)
    assert "4 runs are in" in out
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [(row["lake.growth"], row["seed"]) for row in rows] == [("1.5", "1"), ("1.5", "2"), ("2.0", "1"), ("2.0", "2")]
    assert all(len(row["digest"]) == 64 for row in rows)
    assert table.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_a_sweep_over_invalid_settings_gets_one_clear_error(tmp_path: Path) -> None:
    for options, problem in (
        (("--set", "lake.grwth=1"), "lake.grwth: no such key; did you mean 'growth'?"),
        (("--set", "growth"), "sets nothing"),
        (("--seeds", "x"), "names no seeds"),
        (("--seeds", "3..1"), "names no seeds"),
        (("--seeds", f"1..{10**30}"), "more than 100000 seeds"),
        (("--set", "seed=4"), "--seeds"),
        (("--set", "months=4", "--set", "months=5"), "months is given twice"),
        (("--set", "agents.9.count=1"), "there is nothing of that name to set"),
    ):
        _, err = coterie("sweep", FISHING, *options, "--out", tmp_path / "s.csv", code=1)
        assert problem in err
        assert "Traceback" not in err


def test_a_sweep_that_could_not_be_written_is_not_begun(tmp_path: Path) -> None:
    for out, problem in ((tmp_path, "Is a directory"), (tmp_path / "s.png", "the plot gets that name")):
        told, err = coterie("sweep", FISHING, "--out", out, code=1)
        assert problem in err
        assert "runs" not in told


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("compare", "slow.toml"), "interrupted; nothing is kept of a comparison; it had done no mode\n"),
        (("sweep", "slow.toml", "--processes", "2"), "interrupted; what 0 of 5 runs came to is in sweep.csv\n"),
    ],
    ids=["compare", "sweep"],
)
def test_an_interrupted_sweep_reports_its_table_and_leaves_no_process(
    options: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    slow = Path(FISHING).read_text().replace("delay = 0.02", 'dispatcher = "dedicated"\ndelay = 3600.0')
    assert "3600" in slow
    (tmp_path / "slow.toml").write_text(slow)
    command = [str(Path(sys.executable).parent / "coterie"), *options]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603 - our own
    looked_at = psutil.Process(process.pid)
    if options[0] == "sweep":
        eventually(lambda: len(looked_at.children()) >= 2, timeout=30)
    else:
        eventually(lambda: any(thread.id for thread in looked_at.threads()[6:]), timeout=30)
    children = looked_at.children()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, said)
    eventually(lambda: not any(child.is_running() for child in children))


def test_a_sweep_with_a_folder_is_an_experiment_that_goes_on(tmp_path: Path) -> None:
    epidemic, folder = ROOT / "examples/epidemic/epidemic.toml", tmp_path / "contacts"
    sweep = ("sweep", epidemic, "--set", "contacts=1..3", "--latin-hypercube", "2", "--seeds", "1..2", "--folder", folder)
    out, _ = coterie(*sweep, "--processes", "1")
    assert "4 runs, the report is" in " ".join(out.split())
    assert {path.name for path in folder.iterdir()} == {"experiment.json", "runs.jsonl", "runs.csv", "report.html", "report.md"}
    out, _ = coterie(*sweep, "--processes", "1")
    assert "4 of 4 runs are recorded" in " ".join(out.split())
