"""The pages of meetings: those that are held, and one with its floor, its minutes and its replicas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coterie.console.page import Visit
from coterie.console.problems import ConsoleProblem
from coterie.console.rendering import shown
from coterie.console.sources import Sources
from coterie.errors import CoterieError
from coterie.meetings import Meetings

_UTTERANCES, _MEMBERS = 200, 250


class MeetingPages:
    """Reads the pages of meetings. Safe from any thread: the table of known meetings is only a cache."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._seen: dict[str, dict[str, None]] = {}

    def meetings(self, _: Visit) -> Mapping[str, Any]:
        """Read the list of meetings that are held, or were when a page was open."""
        rows = []
        for name, service in self._sources.of(Meetings).items():
            seen = self._seen.setdefault(name, {})
            seen.update(dict.fromkeys(service.held))
            for id in reversed(seen):  # noqa: A001 - the usual name
                try:
                    rows.append({"service": name, "status": service.status(id)})
                except CoterieError:
                    continue  # it is over, and no longer kept
        return {"rows": rows, "services": list(self._sources.of(Meetings))}

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
