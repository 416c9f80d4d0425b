"""Who did what when, and who waited for whom. Of no consequence for the outcome."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Span(msgspec.Struct, frozen=True):
    """A stretch of one agent's time, in seconds from the beginning of the run: a turn, or a wait."""

    agent: str
    round: int
    stage: str
    """The stage that was done, or waited at."""
    began: float
    ended: float
    waited_for: str = ""
    """Who came last, and was waited for; empty for a turn."""


class Timeline:
    """Collects spans, up to a bound; what is beyond is counted and left out. Only the engine's thread touches it."""

    def __init__(self, origin: float, most: int) -> None:
        self.spans: list[Span] = []
        self.left_out = 0
        self.waited = 0.0
        """Seconds of waiting in all, over all agents."""
        self._origin = origin
        self._most = most

    def turn(self, agent: str, round: int, stage: str, began: float, ended: float) -> None:  # noqa: A002 - the field's own name
        """Note a turn."""
        self._add(Span(agent, round, stage, began - self._origin, ended - self._origin))

    def waits(self, agents: Iterable[tuple[str, float]], round: int, stage: str, now: float, last: str) -> None:  # noqa: A002
        """Note that agents have waited since the given times for `last`, until now."""
        for agent, since in agents:
            # At the very beginning nobody has come yet, and so nobody was waited for.
            if last and agent != last and now > since:
                self.waited += now - since
                self._add(Span(agent, round, stage, since - self._origin, now - self._origin, last))

    def _add(self, span: Span) -> None:
        if len(self.spans) < self._most:
            self.spans.append(span)
        else:
            self.left_out += 1
