"""The page of one run: its state, its world now and at past moments, decisions, time line, events, and its end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from coterie.console.commands import RunCommands
from coterie.console.page import Visit
from coterie.console.problems import ConsoleProblem
from coterie.console.rendering import moment, shown
from coterie.console.run_reader import RowOf, WorldReader, history, newest_events, plots_of
from coterie.console.run_worlds import RunWorld, RunWorlds
from coterie.console.runs import RunPages
from coterie.errors import CoterieError, HistoryGone
from coterie.errors.orchestrator import RunUnknown
from coterie.orchestrator import Plot, Scenario, Summary, Table, load_run, run_status
from coterie.orchestrator.control import PARAMETERS
from coterie.orchestrator.folder import MEETINGS
from coterie.orchestrator.running import scenario_of_run
from coterie.rounds import RoundResult
from coterie.rounds.engine.timeline import Span
from coterie.world import Event, World

_EVENTS, _DECISIONS, _KEYS = 60, 200, 200
_READ_OF_A_ROUND = 5_000
_SORTED = 20_000
"""Keys of a world that are still sorted for a page."""
_SPANS, _ROWS = 3_000, 24
_LINE, _LEFT = 1_000.0, 156.0
"""The width of a time line, and the place where its bars begin."""
_STEPS = 60
_YEAR_2000 = 946_684_800
_OUTCOMES = ("granted", "cut", "refused", "forfeited")
_QUIET = ("round ended", "interleaving")


class _OfKind(NamedTuple):
    """What a kind tells about a run."""

    version: tuple[bool, str]
    step_name: str
    row: RowOf | None
    summary: Summary | None
    note: str


class RunPage:
    """Reads the page of one run. Safe from any thread: its tables are only caches."""

    def __init__(self, worlds: RunWorlds, runs: RunPages, commands: RunCommands) -> None:
        self._worlds = worlds
        self._runs = runs
        self._commands = commands
        self._known: dict[Path, _OfKind] = {}

    def read(self, visit: Visit) -> Mapping[str, Any]:
        """Read the page. Raises `ConsoleProblem` for a run that is gone."""
        id = visit.path["id"]  # noqa: A001 - the usual name
        path = self._runs.folder(id)
        if path is None and id not in self._worlds.simulations():
            raise ConsoleProblem(404, f"There is no run {id} here. Its folder may be gone, or the simulation was hidden.")
        overview, status, note = None, None, ""
        if path is not None:
            overview, status = self._runs.overview(path), run_status(path)
        values: dict[str, Any] = {
            "id": id,
            "overview": overview,
            "status": status,
            "steerable": status is not None and status.live,
            "command": self._commands.state(path) if path is not None else None,
            "reading": 1.0,
            "minutes": path is not None and (path / MEETINGS).is_dir(),
            "world": None,
            "agents": None,
            "plots": [],
            "decisions": [],
            "decisions_left": 0,
            "timeline": None,
            "events": [],
            "adjusted": {},
            "step_name": "round",
            "last_round": 0,
            "first_round": 0,
            "shown_round": 0,
            "summary": None,
            "tables": [],
            "lines": (),
        }
        row = None
        if path is not None and overview is not None:
            of_kind = self._of_kind(path, (overview.live, overview.digest))
            values["step_name"], row, summary, note = of_kind[1:]
            if summary is not None:
                tables = [*summary.tables, *([summary.history] if summary.history is not None else [])]
                values |= {"summary": summary, "tables": [_table(each) for each in tables], "lines": summary.lines}
        with self._worlds.reading(id, path, row) as found:
            if found is None:
                values |= {"events": _steps(path), "plots": _plots(values["summary"])}
            else:
                values |= self._world(visit, found, path, values["step_name"])
        if status is None and path is None:
            note = "This simulation has no folder, so it takes no commands: run a scenario, or give its run a folder."
        return values | {"note": note}

    def _of_kind(self, path: Path, version: tuple[bool, str]) -> _OfKind:
        """Return what the kind of a run tells about it; `version` is whether it goes on, and its digest."""
        known = self._known.get(path)
        if known is not None and known.version == version:
            return known
        step_name, row, summary, note = "round", None, None, ""
        try:
            scenario = scenario_of_run(path)
            step_name, row = scenario.kind.step_name, partial(_row, scenario)

            if not version[0]:
                scenario, record = load_run(path)
                summary = scenario.kind.summarise(scenario.parameters, record)
        except CoterieError as error:
            note = str(error)
        except Exception as error:  # noqa: BLE001 - code of a kind must not break the page
            note = f"The kind cannot summarise this run: {error}"
        found = self._known[path] = _OfKind(version, step_name, row, summary, note)
        return found

    def _world(self, visit: Visit, found: RunWorld, path: Path | None, step_name: str) -> dict[str, Any]:
        world, reader = found.world, found.reader
        number = min(visit.number("round", reader.last_round), reader.last_round)
        now = not visit.text("round")
        last = world.sequence if now else reader.end_of(world, number)
        before = reader.end_of(world, number - 1)
        plots = plots_of(reader, visit.text("plot"), step_name)
        ended = min(world.sequence, reader.end_of(world, number) or world.sequence, before + _READ_OF_A_ROUND)
        of_round = history(world, before + 1, ended)
        wanted = {"agent": visit.text("agent"), "event": visit.text("event")}
        decided = [each for each in of_round if (each.action and each.kind in _OUTCOMES) or each.kind == "forfeited"]
        simulation = found.simulation
        view = world.view()
        return {
            "reading": found.reading,
            "last_round": reader.last_round,
            "first_round": reader.first_round,
            "shown_round": number,
            "world": _keys(world, last, before, visit.text("keys")),
            "agents": len(simulation.plan.agents) if simulation is not None else None,
            "plots": plots,
            "decisions": [_decision(each) for each in decided[:_DECISIONS]],
            "decisions_left": max(0, len(decided) - _DECISIONS),
            "timeline": _timeline(self._spans(found, path), number, reader),
            "events": [_event(each) for each in newest_events(world, last, wanted, _EVENTS)],
            "adjusted": dict(view.under(PARAMETERS)),
        }

    def _spans(self, found: RunWorld, path: Path | None) -> Sequence[Span]:
        if found.simulation is not None:
            return found.simulation.timeline(_SPANS)
        file = path / "timeline.json" if path is not None else None
        if file is None or not file.is_file():
            return ()
        try:
            return msgspec.json.decode(file.read_bytes(), type=tuple[Span, ...])
        except (OSError, msgspec.MsgspecError) as error:
            raise RunUnknown(file, f"it cannot be read: {error}") from error


def _row(scenario: Scenario, result: RoundResult) -> Mapping[str, Any]:
    return scenario.kind.row(scenario.parameters, scenario.kind.step(result))


def _keys(world: World, last: int, before: int, part: str) -> dict[str, Any]:
    """Return the table of keys after an event, with those marked that changed since the round before."""
    try:
        view = world.at(last)
    except HistoryGone:
        raise ConsoleProblem(410, "This moment is no longer kept: the world has no log, only its newest events.") from None
    fitting = [key for key in view if part in key] if part else view
    ordered = sorted(fitting) if len(fitting) <= _SORTED else list(_first(fitting, _KEYS))
    changed = {key for event in history(world, before + 1, min(last, before + _READ_OF_A_ROUND)) for key in event.changes}
    rows = [{"key": key, "value": shown(view[key]), "changed": key in changed} for key in ordered[:_KEYS]]
    time = moment(view.time) + " UTC" if view.time > _YEAR_2000 else ""
    left = len(fitting) - len(rows)
    return {"sequence": world.sequence, "count": len(world.view()), "shown": last, "at_time": time, "rows": rows, "left": left}


def _first(keys: Any, most: int) -> Any:
    return (key for key, _ in zip(keys, range(most), strict=False))


def _decision(event: Event) -> dict[str, Any]:
    details = dict(event.details)
    if event.kind == "forfeited":
        intent = f"turn of stage {details.get('stage', '')}"
    else:
        asked = {key: value for key, value in details.items() if key != "asked"}
        if "asked" in details:
            asked["amount"] = details["asked"]
        intent = f"{event.action} {shown(asked)}".strip()
    got = details.get("amount", "") if event.kind in ("granted", "cut") else ""
    return {"agent": event.agent, "intent": intent, "outcome": event.kind, "got": shown(got), "reason": shown(event.reason)}


def _event(event: Event) -> dict[str, Any]:
    told = event.reason or shown({k: v for k, v in event.details.items() if k != "digest"})
    if not told and event.changes:
        told = shown(event.changes)
    return {"number": event.sequence, "kind": event.kind, "agent": event.agent, "action": event.action, "text": shown(told)}


def _steps(path: Path | None) -> list[dict[str, Any]]:
    """Return the newest recorded steps of a run without a world, newest first."""
    if path is None:
        return []
    try:
        with (path / "events.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 200_000))
            lines = file.read().splitlines()[-_STEPS:]
    except OSError:
        return []
    rows = []
    for place, line in enumerate(lines):
        try:
            step = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue
        kind, agent = step.pop("event", "step"), str(step.pop("by", ""))
        text = shown(step.get("content", step))
        rows.append({"number": step.get("number", place), "kind": kind, "agent": agent, "action": "", "text": text})
    return rows[::-1]


def _plots(summary: Summary | None) -> list[dict[str, Any]]:
    return [_plot(each) for each in summary.plots] if summary is not None else []


def _plot(plot: Plot) -> dict[str, Any]:
    data = {"label": plot.x_label, "x": plot.x, "names": list(plot.series), "series": list(plot.series.values())}
    return {"title": plot.title, "data": data, "alt": f"{plot.title}: {', '.join(plot.series)}"}


def _table(table: Table) -> dict[str, Any]:
    rows = table.rows[:500]
    numeric = [
        bool(rows) and all(isinstance(row[place], int | float) and not isinstance(row[place], bool) for row in rows)
        for place in range(len(table.columns))
    ]
    return {"title": table.title, "columns": table.columns, "rows": rows, "numeric": numeric}


def _timeline(spans: Sequence[Span], number: int, reader: WorldReader) -> dict[str, Any] | None:
    """Return the time line of a round and of the one that is under way after it."""
    rounds = (number, number + 1) if number == reader.last_round else (number,)
    chosen = [span for span in spans if span.round in rounds]
    if not chosen:
        return None
    began, ended = min(span.began for span in chosen), max(span.ended for span in chosen)
    scale = (_LINE - _LEFT) / max(ended - began, 1e-9)
    stages = list(dict.fromkeys(span.stage for span in chosen if not span.waited_for))
    names = sorted({span.agent for span in chosen}, key=lambda name: (name.startswith("("), name))
    waited: defaultdict[str, float] = defaultdict(float)
    for span in chosen:
        waited[span.waited_for] += span.ended - span.began
    waited.pop("", None)
    rows = []
    for place, name in enumerate(names[:_ROWS]):
        bars = [
            {
                "wait": bool(span.waited_for),
                "style": "wait" if span.waited_for else f"s{stages.index(span.stage) % 10}",
                "x": round(_LEFT + (span.began - began) * scale, 1),
                "width": max(1.5, round((span.ended - span.began) * scale, 1)),
                "title": f"{name}: {span.stage}, {1_000 * (span.ended - span.began):.3g} ms"
                + (f", waited for {span.waited_for}" if span.waited_for else ""),
            }
            for span in chosen
            if span.agent == name
        ]
        rows.append({"name": name if len(name) < 22 else name[:20] + "…", "y": place * 20, "bars": bars})  # noqa: PLR2004
    left = f", {_ROWS} of {len(names)} agents" if len(names) > _ROWS else ""
    return {
        "title": f"round {number}{left}",
        "rows": rows,
        "height": len(rows) * 20 + 4,
        "length": ended - began,
        "stages": [{"name": name, "style": f"s{place % 10}"} for place, name in enumerate(stages)],
        "waits": sorted(waited.items(), key=lambda item: -item[1])[:3],
    }
