"""Statistics of experiments: summaries with confidence intervals, tests and effect sizes. Needs the extra ``simulation``.

The tests and the bootstrap are SciPy's. Values that are missing are left out, and counted.
"""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from coterie.errors import ExtraMissing, InvalidSetting
from coterie.kernel import check_number

_RESAMPLES = 9_999


class SampleSummary(msgspec.Struct, frozen=True):
    """The summary of one sample. Figures that it is too small for are None."""

    name: str
    count: int
    """The values that are there."""
    missing: int
    mean: float | None
    deviation: float | None
    """The standard deviation of the sample."""
    median: float | None
    low: float | None
    """The lower end of the confidence interval of the mean, by Student's t."""
    high: float | None
    confidence: float


class SampleComparison(msgspec.Struct, frozen=True):
    """The difference of two samples, with tests and effect sizes. Figures that a sample is too small for are None."""

    name: str
    baseline: str
    counts: tuple[int, int]
    """The values of the sample and of the baseline; pairs, if they are paired."""
    paired: bool
    difference: float | None
    """The mean of the sample less that of the baseline."""
    low: float | None
    """The lower end of the confidence interval of the difference: Welch's t, or of the pairs."""
    high: float | None
    bootstrap_low: float | None
    """The lower end by the percentile bootstrap."""
    bootstrap_high: float | None
    t_p: float | None
    """Of Welch's t test, or of the paired t test, two-sided."""
    rank_p: float | None
    """Of the Mann-Whitney test, or, paired, of Wilcoxon's signed-rank test, two-sided."""
    effect: float | None
    """Hedges' g; paired, the mean difference by its standard deviation."""
    dominance: float | None
    """Cliff's delta: from -1 to 1, the probability of a larger value less that of a smaller one."""
    confidence: float
    adjusted_p: float | None = None
    """`t_p` adjusted for all comparisons that were made together (Holm)."""


def require_scipy() -> Any:
    """Return `scipy.stats`. Raises `ExtraMissing` without SciPy."""
    try:
        from scipy import stats  # noqa: PLC0415 - half a second, and only with the extra
    except ImportError as error:
        raise ExtraMissing("statistics of experiments", "simulation") from error
    return stats


def present(values: Sequence[Any]) -> list[float]:
    """Return the numbers of a sample, without missing ones and NaN; yes counts as 1. Raises `InvalidSetting` for other values."""
    for value in values:
        if value is not None and not isinstance(value, int | float):
            raise InvalidSetting("statistics.values", value, "numbers; compare texts with compare_answers")
    return [float(value) for value in values if value is not None and not math.isnan(value)]


def summarise_sample(values: Sequence[float | None], name: str = "", *, confidence: float = 0.95) -> SampleSummary:
    """Return the summary of a sample. Raises `InvalidSetting`, and `ExtraMissing` without SciPy."""
    _check(confidence)
    stats = require_scipy()
    found = present(values)
    mean = statistics.fmean(found) if found else None
    deviation = statistics.stdev(found) if len(found) > 1 else None
    low = high = None
    if mean is not None and deviation is not None:
        reach = float(stats.t.ppf((1 + confidence) / 2, len(found) - 1)) * deviation / math.sqrt(len(found))
        low, high = mean - reach, mean + reach
    median = statistics.median(found) if found else None
    return SampleSummary(name, len(found), len(values) - len(found), mean, deviation, median, low, high, confidence)


