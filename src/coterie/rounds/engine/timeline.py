"""The turns and waits of a run in time. They do not affect the outcome."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


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


class Timeline:
    """Collect spans up to a bound; count those beyond and leave them out. Only the engine's thread uses it."""

    def __init__(self, origin: float, limit: int) -> None:
        self.spans: list[Span] = []
        self.left_out = 0
        self.waited = 0.0
        """Seconds of waiting, over all agents."""
        self._origin = origin
        self._limit = limit

    def turn(self, agent: str, round: int, stage: str, began: float, ended: float) -> None:  # noqa: A002 - the field's own name
        """Add a turn."""
        self._add(Span(agent, round, stage, began - self._origin, ended - self._origin))

    def waits(self, agents: Iterable[tuple[str, float]], round: int, stage: str, now: float, last: str) -> None:  # noqa: A002
        """Add waits of agents, from the given times until now, for `last`."""
        for agent, since in agents:
            # At the very beginning no agent has come yet, so none was waited for.
            if last and agent != last and now > since:
                self.waited += now - since
                self._add(Span(agent, round, stage, since - self._origin, now - self._origin, last))

    def _add(self, span: Span) -> None:
        if len(self.spans) < self._limit:
            self.spans.append(span)
        else:
            self.left_out += 1
