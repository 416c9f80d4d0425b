"""The pages of meetings: those that are held, one with its floor, minutes and replicas, and minutes in files."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from coterie.console.page import Visit
from coterie.console.problems import ConsoleProblem
from coterie.console.rendering import shown
from coterie.console.sources import Sources
from coterie.errors import CoterieError
from coterie.meetings import Meetings, StoredMinutes, minutes_line, stored_minutes
from coterie.orchestrator.folder import MEETINGS

_UTTERANCES, _MEMBERS = 200, 250
_LINES = 500
_FILES, _KEPT = 200, 400
"""Files of minutes that are listed, the newest, and that are kept in memory."""


class MeetingPages:
    """Reads the pages of meetings. Safe from any thread: its tables are only caches. `runs` returns the folders of runs."""

    def __init__(self, sources: Sources, runs: Callable[[], Mapping[str, Path]]) -> None:
        self._sources = sources
        self._runs = runs
        self._seen: dict[str, dict[str, None]] = {}
        self._read: OrderedDict[tuple[Path, int, int], StoredMinutes] = OrderedDict()

    def meetings(self, visit: Visit) -> Mapping[str, Any]:
        """Read the list of meetings that are held, or were when a page was open, and of minutes in files."""
        rows = []
        for name, service in self._sources.of(Meetings).items():
            seen = self._seen.setdefault(name, {})
            seen.update(dict.fromkeys(service.held))
            for id in reversed(seen):  # noqa: A001 - the usual name
                try:
                    rows.append({"service": name, "status": service.status(id)})
                except CoterieError:
                    continue  # it is over, and no longer kept
        return {"rows": rows, "services": list(self._sources.of(Meetings)), **self._files(visit)}

    def minutes(self, visit: Visit) -> Mapping[str, Any]:
        """Read the minutes in one file. Raises `ConsoleProblem`."""
        where, name = visit.path["where"], visit.path["file"]
        folder = self._folders().get(where)
        # Only files that the folder lists are read, whatever the path says.
        file = next((each for each in _files_in(folder) if each.stem == name), None) if folder is not None else None
        if file is None:
            raise ConsoleProblem(404, f"There are no minutes {name} of {where} any more.")
        found = self._minutes(file)
        lines = [(each.sequence, each.at, minutes_line(each)) for each in found.entries]
        lines = [each for each in lines if each[2]]
        return {
            "where": where,
            "minutes": found,
            "outcome": shown(found.outcome),
            "lines": list(reversed(lines[-_LINES:])),
            "left": max(0, len(lines) - _LINES),
            "members": list(found.members)[:_MEMBERS],
        }

    def _folders(self) -> dict[str, Path]:
        """Return the folders with minutes: of the services, and of the runs."""
        found = {f"run {id_}": path / MEETINGS for id_, path in self._runs().items()}
        services = self._sources.of(Meetings).items()
        return {**found, **{name: each.folder for name, each in services if each.folder is not None}}

    def _files(self, visit: Visit) -> dict[str, Any]:
        chosen, problems = visit.text("where"), []
        folders = {where: path for where, path in self._folders().items() if not chosen or where == chosen}
        files = [(where, each, _changed(each)) for where, folder in folders.items() for each in _files_in(folder)]
        files.sort(key=lambda each: -each[2])
        rows = []
        for where, file, _ in files[:_FILES]:
            try:
                rows.append({"where": where, "file": file.stem, "minutes": self._minutes(file)})
            except (CoterieError, OSError) as error:
                problems.append(f"{file}: {error}")
        return {"files": rows, "problems": problems, "where": chosen, "left": max(0, len(files) - _FILES)}

    def _minutes(self, file: Path) -> StoredMinutes:
        state = file.stat()
        key = file, state.st_mtime_ns, state.st_size
        found = self._read.get(key)
        if found is None:
            found = self._read[key] = stored_minutes(file)
            while len(self._read) > _KEPT:
                self._read.popitem(last=False)
        return found

    def meeting(self, visit: Visit) -> Mapping[str, Any]:
        """Read one meeting. Raises `ConsoleProblem`, and `UnknownMeeting` if it is no longer kept."""
        service = self._sources.of(Meetings).get(visit.path["service"])
        if service is None:
            raise ConsoleProblem(404, f"There are no meetings {visit.path['service']} any more.")
        id = visit.path["meeting"]  # noqa: A001 - the usual name
        state, replicas = service.state(id), service.replicas(id)
        return {
            "id": id,
            "state": state,
            "digest": state.digest(),
            "floor": type(state.floor).__name__,
            "members": list(state.members)[:_MEMBERS],
            "replicas": replicas[:_MEMBERS],
            "said": [
                {
                    "sequence": each.sequence,
                    "by": each.by,
                    "kind": each.kind,
                    "to": ", ".join(each.to),
                    "text": shown(each.content),
                }
                for each in reversed(state.spoken[-_UTTERANCES:])
            ],
            "motions": list(state.all_motions.values()),
            "outcome": shown(state.outcome),
        }


def _files_in(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("*.jsonl"))
    except OSError:
        return []


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0  # it is gone since it was listed
