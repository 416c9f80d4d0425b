"""The turns and waits of a run in time. They do not affect the outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from coterie.world import Event
from coterie.world.state.event import EventKind


class Span(msgspec.Struct, frozen=True):
    """A stretch of one agent's time, in seconds from the beginning of the run: a turn, or a wait."""

    agent: str
    round: int
    stage: str
    """The stage of the turn, or at which the agent waited."""
    began: float
    ended: float
    waited_for: str = ""
    """The agent that came last; empty for a turn."""


class RoundCounts:
    """The counts of a simulation over its runs. The engine's thread counts; any thread reads the numbers."""

    def __init__(self) -> None:
        self.rounds = self.turns = self.forfeits = self.granted = self.cut = self.refused = 0
        self.seconds = self.turn_seconds = 0.0
        self.since = 0.0
        """When the run began, or the latest round of it was settled."""

    def settled(self, events: Iterable[Event], forfeits: int, now: float) -> None:
        """Count a settled round with its events."""
        kinds = Counter([each.kind for each in events])
        self.granted += kinds[EventKind.GRANTED]
        self.cut += kinds[EventKind.PARTIAL]
        self.refused += kinds[EventKind.REFUSED]
        self.forfeits += forfeits
        self.rounds += 1
        self.seconds += now - self.since
        self.since = now


class Timeline:
    """Collect spans up to a bound; count those beyond and leave them out. Only the engine's thread uses it."""

    def __init__(self, origin: float, limit: int, counts: RoundCounts) -> None:
        self._counts = counts
        counts.since = origin
        self.spans: list[Span] = []
        self.left_out = 0
        self.waited = 0.0
        """Seconds of waiting, over all agents."""
        self._origin = origin
        self._limit = limit

    def turn(self, agent: str, round: int, stage: str, began: float, ended: float) -> None:  # noqa: A002 - the field's own name
        """Add a turn."""
        self._counts.turns += 1
        self._counts.turn_seconds += ended - began
        if len(self.spans) < self._limit:
            self.spans.append(Span(agent, round, stage, began - self._origin, ended - self._origin))
        else:
            self.left_out += 1

    def waits(self, agents: Iterable[tuple[str, float]], round: int, stage: str, now: float, last: str) -> None:  # noqa: A002
        """Add waits of agents, from the given times until now, for `last`."""
        for agent, since in agents:
            # At the very beginning no agent has come yet, so none was waited for.
            if last and agent != last and now > since:
                self.waited += now - since
                if len(self.spans) < self._limit:
                    self.spans.append(Span(agent, round, stage, since - self._origin, now - self._origin, last))
                else:
                    self.left_out += 1
