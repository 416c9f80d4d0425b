"""The plots of a commons, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from matplotlib.ticker import MaxNLocator

from coterie.orchestrator.plots import COLOURS, legend, svg, timeline
from coterie_examples.commons.fishing import Month
from coterie_examples.commons.inequality import gini

__all__ = ["harvest", "inequality", "stock", "timeline"]

_MANY = 12
"""The maximum of fishers with different colours; more are shown without names."""
_FEW = 6
"""The maximum of months that are all labelled on their axis."""


def stock(months: Sequence[Month], capacity: int) -> str:
    """Return the stock before and after the catch of each month."""

    def draw(axes: Any) -> None:
        numbers = [month.number for month in months]
        axes.bar(numbers, [month.before for month in months], width=0.8, color="#cfe3ea", label="before the catch")
        axes.plot(numbers, [month.left for month in months], color=COLOURS[0], marker="o", label="after the catch")
        axes.axhline(capacity, color="#666666", linewidth=1, linestyle=":", label="what the lake can hold")
        axes.set(ylabel="units", ylim=(0, None))
        _months(axes, numbers)
        legend(axes, 3)

    return svg(draw)


def harvest(months: Sequence[Month]) -> str:
    """Return the catch of each fisher by month; for many fishers the total catches, the largest first."""

    def draw(axes: Any) -> None:
        names = list(months[0].caught)
        numbers = [month.number for month in months]
        if len(names) > _MANY:
            totals = sorted((sum(month.caught[name] for month in months) for name in names), reverse=True)
            axes.bar(range(1, len(totals) + 1), totals, color=COLOURS[0])
            axes.set(xlabel="fishers, by what they caught", ylabel="units caught in all", ylim=(0, None))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            return
        below = [0] * len(months)
        for place, name in enumerate(names):
            caught = [month.caught[name] for month in months]
            axes.bar(numbers, caught, bottom=below, width=0.8, color=COLOURS[place % len(COLOURS)], label=name)
            below = [one + other for one, other in zip(below, caught, strict=True)]
        axes.set(ylabel="units caught", ylim=(0, None))
        _months(axes, numbers)
        legend(axes, 6)

    return svg(draw)


def inequality(months: Sequence[Month]) -> str:
    """Return the inequality of the catches, by month and in total."""

    def draw(axes: Any) -> None:
        numbers = [month.number for month in months]
        totals = {name: list(accumulate(month.caught[name] for month in months)) for name in months[0].caught}
        each = [gini(list(month.caught.values())) for month in months]
        so_far = [gini([caught[place] for caught in totals.values()]) for place in range(len(months))]
        axes.plot(numbers, each, color=COLOURS[1], marker="o", markersize=7, label="this month", clip_on=False)
        axes.plot(numbers, so_far, color=COLOURS[0], marker="o", markersize=4, label="so far", clip_on=False)
        axes.set(ylabel="Gini coefficient (0: all the same)", ylim=(0, 1))
        _months(axes, numbers)
        legend(axes, 2)

    return svg(draw)


def _months(axes: Any, numbers: Sequence[int]) -> None:
    """Label the axis with whole months only."""
    axes.set(xlabel="month", xlim=(numbers[0] - 0.7, max(numbers[-1], numbers[0] + 3) + 0.7))
    if len(numbers) > _FEW:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        axes.set_xticks(numbers)
