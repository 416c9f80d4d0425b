"""The recorded decisions of time in a run: forfeits, joins, leaves, and the interleaving of tokens."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec

from coterie.world import Event
from coterie.world.state.event import EventKind

STARTED = "simulation started"
SETTLED = "settled"
ROUND = "round ended"
FORFEITED = "forfeited"
JOINED = "joined"
LEFT = "left"
INTERLEAVING = "interleaving"
OUTSIDE = "changed from outside"
"""The mark in a round before whose opening other code than the simulation changed the world."""
PROPOSED = "proposed"
ACCEPTED = "accepted"
REJECTED = "rejected"


class RecordedStep(msgspec.Struct, frozen=True, array_like=True):
    """One step of the engine in `Mode.TOKENS`."""

    what: str
    """``open``, ``turn``, ``serve``, ``judged``, ``settle``, or ``outside``: `round` is then the last event from outside."""
    agent: str
    round: int
    stage: str = ""
    reason: str = ""


class RecordedDecisions:
    """The decisions of time in a recorded run, for a replay or a resumed run."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.started: Event | None = None
        self.digests: dict[int, str] = {}
        """The digest after each round."""
        self.forfeits: dict[tuple[str, int, str, int], str] = {}
        """The reasons of forfeited turns, by agent, round, stage and visit."""
        self.errors: dict[tuple[str, int, str, int], str] = {}
        """The types of the exceptions that forfeited turns."""
        self.joined: dict[int, list[str]] = {}
        self.left: dict[int, list[str]] = {}
        """The agents that joined and left before a round."""
        self.steps: deque[RecordedStep] = deque()
        """All steps in order, in `Mode.TOKENS`."""
        self.outside: deque[Event] = deque()
        """The changes of the world that other code than the simulation made, in order."""
        self.marks: dict[int, int] = {}
        """By round whose opening saw such changes: the number of the event that records this. Earlier changes were seen."""
        self.finished = False
        for event in events:
            self._take(event)

    def _take(self, event: Event) -> None:
        details = event.details
        if event.kind == STARTED and self.started is None:
            self.started = event
            self.outside.clear()
        elif event.kind == ROUND:
            self.digests[event.round] = details["digest"]
        elif event.kind == FORFEITED:
            key = (event.agent, event.round, details["stage"], details["visit"])
            self.forfeits[key] = event.reason
            if "error" in details:
                self.errors[key] = details["error"]
        elif event.kind == JOINED:
            self.joined.setdefault(event.round, []).append(event.agent)
        elif event.kind == LEFT:
            self.left.setdefault(event.round, []).append(event.agent)
        elif event.kind == INTERLEAVING:
            self.steps.extend(_steps(details["steps"]))
        elif event.kind == OUTSIDE:
            self.marks[event.round] = event.sequence
        elif _is_outside(event):
            self.outside.append(event)


_OUTCOMES = (EventKind.GRANTED, EventKind.PARTIAL, EventKind.REFUSED)
_OWN = (SETTLED, PROPOSED, ACCEPTED, REJECTED, EventKind.BEGAN, EventKind.EXPIRED)


def _is_outside(event: Event) -> bool:
    """Return whether an event of none of the kinds above is not a simulation's."""
    return event.kind not in _OWN and (event.kind not in _OUTCOMES or event.round == 0)


def _steps(rows: Any) -> list[RecordedStep]:
    return [RecordedStep(*row) for row in rows]
