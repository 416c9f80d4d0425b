"""Simulations and runtimes in notebooks: rich displays, a progress bar, and runs that a cell awaits.

Each `Simulation` and `Runtime` at the end of a cell is shown as a table with plots, by the functions here, which they load when
a notebook asks for a display. ``%load_ext coterie.console.notebook`` does the same for subclasses with displays of their own.
``await run(simulation, rounds=12)`` runs a simulation on a thread of its own, so that the loop of the notebook goes on.
"""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2

from coterie.concurrency import start_thread
from coterie.console.rendering import number, seconds, shown
from coterie.console.run_reader import WorldReader, newest_events, plots_of
from coterie.kernel import SystemClock
from coterie.rounds import Result, RoundResult, Simulation
from coterie.runtime import Runtime

_EVENTS, _KEYS, _AGENTS = 8, 20, 20
_BUDGET = 200_000
"""Events that a display reads at most."""
_TEN_HERTZ = 0.1
_WIDTH, _HEIGHT = 360.0, 120.0


def load_ipython_extension(shell: Any) -> None:
    """Show simulations and runtimes of a notebook as HTML. IPython calls it for ``%load_ext``."""
    formatter = shell.display_formatter.formatters["text/html"]
    formatter.for_type(Simulation, simulation_html)
    formatter.for_type(Runtime, runtime_html)


def simulation_html(simulation: Simulation) -> str:
    """Return a simulation as HTML: rounds, plots of its numbers, the keys of its world, and its last events."""
    world = simulation.plan.world
    reader = WorldReader()
    reader.refresh(world, _BUDGET)
    view = world.view()
    return _template().render(
        title="Simulation",
        figures={
            "round": reader.last_round,
            "agents": len(simulation.plan.agents),
            "events": world.sequence,
            "keys": len(view),
            "digest": world.digest()[:12],
        },
        plots=[_drawn(each) for each in plots_of(reader, "", "round")],
        tables=[
            ("key", "value", [(key, shown(view[key])) for key, _ in zip(sorted(view), range(_KEYS), strict=False)]),
            (
                "event",
                "",
                [
                    (f"{each.sequence} {each.kind}", f"{each.agent} {each.action} {each.reason}".strip())
                    for each in newest_events(world, world.sequence, {}, _EVENTS)
                ],
            ),
        ],
    )


def runtime_html(runtime: Runtime) -> str:
    """Return a runtime as HTML: its agents by state, and a table of them."""
    health = runtime.health()
    totals = runtime.metrics().totals
    states = Counter(str(each.state) for each in health.values())
    busiest = sorted(health.values(), key=lambda each: (-each.queued, -each.handled, each.name))[:_AGENTS]
    rows = [
        (each.name, f"{each.state}, {each.queued} queued, {each.handled} handled, {each.restarts} restarts {each.last_error}")
        for each in busiest
    ]
    return _template().render(
        title=f"Runtime {runtime.name}",
        figures={"agents": len(health), **states, "handled": totals.handled, "failed": totals.failed, "dead": totals.dead},
        plots=[],
        tables=[("agent", "", rows)],
    )


class ProgressBar:
    """A progress bar for a notebook or a terminal: give it to `Simulation.run` as `on_round`.

    ::

        simulation.run(12, ProgressBar(12))
    """

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self._handle: Any = None
        self._shown = float("-inf")

    def __call__(self, result: RoundResult) -> None:
        """Show a settled round, at most ten times a second."""
        now = SystemClock().monotonic()
        if now - self._shown >= _TEN_HERTZ or result.number >= self._rounds:
            self._shown = now
            self.show(result.number)

    def show(self, done: int) -> None:
        """Show so many rounds as done."""
        import IPython.display as shown_by  # noqa: PLC0415 - it comes with the notebook

        ipython: Any = shown_by  # it has no types
        bar = ipython.HTML(_template("progress.html").render(done=done, rounds=self._rounds))
        if self._handle is None:
            self._handle = ipython.display(bar, display_id=True)
        else:
            self._handle.update(bar)


async def run(
    simulation: Simulation, rounds: int, on_round: Callable[[RoundResult], object] | None = None, *, progress: bool = True
) -> Result:
    """Run a simulation on a thread of its own and return its result; the calling loop goes on meanwhile.

    Shows a progress bar, unless `progress` is false. `on_round` is called on that thread. If the await is cancelled, the
    simulation stops after its current round. Raises the errors of `Simulation.run`.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Result] = loop.create_future()
    bar = ProgressBar(rounds) if progress else None

    def settled(result: RoundResult) -> None:
        if bar is not None:
            loop.call_soon_threadsafe(bar, result)
        if on_round is not None:
            on_round(result)

    def work() -> None:
        try:
            result = simulation.run(rounds, settled)
        except BaseException as error:  # noqa: BLE001 - the awaiting cell raises it
            loop.call_soon_threadsafe(_end, ended, ended.set_exception, error)
        else:
            loop.call_soon_threadsafe(_end, ended, ended.set_result, result)

    start_thread(work, "notebook-run", part="console")
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        simulation.stop("the cell was interrupted")
        raise


def _end(ended: asyncio.Future[Result], end: Callable[[Any], None], value: Any) -> None:
    if not ended.done():
        end(value)


def _drawn(plot: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plot as lines of an SVG picture."""
    data = plot["data"]
    values = [each for line in data["series"] for each in line if each is not None]
    low, high = min([0.0, *values]), max([*values, 1e-9])
    first, last = data["x"][0], max(data["x"][-1], data["x"][0] + 1)

    def place(x: float, y: float) -> str:
        return f"{(x - first) / (last - first) * _WIDTH:.1f},{_HEIGHT - (y - low) / (high - low or 1) * _HEIGHT:.1f}"

    lines = [" ".join(place(x, y) for x, y in zip(data["x"], line, strict=True) if y is not None) for line in data["series"]]
    return {"title": plot["title"], "alt": plot["alt"], "lines": list(zip(data["names"], lines, strict=True)), "high": high}


@functools.cache
def _template(name: str = "notebook.html") -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(number=number, seconds=seconds, value=shown)
    return environment.get_template(name)
