"""Figures have their spread, and the regression check names what fell by more."""

from pathlib import Path

import pytest
from benchmarks import __main__ as program
from benchmarks import baseline
from benchmarks.baseline import Baseline
from benchmarks.harness import Comparison, MachineLoad, Row, Spread


def row(what: str, *values: float) -> Row:
    return Row(what, "", ratio=Spread.of(values))


def test_a_spread_is_the_median_between_its_quartiles() -> None:
    assert Spread.of([1, 2, 3, 4, 5]) == Spread(2, 3, 4)
    assert Spread.of([7]) == Spread(7, 7, 7)
    assert Spread.of([1, 2, 3, 4, 5]).share == pytest.approx(1 / 3)


def test_a_comparison_shows_each_rate_with_its_spread() -> None:
    found = Comparison({"ours": [100.0, 110.0, 120.0], "theirs": [50.0, 55.0, 60.0]})
    assert str(found) == "ours 110 /s ±5%; theirs 55 /s ±5%"
    assert found.ratios("ours", "theirs") == Spread(2, 2, 2)


def test_what_fell_by_more_than_the_spread_is_named() -> None:
    before = Baseline().with_rows([row("tell", 0.9, 1.0, 1.1), row("ask", 0.9, 1.0, 1.1), Row("no ratio", "5")])
    now = [row("tell", 0.7, 0.8, 0.9), row("ask", 0.8, 0.94, 1.0), row("new", 0.1), Row("no ratio", "4")]
    assert before.fallen(now) == ["tell: 0.8 (0.75 to 0.85), before 1 (0.95 to 1.05)"]


def test_the_table_is_stored_and_keeps_the_rows_that_were_not_run(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    assert Baseline.load(path).ratios == {}
    Baseline().with_rows([row("tell", 1.0), row("ask", 1.0)]).save(path)
    Baseline.load(path).with_rows([row("tell", 2.0)]).save(path)
    assert {what: ratio.median for what, ratio in Baseline.load(path).ratios.items()} == {"ask": 1.0, "tell": 2.0}


def test_the_stored_table_has_a_line_for_each_row_names_its_machine_and_may_have_other_rows(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    rows = [row(f"row {number}", 1 / 3, 2 / 3, 1.0) for number in range(20)]
    Baseline().with_rows(rows, "a machine").save(path)
    lines = path.read_text().splitlines()
    assert len(lines) == len(rows) + 5
    assert '    "row 0": [0.5,0.6667,0.8333],' in lines
    stored = Baseline.load(path)
    assert stored.machine == "a machine"
    assert stored.fallen([row("row 3", 0.1, 0.2, 0.3), row("a new one", 0.1)]) == [
        "row 3: 0.2 (0.15 to 0.25), before 0.667 (0.5 to 0.833)"
    ]
    # A table of an earlier version, without a machine.
    path.write_text('{"ratios": {"tell": [1, 2, 3]}}')
    assert Baseline.load(path) == Baseline({"tell": Spread(1, 2, 3)})


def test_a_run_stores_its_ratios_and_a_later_run_names_what_fell_and_what_could_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ratios = {"tell": (0.9, 1.0, 1.1), "ask": (0.9, 1.0, 1.1)}
    benchmarks = {name: lambda name=name: [row(name, *ratios[name])] for name in ratios}
    monkeypatch.setattr(baseline, "PATH", tmp_path / "baseline.json")
    monkeypatch.setattr(program, "BENCHMARKS", benchmarks)
    monkeypatch.setattr("logging.disable", lambda level: None)

    def run(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["benchmarks", *words])
        return program.main()

    assert run("--save") == 0
    assert sorted(Baseline.load().ratios) == ["ask", "tell"]
    assert run() == 0
    ratios["tell"] = (0.5, 0.6, 0.7)
    assert run() == 1
    assert "fell: tell: 0.6 (0.55 to 0.65), before 1 (0.95 to 1.05)" in capsys.readouterr().out
    del ratios["ask"]
    assert run("--save", "ask") == 1
    assert "could not run ask: KeyError" in capsys.readouterr().out
    assert sorted(Baseline.load().ratios) == ["ask", "tell"]


def test_the_load_of_others_is_a_part_of_the_machine() -> None:
    assert 0.0 <= MachineLoad().of_others() <= 1.0
