"""The plots of a report, as SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from coterie.orchestrator.commons.fishing import Month
from coterie.orchestrator.report.inequality import gini
from coterie.rounds import Span

_COLOURS = ("#1f6f8b", "#e07a5f", "#81b29a", "#f2cc8f", "#3d405b", "#b56576", "#6d597a", "#457b9d", "#a7c957", "#bc6c25")
_MANY = 12
"""Fishers that can be told apart by their colours; more are shown without their names."""
_FEW = 6
"""Months that are all named on their axis."""
_MOST_SPANS = 4_000


def stock(months: Sequence[Month], capacity: int) -> str:
    """Return the stock before and after the catch of each month."""

    def draw(axes: Any) -> None:
        numbers = [month.number for month in months]
        axes.bar(numbers, [month.before for month in months], width=0.8, color="#cfe3ea", label="before the catch")
        axes.plot(numbers, [month.left for month in months], color=_COLOURS[0], marker="o", label="after the catch")
        axes.axhline(capacity, color="#666666", linewidth=1, linestyle=":", label="what the lake can hold")
        axes.set(ylabel="units", ylim=(0, None))
        _months(axes, numbers)
        _legend(axes, 3)

    return _svg(draw)


def harvest(months: Sequence[Month]) -> str:
    """Return what each fisher has caught, month by month; of many fishers, in all, the one who caught most first."""

    def draw(axes: Any) -> None:
        names = list(months[0].caught)
        numbers = [month.number for month in months]
        if len(names) > _MANY:
            totals = sorted((sum(month.caught[name] for month in months) for name in names), reverse=True)
            axes.bar(range(1, len(totals) + 1), totals, color=_COLOURS[0])
            axes.set(xlabel="fishers, by what they caught", ylabel="units caught in all", ylim=(0, None))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            return
        below = [0] * len(months)
        for place, name in enumerate(names):
            caught = [month.caught[name] for month in months]
            axes.bar(numbers, caught, bottom=below, width=0.8, color=_COLOURS[place % len(_COLOURS)], label=name)
            below = [one + other for one, other in zip(below, caught, strict=True)]
        axes.set(ylabel="units caught", ylim=(0, None))
        _months(axes, numbers)
        _legend(axes, 6)

    return _svg(draw)


def inequality(months: Sequence[Month]) -> str:
    """Return how unequal the catches were, month by month and in all."""

    def draw(axes: Any) -> None:
        numbers = [month.number for month in months]
        totals = {name: list(accumulate(month.caught[name] for month in months)) for name in months[0].caught}
        each = [gini(list(month.caught.values())) for month in months]
        so_far = [gini([caught[place] for caught in totals.values()]) for place in range(len(months))]
        axes.plot(numbers, each, color=_COLOURS[1], marker="o", markersize=7, label="this month", clip_on=False)
        axes.plot(numbers, so_far, color=_COLOURS[0], marker="o", markersize=4, label="so far", clip_on=False)
        axes.set(ylabel="Gini coefficient (0: all the same)", ylim=(0, 1))
        _months(axes, numbers)
        _legend(axes, 2)

    return _svg(draw)


def timeline(spans: Sequence[Span]) -> str:
    """Return who did what when, and who waited for whom."""
    shown = list(spans[:_MOST_SPANS])
    names = sorted({span.agent for span in shown}, key=_as_read, reverse=True)
    rows = {name: place for place, name in enumerate(names)}
    stages = sorted({span.stage for span in shown if not span.waited_for})
    longest = max((span.ended for span in shown), default=0.0)
    # Tenths of a second are hard to read off an axis, milliseconds are not.
    unit, scale = ("milliseconds", 1_000.0) if longest < 1 else ("seconds", 1.0)
    colours = {stage: _COLOURS[place % len(_COLOURS)] for place, stage in enumerate(stages)}

    def draw(axes: Any) -> None:
        for span in shown:
            if span.waited_for:
                axes.broken_barh(
                    [(scale * span.began, scale * (span.ended - span.began))], (rows[span.agent] - 0.08, 0.16), color="#bbbbbb"
                )
                if span.waited_for in rows:
                    axes.plot(
                        [scale * span.ended, scale * span.ended],
                        [rows[span.agent], rows[span.waited_for]],
                        color="#d3d3d3",
                        linewidth=0.5,
                        zorder=0,
                    )
            else:
                axes.broken_barh(
                    [(scale * span.began, scale * max(span.ended - span.began, longest / 1_000))],
                    (rows[span.agent] - 0.35, 0.7),
                    color=colours[span.stage],
                )
        axes.set_yticks(range(len(names)), names)
        axes.set(ylim=(-0.6, len(names) - 0.4))
        axes.set(xlabel=f"{unit}; grey: waiting, with a line to who was waited for", xlim=(0, None))
        for stage in stages:
            axes.plot([], [], color=colours[stage], linewidth=6, label=stage)
        if stages:
            _legend(axes, 6)

    return _svg(draw, height=1.2 + 0.35 * len(names))


def table_of_means(rows: Sequence[tuple[str, float, float]], label: str) -> bytes:
    """Return a plot of means and deviations by name, as PNG."""
    figure = Figure(figsize=(8, 1.5 + 0.3 * len(rows)))
    axes = figure.subplots()
    axes.barh(
        [name for name, _, _ in rows], [mean for _, mean, _ in rows], xerr=[spread for _, _, spread in rows], color=_COLOURS[0]
    )
    axes.invert_yaxis()
    axes.set(xlabel=label)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120, bbox_inches="tight")
    return out.getvalue()


def _as_read(name: str) -> tuple[tuple[int, str], ...]:
    """Return by what names are sorted so that the ninth comes before the tenth."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name))


def _months(axes: Any, numbers: Sequence[int]) -> None:
    """Have the axis show whole months, and no half ones beside a single one."""
    axes.set(xlabel="month", xlim=(numbers[0] - 0.7, max(numbers[-1], numbers[0] + 3) + 0.7))
    if len(numbers) > _FEW:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        axes.set_xticks(numbers)


def _legend(axes: Any, columns: int) -> None:
    """Put the legend above the plot, where it hides nothing."""
    axes.legend(frameon=False, ncols=columns, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2)


def _svg(draw: Callable[[Any], None], height: float = 3.2) -> str:
    """Return a plot as an SVG element; the same plot is the same text."""
    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "coterie", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