def compare_samples(
    sample: Sequence[float | None],
    baseline: Sequence[float | None],
    *,
    paired: bool = False,
    name: str = "sample",
    baseline_name: str = "baseline",
    confidence: float = 0.95,
    seed: int = 0,
) -> SampleComparison:
    """Return the comparison of a sample with a baseline; `seed` is that of the bootstrap.

    Paired samples have equal lengths; a pair with a missing value is left out. Raises `InvalidSetting`, and `ExtraMissing`
    without SciPy.
    """
    _check(confidence)
    stats = require_scipy()
    ours, theirs = present(sample), present(baseline)
    if paired:
        if len(sample) != len(baseline):
            raise InvalidSetting("compare_samples.paired", (len(sample), len(baseline)), "samples of the same length")
        pairs = [(one, other) for one, other in zip(sample, baseline, strict=True) if _is_there(one) and _is_there(other)]
        ours, theirs = present([one for one, _ in pairs]), present([other for _, other in pairs])
    if not ours or not theirs:
        nothing = (None,) * 9
        return SampleComparison(name, baseline_name, (len(ours), len(theirs)), paired, *nothing, confidence)
    difference = statistics.fmean(ours) - statistics.fmean(theirs)
    error, freedom = _paired_error(ours, theirs) if paired else _welch_error(ours, theirs)
    low = high = t_p = None
    if error is not None:
        reach = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error if error else 0.0
        low, high = difference - reach, difference + reach
        t_p = float(2 * stats.t.sf(abs(difference) / error, freedom)) if error else float(difference == 0)
    bootstrap_low, bootstrap_high = _bootstrap(ours, theirs, confidence, seed, paired=paired)
    return SampleComparison(
        name,
        baseline_name,
        (len(ours), len(theirs)),
        paired,
        difference,
        low,
        high,
        bootstrap_low,
        bootstrap_high,
        t_p,
        _rank_p(stats, ours, theirs, paired=paired),
        _effect(ours, theirs, paired=paired),
        _dominance(ours, theirs),
        confidence,
    )


