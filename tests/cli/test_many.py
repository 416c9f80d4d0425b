import csv
from pathlib import Path

from tests.cli.test_run import FISHING, coterie


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


def test_a_sweep_over_nonsense_gets_one_clear_error(tmp_path: Path) -> None:
    for options, problem in (
        (("--set", "lake.grwth=1"), "lake.grwth: no such key; did you mean 'growth'?"),
        (("--set", "growth"), "sets nothing"),
        (("--seeds", "x"), "names no seeds"),
        (("--seeds", "3..1"), "names no seeds"),
        (("--set", "agents.9.count=1"), "there is nothing of that name to set"),
    ):
        _, err = coterie("sweep", FISHING, *options, "--out", tmp_path / "s.csv", code=1)
        assert problem in err
        assert "Traceback" not in err
