"""The plots of a report, as SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from coterie.orchestrator.kind import Plot
from coterie.rounds.engine.timeline import Span

COLOURS = ("#1f6f8b", "#e07a5f", "#81b29a", "#f2cc8f", "#3d405b", "#b56576", "#6d597a", "#457b9d", "#a7c957", "#bc6c25")
_MOST_SPANS = 4_000


def lines(plot: Plot) -> str:
    """Return a line plot as SVG."""

    def draw(axes: Any) -> None:
        for place, (name, values) in enumerate(plot.series.items()):
            axes.plot(plot.x, values, color=COLOURS[place % len(COLOURS)], marker="o", markersize=4, label=name)
        axes.set(xlabel=plot.x_label, ylabel=plot.y_label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(plot.series) > 1:
            legend(axes, 6)

    return svg(draw)


def timeline(spans: Sequence[Span]) -> str:
    """Return a time line of the turns and waits of each agent, as SVG."""
    shown = list(spans[:_MOST_SPANS])
    names = sorted({span.agent for span in shown}, key=_as_read, reverse=True)
    rows = {name: place for place, name in enumerate(names)}
    stages = sorted({span.stage for span in shown if not span.waited_for})
    longest = max((span.ended for span in shown), default=0.0)
    # Tenths of a second are hard to read off an axis, milliseconds are not.
    unit, scale = ("milliseconds", 1_000.0) if longest < 1 else ("seconds", 1.0)
    colours = {stage: COLOURS[place % len(COLOURS)] for place, stage in enumerate(stages)}

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
            legend(axes, 6)

    return svg(draw, height=1.2 + 0.35 * len(names))


def table_of_means(rows: Sequence[tuple[str, float, float]], label: str) -> bytes:
    """Return a plot of means and deviations by name, as PNG."""
    figure = Figure(figsize=(8, 1.5 + 0.3 * len(rows)))
    axes = figure.subplots()
    axes.barh(
        [name for name, _, _ in rows], [mean for _, mean, _ in rows], xerr=[spread for _, _, spread in rows], color=COLOURS[0]
    )
    axes.invert_yaxis()
    axes.set(xlabel=label)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=120, bbox_inches="tight")
    return out.getvalue()


def _as_read(name: str) -> tuple[tuple[int, str], ...]:
    """Return the sort key of a name, by which agent-9 comes before agent-10."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name))


def legend(axes: Any, columns: int) -> None:
    """Put the legend above the plot, where it hides nothing."""
    axes.legend(frameon=False, ncols=columns, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2)


def svg(draw: Callable[[Any], None], height: float = 3.2) -> str:
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