def compare_groups(
    groups: Mapping[str, Sequence[float | None]],
    *,
    baseline: str = "",
    paired: bool = False,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[SampleComparison]:
    """Compare each group with a baseline, by default the first, and adjust the p-values of all together (Holm).

    Raises `InvalidSetting` for fewer than two groups or an unknown baseline, and `ExtraMissing` without SciPy.
    """
    if len(groups) < 2:  # noqa: PLR2004 - a comparison has two sides
        raise InvalidSetting("compare_groups.groups", list(groups), "at least two groups")
    base = baseline or next(iter(groups))
    if base not in groups:
        raise InvalidSetting("compare_groups.baseline", base, f"one of {', '.join(groups)}")
    made = [
        compare_samples(values, groups[base], paired=paired, name=name, baseline_name=base, confidence=confidence, seed=seed)
        for name, values in groups.items()
        if name != base
    ]
    adjusted = holm([each.t_p for each in made])
    return [msgspec.structs.replace(each, adjusted_p=p) for each, p in zip(made, adjusted, strict=True)]


class AnswerComparison(msgspec.Struct, frozen=True):
    """The comparison of the answers of groups to a question with options."""

    counts: dict[str, dict[str, int]]
    """The number of each answer, by group."""
    p: float | None
    """Of Fisher's exact test for two groups and two answers, otherwise of the chi-squared test; None without two answers."""
    test: str
    association: float | None
    """Cramer's V: from 0 to 1."""


def compare_answers(groups: Mapping[str, Sequence[object]]) -> AnswerComparison:
    """Return the comparison of the answers of groups. Missing answers are left out. Raises `InvalidSetting` and `ExtraMissing`."""
    stats = require_scipy()
    if len(groups) < 2:  # noqa: PLR2004 - a comparison has two sides
        raise InvalidSetting("compare_answers.groups", list(groups), "at least two groups")
    labels = sorted({str(value) for values in groups.values() for value in values if value is not None})
    counts = {
        name: {label: sum(str(v) == label for v in values if v is not None) for label in labels}
        for name, values in groups.items()
    }
    rows = [list(row.values()) for row in counts.values() if sum(row.values())]
    if len(rows) < 2 or len(labels) < 2:  # noqa: PLR2004 - there is no difference to test
        return AnswerComparison(counts, None, "none: there are not two answers in two groups", None)
    chi2 = stats.chi2_contingency(rows, correction=False)
    total = sum(map(sum, rows))
    association = math.sqrt(float(chi2.statistic) / (total * (min(len(rows), len(labels)) - 1)))
    if len(rows) == len(labels) == 2:  # noqa: PLR2004 - a fourfold table
        return AnswerComparison(counts, float(stats.fisher_exact(rows).pvalue), "Fisher", association)
    return AnswerComparison(counts, float(chi2.pvalue), "chi-squared", association)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Return p-values adjusted for their number (Holm, 1979); missing ones stay missing."""
    order = sorted((p, place) for place, p in enumerate(values) if p is not None)
    adjusted: list[float | None] = [None] * len(values)
    most = 0.0
    for rank, (p, place) in enumerate(order):
        most = max(most, min(1.0, p * (len(order) - rank)))
        adjusted[place] = most
    return adjusted


def _check(confidence: float) -> None:
    check_number("statistics.confidence", confidence, above=0)
    if confidence >= 1:
        raise InvalidSetting("statistics.confidence", confidence, "a number between 0 and 1, such as 0.95")


def _is_there(value: float | None) -> bool:
    return value is not None and not math.isnan(value)


def _welch_error(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float | None, float]:
    """Return the standard error of the difference of means, and its degrees of freedom (Welch and Satterthwaite)."""
    if min(len(ours), len(theirs)) < 2:  # noqa: PLR2004 - one value has no deviation
        return None, 0.0
    one, other = statistics.variance(ours) / len(ours), statistics.variance(theirs) / len(theirs)
    if not one + other:
        return 0.0, 1.0
    freedom = (one + other) ** 2 / (one**2 / (len(ours) - 1) + other**2 / (len(theirs) - 1))
    return math.sqrt(one + other), freedom


def _paired_error(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float | None, float]:
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    if len(differences) < 2:  # noqa: PLR2004 - one value has no deviation
        return None, 0.0
    return statistics.stdev(differences) / math.sqrt(len(differences)), len(differences) - 1


def _bootstrap(
    ours: Sequence[float], theirs: Sequence[float], confidence: float, seed: int, *, paired: bool
) -> tuple[float | None, float | None]:
    if min(len(ours), len(theirs)) < 2:  # noqa: PLR2004 - one value cannot be resampled
        return None, None
    import numpy as np  # noqa: PLC0415 - only with the extra

    stats = require_scipy()
    random = np.random.default_rng(seed)
    options = {"confidence_level": confidence, "n_resamples": _RESAMPLES, "method": "percentile", "random_state": random}
    if paired:
        sample: tuple[Any, ...] = (np.subtract(ours, theirs),)
        found = stats.bootstrap(sample, lambda x, axis: x.mean(axis), vectorized=True, **options)
    else:
        found = stats.bootstrap(
            (np.asarray(ours), np.asarray(theirs)), lambda x, y, axis: x.mean(axis) - y.mean(axis), vectorized=True, **options
        )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _rank_p(stats: Any, ours: Sequence[float], theirs: Sequence[float], *, paired: bool) -> float | None:
    if min(len(ours), len(theirs)) < 2:  # noqa: PLR2004 - there is no rank to compare
        return None
    if paired:
        if all(one == other for one, other in zip(ours, theirs, strict=True)):
            return 1.0
        return float(stats.wilcoxon(ours, theirs).pvalue)
    return float(stats.mannwhitneyu(ours, theirs, alternative="two-sided").pvalue)


def _effect(ours: Sequence[float], theirs: Sequence[float], *, paired: bool) -> float | None:
    if min(len(ours), len(theirs)) < 2:  # noqa: PLR2004 - one value has no deviation
        return None
    if paired:
        differences = [one - other for one, other in zip(ours, theirs, strict=True)]
        deviation = statistics.stdev(differences)
        return statistics.fmean(differences) / deviation if deviation else None
    freedom = len(ours) + len(theirs) - 2
    pooled = ((len(ours) - 1) * statistics.variance(ours) + (len(theirs) - 1) * statistics.variance(theirs)) / freedom
    if not pooled:
        return None
    # Hedges' correction for small samples.
    return (statistics.fmean(ours) - statistics.fmean(theirs)) / math.sqrt(pooled) * (1 - 3 / (4 * freedom - 1))


def _dominance(ours: Sequence[float], theirs: Sequence[float]) -> float:
    ordered = sorted(theirs)
    above = sum(bisect.bisect_left(ordered, value) for value in ours)
    below = sum(len(ordered) - bisect.bisect_right(ordered, value) for value in ours)
    return (above - below) / (len(ours) * len(theirs))
