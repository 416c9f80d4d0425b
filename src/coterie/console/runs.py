"""The pages of runs: all of them, and two side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coterie.console.links import Links
from coterie.console.page import Visit
from coterie.console.problems import ConsoleProblem
from coterie.console.run_reader import history
from coterie.console.run_worlds import RunWorlds
from coterie.errors.orchestrator import RunUnknown
from coterie.orchestrator import RunOverview, run_overview
from coterie.orchestrator.folder import SCENARIO
from coterie.world import World

_STATES = ("running", "paused", "ended", "stopped", "interrupted", "failed")
_MOST_COMPARED = 20_000
"""Rounds that are compared at most."""
_MOST_KEYS = 60


class Unreadable:
    """A run whose folder cannot be read."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path, self.problem = path, problem


class RunPages:
    """Reads the pages about several runs. Safe from any thread: the table of overviews is only a cache."""

    def __init__(self, worlds: RunWorlds, places: tuple[Path, ...], rows: int) -> None:
        self._worlds = worlds
        self._places = places
        self._rows = rows
        self._known: dict[Path, tuple[Any, RunOverview]] = {}

    def folder(self, id: str) -> Path | None:  # noqa: A002 - the usual name
        """Return the folder of a run, or None if it is not there."""
        return self._worlds.folders().get(id)

    def overview(self, path: Path) -> RunOverview:
        """Return the line of a run; that of an ended run is read once. Raises `RunUnknown`."""
        try:
            version = tuple((path / name).stat().st_mtime_ns for name in (SCENARIO, "events.jsonl"))
        except OSError:
            version = None
        known = self._known.get(path)
        if known is not None and version is not None and known[0] == version:
            return known[1]
        found = run_overview(path)
        if not found.live:
            self._known[path] = (version, found)
        return found

    def runs(self, visit: Visit) -> Mapping[str, Any]:
        """Read the page of all runs."""
        find, state = visit.text("find").lower(), visit.text("state")
        page = visit.number("page", 1, least=1)
        rows: list[tuple[str, RunOverview | Unreadable]] = []
        skipped, total, more = (page - 1) * self._rows, 0, False
        folders = self._worlds.folders()
        for name, path in folders.items():
            try:
                run: RunOverview | Unreadable = self.overview(path)
            except (RunUnknown, OSError) as error:
                run = Unreadable(path, str(error))
            if find and find not in f"{name} {getattr(run, 'kind', '')}".lower():
                continue
            if state and getattr(run, "state", "") != state:
                continue
            total += 1
            if total > skipped and len(rows) < self._rows:
                rows.append((name, run))
            more = total > skipped + self._rows
        live = [
            {
                "id": name,
                "agents": len(each.plan.agents),
                "sequence": each.plan.world.sequence,
                "keys": len(each.plan.world.view()),
            }
            for name, each in self._worlds.simulations().items()
            if name not in folders
        ]
        return {
            "runs": rows,
            "live": live,
            "states": _STATES,
            "places": ", ".join(map(str, self._places)) or "no folder",
            "total": total,
            "page": page,
            "more": more,
            "links": Links(visit.query),
        }

    def compare(self, visit: Visit) -> Mapping[str, Any]:
        """Read the comparison of two runs, round by round. Raises `ConsoleProblem`."""
        chosen = visit.query.getlist("run")
        if len(chosen) != 2:  # noqa: PLR2004 - the page compares two
            raise ConsoleProblem(400, "Choose two runs to compare, no more and no fewer.")
        sides = [self._side(name) for name in chosen]
        one, other = sides
        rounds = []
        for number in range(1, min(_MOST_COMPARED, max(len(one["digests"]), len(other["digests"]))) + 1):
            digests = [side["digests"].get(number, "") for side in sides]
            if any(
                not digest and number < max(side["digests"], default=0) for digest, side in zip(digests, sides, strict=True)
            ):
                continue  # a run that grows fast was not read there
            rounds.append((number, *digests, digests[0] == digests[1]))
        first = next((number for number, _, _, same in rounds if not same), None)
        figures = [
            (name, *[side["overview"].figures.get(name) for side in sides])
            for name in dict.fromkeys([*one["overview"].figures, *other["overview"].figures])
        ]
        keys = self._differences(chosen, first) if first is not None else []
        return {"ids": chosen, "sides": sides, "rounds": rounds, "first": first, "figures": figures, "keys": keys}

    def _side(self, id: str) -> dict[str, Any]:  # noqa: A002 - the usual name
        path = self.folder(id)
        if path is None:
            raise ConsoleProblem(404, f"There is no run {id} any more.")
        digests: dict[int, str] = {}
        with self._worlds.reading(id, path) as found:
            if found is not None:
                for number, end in list(zip(found.reader.rounds, found.reader.ends, strict=True))[:_MOST_COMPARED]:
                    for event in history(found.world, end, end):
                        digests[number] = str(event.details.get("digest", ""))
        return {"overview": self.overview(path), "digests": digests}

    def _differences(self, ids: list[str], number: int) -> list[tuple[str, Any, Any]]:
        """Return the keys that differ after the first round that differs."""
        views = []
        for name in ids:
            with self._worlds.reading(name, self.folder(name)) as found:
                views.append({} if found is None else dict(_view(found.world, found.reader.end_of(found.world, number))))
        one, other = views
        keys = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
        return [(key, one.get(key), other.get(key)) for key in keys[:_MOST_KEYS]]


def _view(world: World, sequence: int) -> Mapping[str, Any]:
    return world.at(sequence)
