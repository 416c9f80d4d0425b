"""The recorded decisions of time in a run: forfeits, joins, leaves, and the interleaving of tokens."""

from __future__ import annotations

import platform
from collections import deque
from collections.abc import Iterable
from importlib.metadata import version
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


def versions() -> dict[str, str]:
    """Return the versions that a log names as its makers."""
    return {"python": platform.python_version(), "coterie": version("coterie")}


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
        self.decisions: list[Event] = []
        """The events that decide something that is not decided again: forfeits, joins, leaves, and changes from outside."""
        for event in events:
            self._take(event)

    @property
    def other_versions(self) -> str:
        """A text that names the versions that made the log, if they are not those of this process; else empty."""
        made_by = self.started.details.get("made by", {}) if self.started is not None else {}
        others = [f"{name} {made_by[name]}" for name, now in versions().items() if made_by.get(name, now) != now]
        return f"; the log was made by {' and '.join(others)}, which may differ" if others else ""

    def include(self, events: Iterable[Event]) -> None:
        """Add decisions that were cut off the log before."""
        for event in events:
            self._take(event)
        self.outside = deque(sorted(self.outside, key=lambda event: event.sequence))

    def kept_in_log(self, last: int) -> int:
        """Drop the changes from outside that directly follow event `last` and stay in the log; return the last of them."""
        stay = set()
        while self.outside and self.outside[0].sequence == last + 1:
            last = self.outside.popleft().sequence
            stay.add(last)
        self.decisions = [event for event in self.decisions if event.sequence not in stay]
        return last

    def _take(self, event: Event) -> None:
        details = event.details
        outside = is_outside(event)
        if outside or event.kind in (FORFEITED, JOINED, LEFT):
            self.decisions.append(event)
        if event.kind == STARTED and self.started is None:
            self.started = event
            self.outside.clear()
            self.decisions.clear()
        elif event.kind == ROUND:
            self.digests[event.round] = details["digest"]
        elif event.kind == FORFEITED:
            self._take_forfeit(event)
        elif event.kind == JOINED:
            self.joined.setdefault(event.round, []).append(event.agent)
        elif event.kind == LEFT:
            self.left.setdefault(event.round, []).append(event.agent)
        elif event.kind == INTERLEAVING:
            self.steps.extend(_steps(details["steps"]))
        elif event.kind == OUTSIDE:
            self.marks[event.round] = event.sequence
        if outside:
            self.outside.append(event)

    def _take_forfeit(self, event: Event) -> None:
        key = (event.agent, event.round, event.details["stage"], event.details["visit"])
        self.forfeits[key] = event.reason
        if "error" in event.details:
            self.errors[key] = event.details["error"]


_OUTCOMES = (EventKind.GRANTED, EventKind.PARTIAL, EventKind.REFUSED)
_OWN = (STARTED, SETTLED, ROUND, FORFEITED, JOINED, LEFT, INTERLEAVING, OUTSIDE, PROPOSED, ACCEPTED, REJECTED)
_OF_THE_WORLD = (EventKind.BEGAN, EventKind.EXPIRED)


def is_outside(event: Event) -> bool:
    """Return whether an event comes from outside of a simulation."""
    return event.kind not in _OWN and event.kind not in _OF_THE_WORLD and (event.kind not in _OUTCOMES or event.round == 0)


def _steps(rows: Any) -> list[RecordedStep]:
    return [RecordedStep(*row) for row in rows]
