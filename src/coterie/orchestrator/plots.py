"""The plots of a report, as SVG."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from coterie.orchestrator.kind import Plot
from coterie.rounds.engine.timeline import Span

COLOURS = ("#1f6f8b", "#e07a5f", "#81b29a", "#f2cc8f", "#3d405b", "#b56576", "#6d597a", "#457b9d", "#a7c957", "#bc6c25")
_MOST_SPANS = 4_000
_MOST_AGENTS, _FEWEST_AGENTS = 60, 12
"""The numbers of agents that a time line shows, if there are more."""


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


def timeline(spans: Sequence[Span], rounds: int = 0) -> str:
    """Return a time line of the turns and waits of each agent, as SVG, for a run of `rounds` rounds.

    Of a large run it shows some agents, over whole rounds, and names the omitted part in the title.
    """
    shown, title = _part_of(spans, rounds)
    names = sorted({span.agent for span in shown}, key=_as_read, reverse=True)
    rows = {name: place for place, name in enumerate(names)}
    stages = sorted({span.stage for span in shown if not span.waited_for})
    longest = max((span.ended for span in shown), default=0.0)
    # Tenths of a second are hard to read off an axis, milliseconds are not.
    unit, scale = ("milliseconds", 1_000.0) if longest < 1 else ("seconds", 1.0)
    colours = {stage: COLOURS[place % len(COLOURS)] for place, stage in enumerate(stages)}
    # One collection for each row and stage, because matplotlib takes a millisecond for each.
    turns: dict[tuple[str, str], list[tuple[float, float]]] = {}
    waits: dict[str, list[tuple[float, float]]] = {}
    for span in shown:
        if span.waited_for:
            waits.setdefault(span.agent, []).append((scale * span.began, scale * (span.ended - span.began)))
        else:
            bar = (scale * span.began, scale * max(span.ended - span.began, longest / 1_000))
            turns.setdefault((span.agent, span.stage), []).append(bar)
    causes = [(scale * span.ended, rows[span.agent], rows[span.waited_for]) for span in shown if span.waited_for in rows]

    def draw(axes: Any) -> None:
        for agent, bars in waits.items():
            axes.broken_barh(bars, (rows[agent] - 0.08, 0.16), color="#bbbbbb")
        if causes:
            when, one, other = zip(*causes, strict=True)
            axes.vlines(when, one, other, color="#d3d3d3", linewidth=0.5, zorder=0)
        for (agent, stage), bars in turns.items():
            axes.broken_barh(bars, (rows[agent] - 0.35, 0.7), color=colours[stage])
        axes.set_yticks(range(len(names)), names)
        axes.set(ylim=(-0.6, len(names) - 0.4))
        axes.set(xlabel=f"{unit}; grey: waiting, with a line to the agent that was waited for", xlim=(0, None))
        for stage in stages:
            axes.plot([], [], color=colours[stage], linewidth=6, label=stage)
        if stages:
            legend(axes, 6)
        if title:
            axes.set_title(title, loc="left", fontsize="small", pad=28)

    return svg(draw, height=1.2 + 0.35 * max(1, len(names)) + (0.4 if title else 0))


def _part_of(spans: Sequence[Span], rounds: int) -> tuple[list[Span], str]:
    """Return the spans to show, and a text that names the omitted ones; empty if none are omitted."""
    agents = sorted({span.agent for span in spans}, key=_as_read)
    last = max((span.round for span in spans), default=0)
    most = max(_FEWEST_AGENTS, min(_MOST_AGENTS, _MOST_SPANS * len(agents) // max(1, len(spans))))
    shown, said = list(spans), []
    if len(agents) > most:
        waited_for = Counter(span.waited_for for span in spans if span.waited_for)
        # Agents for which others wait are more interesting than the others.
        chosen = {name for name, _ in waited_for.most_common(most // 4)}
        chosen |= set([name for name in agents if name not in chosen][: most - len(chosen)])
        shown = [span for span in shown if span.agent in chosen]
        said.append(f"{len(chosen)} of {len(agents)} agents: those that most waited for, and the first by name")
    if len(shown) > _MOST_SPANS:
        shown, last = _first_rounds(shown)
    if last < max(rounds, max((span.round for span in spans), default=0)):
        said.append(f"rounds 1 to {last} of {max(rounds, last)}")
    return shown, "; ".join(said)


def _first_rounds(spans: Sequence[Span]) -> tuple[list[Span], int]:
    """Return the spans of whole rounds, within the maximum number of spans, and the last of these rounds."""
    counts = Counter(span.round for span in spans)
    total, last = 0, 0
    for number, count in sorted(counts.items()):
        total += count
        if total > _MOST_SPANS and last:
            break
        last = number
    return [span for span in spans if span.round <= last], last


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
