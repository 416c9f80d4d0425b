"""Experiments run what their design says, go on after an interruption, name what failed, and compare what they measured."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from coterie.errors import InvalidSetting, ScenarioError
from coterie.errors.orchestrator import ExperimentChanged, RunUnknown
from coterie.orchestrator import (
    Assignment,
    Design,
    Experiment,
    assign,
    compare_answers,
    compare_groups,
    compare_samples,
    factorial,
    holm,
    latin_hypercube,
    summarise_sample,
    write_experiment_report,
    write_study_report,
)
from coterie.orchestrator.sweep import SweepRow
from coterie.tables import DataTable
from tests.cli.test_run import ROOT
from tests.orchestrator.simulating import simulate

EPIDEMIC = ROOT / "examples/epidemic/epidemic.toml"


def model(growth: float, seed: int) -> dict[str, Any]:
    if growth > 2 and seed == 3:
        raise ValueError("the lake is dry")
    return {"stock": 10 * growth + seed % 5, "name": "lake", "odd": None if seed == 1 else float(seed)}


def test_a_factorial_design_has_all_combinations() -> None:
    design = factorial({"a": [1, 2], "b": ["x", "y", "z"], "c": [0]})
    assert len(design.cells) == 6
    assert design.factors == ("a", "b")
    paired = design.runs([1, 2], paired=True)
    assert [seed for _, seed in paired] == [1, 2] * 6
    assert len({seed for _, seed in design.runs([1, 2], paired=False)}) == 12


def test_a_latin_hypercube_has_each_part_of_each_range_once() -> None:
    design = latin_hypercube({"x": (0.0, 1.0), "n": (1, 10), "kind": ["a", "b"]}, 10, seed=3)
    assert sorted(int(cell["x"] * 10) for cell in design.cells) == list(range(10))
    assert sorted(cell["n"] for cell in design.cells) == list(range(1, 11))
    assert sorted(cell["kind"] for cell in design.cells) == ["a"] * 5 + ["b"] * 5
    assert design == latin_hypercube({"x": (0.0, 1.0), "n": (1, 10), "kind": ["a", "b"]}, 10, seed=3)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: factorial({"a": []}), "the design has no runs"),
        (lambda: factorial({"a": "xy"}), "several values"),
        (lambda: Design("list", ()), "the design has no runs"),
        (lambda: Experiment(model, [{"growth": 1}, {"other": 1}]), "the same settings in all cells"),
        (lambda: Experiment(model, {"growth": [1]}, seeds=[]), "the design has no runs"),
        (lambda: Experiment(model, {"growth": [1]}, seeds=[1, 1]), "each seed once"),
        (lambda: Experiment(model, {"grwth": [1]}), "takes grwth and seed by name"),
        (lambda: Experiment(lambda growth, seed: 1, {"growth": [1]}, processes=2), "or give processes=1"),
        (lambda: Experiment(3, {"growth": [1]}), "a function of the settings"),  # type: ignore[arg-type]
        (lambda: latin_hypercube({"x": (2, 1)}, 3), "below its second"),
        (lambda: latin_hypercube({"x": (1, 2)}, 0), "cells"),
        (lambda: assign(["a", "a"]), "each unit once"),
        (lambda: assign(["a"], ["A"]), "at least two arms"),
        (lambda: assign([]), "at least one unit"),
        (lambda: compare_groups({"a": [1.0]}), "at least two groups"),
        (lambda: compare_samples([1.0], [1.0, 2.0], paired=True), "the same length"),
        (lambda: summarise_sample(["x"]), "numbers"),  # type: ignore[list-item]
    ],
)
def test_what_cannot_be_run_is_refused_before_the_first_run(make: Any, problem: str) -> None:
    with pytest.raises(InvalidSetting, match=problem):
        make()


def experiment(folder: Path | None = None, **options: Any) -> Experiment:
    return Experiment(model, {"growth": [1.0, 1.5, 2.5]}, seeds=range(4), folder=folder, processes=1, **options)


def test_an_interrupted_experiment_goes_on_with_the_missing_runs(tmp_path: Path) -> None:
    made: list[SweepRow] = []

    def interrupt(row: SweepRow) -> None:
        made.append(row)
        if len(made) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        experiment(tmp_path).run(interrupt)
    with (tmp_path / "runs.jsonl").open("ab") as file:
        file.write(b'{"settings": {"grow')  # a kill in the middle of a line
    assert experiment(tmp_path).recorded() == 5
    result = experiment(tmp_path).run(made.append)
    assert len(made) == 12
    assert [row.seed for row in result.rows] == [0, 1, 2, 3] * 3
    again: list[SweepRow] = []
    assert experiment(tmp_path).run(again.append).rows == result.rows
    # Only the run that failed is tried again.
    assert [(row.settings, row.seed) for row in again] == [({"growth": 2.5}, 3)]
    with pytest.raises(ExperimentChanged, match="another function or scenario"):
        Experiment(lambda growth, seed: 1.0, {"growth": [1.0]}, folder=tmp_path, processes=1).run()


def test_a_failed_run_is_named_and_left_out_of_the_statistics() -> None:
    result = experiment().run()
    assert [(row.settings, row.seed, row.error) for row in result.failed] == [
        ({"growth": 2.5}, 3, "ValueError: the lake is dry")
    ]
    assert result.measures == ("stock", "odd")
    summary = {each.name: each for each in result.summary("stock")}
    assert summary["growth=1"].mean == pytest.approx(11.5)
    assert (summary["growth=2.5"].count, summary["growth=2.5"].missing) == (3, 1)
    compared = result.compare("stock")
    assert [each.counts for each in compared] == [(4, 4), (3, 3)]
    assert [each.difference for each in compared] == pytest.approx([5.0, 15.0])
    assert result.table().where(seed=3)["error"] == (None, None, "ValueError: the lake is dry")
    assert result.frame().height == 12
    with pytest.raises(InvalidSetting, match="one of stock, odd"):
        result.compare("name")


def test_a_simulation_is_measured_by_its_last_row_and_processes_change_nothing() -> None:
    design = {"coins": [5, 50]}
    one = Experiment(simulate, design, seeds=range(2), processes=1).run()
    two = Experiment(simulate, design, seeds=range(2), processes=2).run()
    assert one.rows == two.rows
    assert all(row.digest and set(row.figures) == {"rounds", "pot"} for row in two.rows)


def test_a_scenario_is_run_over_its_settings_by_any_executor(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as executor:
        experiment = Experiment(EPIDEMIC, {"contacts": [0, 3]}, seeds=range(2), folder=tmp_path, executor=executor)
        result = experiment.run()
    assert result.groups("ill") == {"contacts=0": [1.0, 1.0], "contacts=3": [pytest.approx(20, abs=4)] * 2}
    with pytest.raises(ScenarioError, match="conctacts"):
        Experiment(EPIDEMIC, {"conctacts": [0]})


def test_statistics_are_those_of_scipy() -> None:
    one, other = [5.1, 4.9, 6.2, 5.8, 6.0, 7.1], [4.0, 4.4, 5.1, 4.8, None, 5.5]
    there = [value for value in other if value is not None]
    found = compare_samples(one, other)
    welch = stats.ttest_ind(one, there, equal_var=False)
    assert found.counts == (6, 5)
    assert found.t_p == pytest.approx(welch.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(welch.confidence_interval(0.95)))
    assert found.rank_p == pytest.approx(stats.mannwhitneyu(one, there).pvalue)
    assert found.difference is not None
    assert found.bootstrap_low is not None
    assert found.bootstrap_high is not None
    assert found.bootstrap_low < found.difference < found.bootstrap_high
    assert found.effect == pytest.approx(1.40206, abs=1e-4)
    signs = [(x > y) - (x < y) for x in one for y in there]
    assert found.dominance == pytest.approx(sum(signs) / len(signs))
    pairs = compare_samples(one, other, paired=True)
    kept = [value for value, partner in zip(one, other, strict=True) if partner is not None]
    assert pairs.t_p == pytest.approx(stats.ttest_rel(kept, there).pvalue)
    assert pairs.rank_p == pytest.approx(stats.wilcoxon(kept, there).pvalue)
    interval = stats.t.interval(0.9, 5, loc=sum(one) / 6, scale=stats.sem(one))
    summary = summarise_sample(one, confidence=0.9)
    assert (summary.low, summary.high) == pytest.approx(interval)


def test_samples_that_are_too_small_or_constant_give_no_warning_and_no_nonsense() -> None:
    assert compare_samples([], [1.0, 2.0]).difference is None
    assert compare_samples([1.0], [2.0]).t_p is None
    assert compare_samples([1.0, 1.0], [1.0, 1.0]).t_p == 1.0
    assert compare_samples([2.0, 2.0], [1.0, 1.0], paired=True).t_p == 0.0
    assert compare_samples([True, False, None], [float("nan"), 1, 0]).counts == (2, 2)
    assert summarise_sample([]).mean is None


def test_p_values_are_adjusted_together() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
    compared = compare_groups({"a": [1.0, 2.0, 3.0], "b": [2.0, 3.0, 4.5], "c": [7.0, 8.0, 9.0]})
    assert [each.name for each in compared] == ["b", "c"]
    assert all(each.adjusted_p is not None and each.t_p is not None and each.adjusted_p >= each.t_p for each in compared)


def test_answers_of_groups_are_compared() -> None:
    fourfold = compare_answers({"a": ["yes"] * 9 + ["no"], "b": ["yes"] * 2 + ["no"] * 8 + [None]})
    assert (fourfold.test, fourfold.counts["b"]) == ("Fisher", {"no": 8, "yes": 2})
    assert fourfold.p == pytest.approx(stats.fisher_exact([[9, 1], [2, 8]]).pvalue)
    three = compare_answers({"a": ["x", "y", "z"] * 5, "b": ["x"] * 15})
    assert three.p is not None
    assert three.p < 0.01
    assert compare_answers({"a": ["x"], "b": ["x"]}).p is None


def test_an_assignment_is_exact_in_each_stratum_and_kept_in_a_file(tmp_path: Path) -> None:
    units = [f"p{number}" for number in range(100)]
    made = assign(units, {"control": 3, "treated": 1}, seed=7, strata=lambda name: int(name[1:]) % 3)
    assert made.counts() == {"control": 75, "treated": 25}
    for stratum in ("0", "1", "2"):
        treated = sum(made.arm(unit) == "treated" for unit in units if made.strata[unit] == stratum)
        assert treated in (8, 9)
    assert made == assign(units, {"control": 3, "treated": 1}, seed=7, strata=lambda name: int(name[1:]) % 3)
    assert made.arms != assign(units, {"control": 3, "treated": 1}, seed=8).arms
    assert Assignment.load(made.save(tmp_path / "assignment.json")) == made
    assert made.split({"p0": 1.5, "other": 2.0}) == {"control": [1.5], "treated": []} or made.arm("p0") == "treated"
    assert made.table().rows == 100
    with pytest.raises(RunUnknown, match="it holds no assignment"):
        Assignment.load(tmp_path / "none.json")
    with pytest.raises(InvalidSetting, match="a unit that was assigned"):
        made.arm("other")


def test_the_report_has_the_design_the_failures_and_the_comparisons(tmp_path: Path) -> None:
    result = experiment(tmp_path).run()
    page, text, runs = write_experiment_report(
        result, assignment=assign(["ada", "ben"]), sections=[("Notes", "As told.", DataTable({"x": [1]}))]
    )
    for written in (page.read_text(), text.read_text()):
        assert "Design: factorial, 3 cells over growth; 4 runs in each, the same seeds in all cells" in written
        assert "growth=2.5, seed 3: ValueError: the lake is dry" in written
        assert "stock: comparisons with the first cell" in written
        assert "As told." in written
    assert page.read_text().count("<svg") == 2
    assert runs.read_text().count("\n") == 13
    assert write_study_report(tmp_path / "study", "A study", [("Answers", "", DataTable({"x": [1]}))])[1].read_text() == (
        "# A study\n\n## Answers\n\n| x |\n| --- |\n| 1 |\n"
    )
