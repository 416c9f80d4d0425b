"""The hosts of a simulation, on a runtime of its own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from coterie.errors import UnknownAgent
from coterie.kernel import Clock
from coterie.rounds.agents.host import Act, ActAsync, Host, Inbox
from coterie.rounds.agents.subject import Subject
from coterie.rounds.engine.token import Token
from coterie.rounds.turns.turn import Turn
from coterie.runtime import AgentRef, Dispatcher, Runtime, RuntimeMetrics

_LEFT_BEHIND = 0.2
"""Seconds that are waited at the end for a thread that is known to be stuck."""


class Crew:
    """One host for each agent, and one for what is done together. Only the engine's thread uses it."""

    def __init__(self, agents: Mapping[str, Any], dispatcher: Dispatcher | None, clock: Clock, inbox: Inbox) -> None:
        self.subjects = {name: Subject(name, agent) for name, agent in agents.items()}
        self.inbox = inbox
        self._runtime = Runtime("rounds", dispatcher=dispatcher, clock=clock, ask_timeout=None)
        self._table: AgentRef | None = None
        self._tables = 0
        self._stuck = 0

    def subject(self, name: str) -> Subject:
        """Return what is hosted under that name. Raises `UnknownAgent`."""
        if name not in self.subjects:
            raise UnknownAgent(name, f"it joins, and was not given to the simulation; there are {', '.join(self.subjects)}")
        return self.subjects[name]

    def act(self, token: Token, turn: Turn, *, keep: bool) -> None:
        """Have an agent do a turn."""
        if token.host is None:
            token.host = self._host(token.name, self.subject(token.name), token.latest, token.hosts)
        kind = ActAsync if inspect.iscoroutinefunction(turn.work) else Act
        token.host.tell(kind(turn, self.inbox, keep))

    def act_together(self, turn: Turn) -> None:
        """Have what is done together done."""
        if self._table is None:
            self._table = self._host("together", Subject("together", None), None, self._tables)
            self._tables += 1
        self._table.tell(Act(turn, self.inbox, keep=False))

    def rebuild(self, token: Token, *, stuck: bool) -> None:
        """Give an agent a new host, from its last checkpoint; the old one ends as soon as it can."""
        if not stuck and self.subject(token.name).is_stateless:
            return
        host, token.host = token.host, None
        token.hosts += 1
        token.latest = token.kept
        if host is not None:
            self._stuck += stuck
            host.stop(drain=False)

    def end(self, token: Token) -> None:
        """Have a host end, for its agent takes no part any more."""
        host, token.host = token.host, None
        if host is not None:
            host.stop(drain=False)

    def metrics(self) -> RuntimeMetrics:
        """Return what the runtime has counted."""
        return self._runtime.metrics()

    def close(self) -> None:
        """End all hosts."""
        self._runtime.stop(drain=False, timeout=_LEFT_BEHIND if self._stuck else None)

    def give_up_table(self) -> None:
        """Know that what is done together is stuck."""
        self._stuck += 1

    def _host(self, name: str, subject: Subject, state: bytes | None, number: int) -> AgentRef:
        called = name if number == 0 else f"{name}~{number}"
        if self._runtime.find(called) is not None:
            # What is done together has a host too, and an agent may have its name.
            called = f"{called}~"
        return self._runtime.spawn(Host, subject, state, name=called)
