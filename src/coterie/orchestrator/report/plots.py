"""The plots of a report, as SVG."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from coterie.orchestrator.commons.fishing import Month
from coterie.orchestrator.report.inequality import gini
from coterie.rounds import Span

_COLOURS = ("#1f6f8b", "#e07a5f", "#81b29a", "#f2cc8f", "#3d405b", "#b56576", "#6d597a", "#457b9d", "#a7c957", "#bc6c25")
_MANY = 12
"""Lines that can be told apart; beyond them there is no legend."""
_MOST_SPANS = 4_000


def stock(months: Sequence[Month], capacity: int) -> str:
    """Return the stock before and after the catch of each month."""

    def draw(axes: Any) -> None:
        numbers = [month.number for month in months]
        axes.bar(numbers, [month.before for month in months], color="#cfe3ea", label="before the catch")
        axes.plot(numbers, [month.left for month in months], color=_COLOURS[0], marker="o", label="after the catch")
        axes.axhline(capacity, color="#999999", linewidth=0.8, linestyle=":")
        axes.set(xlabel="month", ylabel="units", ylim=(0, None))
        axes.legend(frameon=False)

    return _svg(draw)


def harvest(months: Sequence[Month]) -> str:
    """Return what each fisher has caught by each month."""

    def draw(axes: Any) -> None:
        names = list(months[0].caught)
        for place, name in enumerate(names):
            caught = list(accumulate(month.caught[name] for month in months))
            numbers = [month.number for month in months]
            axes.plot(numbers, caught, color=_COLOURS[place % len(_COLOURS)], marker=".", label=name)
        axes.set(xlabel="month", ylabel="units caught so far", ylim=(0, None))
        if len(names) <= _MANY:
            axes.legend(frameon=False)

    return _svg(draw)


def inequality(months: Sequence[Month]) -> str:
    """Return how unequal the catches were, month by month and in all."""

    def draw(axes: Any) -> None:
        numbers = [month.number for month in months]
        totals = {name: list(accumulate(month.caught[name] for month in months)) for name in months[0].caught}
        each = [gini(list(month.caught.values())) for month in months]
        so_far = [gini([caught[place] for caught in totals.values()]) for place in range(len(months))]
        axes.plot(numbers, each, color=_COLOURS[1], marker=".", label="this month")
        axes.plot(numbers, so_far, color=_COLOURS[0], marker=".", label="so far")
        axes.set(xlabel="month", ylabel="Gini coefficient", ylim=(0, 1))
        axes.legend(frameon=False)

    return _svg(draw)


def timeline(spans: Sequence[Span]) -> str:
    """Return who did what when, and who waited for whom."""
    shown = list(spans[:_MOST_SPANS])
    names = sorted({span.agent for span in shown}, reverse=True)
    rows = {name: place for place, name in enumerate(names)}
    stages = sorted({span.stage for span in shown if not span.waited_for})
    colours = {stage: _COLOURS[place % len(_COLOURS)] for place, stage in enumerate(stages)}

    def draw(axes: Any) -> None:
        for span in shown:
            if span.waited_for:
                axes.broken_barh([(span.began, span.ended - span.began)], (rows[span.agent] - 0.08, 0.16), color="#bbbbbb")
                if span.waited_for in rows:
                    axes.plot(
                        [span.ended, span.ended],
                        [rows[span.agent], rows[span.waited_for]],
                        color="#d3d3d3",
                        linewidth=0.5,
                        zorder=0,
                    )
            else:
                axes.broken_barh(
                    [(span.began, max(span.ended - span.began, 1e-4))],
                    (rows[span.agent] - 0.35, 0.7),
                    color=colours[span.stage],
                )
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="seconds; grey: waiting, with a line to who was waited for")
        for stage in stages:
            axes.plot([], [], color=colours[stage], linewidth=6, label=stage)
        if stages:
            axes.legend(frameon=False, ncols=len(stages), loc="lower center", bbox_to_anchor=(0.5, 1.0))

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
