"""The turns of agents that do their stages on other nodes."""

from __future__ import annotations

from coterie.kernel import Clock
from coterie.rounds.engine.reports import Inbox, Report
from coterie.rounds.remote import RemoteAgent, RemoteTurnEnd, TurnSender
from coterie.rounds.turn import Turn
from coterie.telemetry.spans import TraceSpan


class RemoteTurns:
    """Has turns done by remote agents, and reports their ends to the engine.

    The engine's thread calls all methods. The ends come on any thread; `_running` changes by single operations of a dictionary.
    """

    def __init__(self, inbox: Inbox, clock: Clock, timeout: float | None) -> None:
        self._inbox = inbox
        self._clock = clock
        self._timeout = timeout
        self._running: dict[int, RemoteAgent] = {}
        """The agents of the turns that have not ended, by the identity of the turn."""
        self._unsent: dict[TurnSender, None] = {}

    def begin(self, agent: RemoteAgent, turn: Turn, span: TraceSpan, *, keep: bool) -> None:
        """Begin a turn, within its span. It may wait for `flush`."""
        began = self._clock.monotonic()
        self._running[id(turn)] = agent
        self._unsent[agent.sender] = None

        def ended(end: RemoteTurnEnd | Exception, state: bytes | None) -> None:
            if self._running.pop(id(turn), None) is not None:
                self._report(turn, end, state if keep else None, began, span)

        with span.within():
            agent.begin(turn, self._timeout, ended)

    def flush(self) -> None:
        """Send the turns that wait."""
        while self._unsent:
            self._unsent.popitem()[0].flush()

    def close(self) -> None:
        """Give up all turns that have not ended."""
        senders = {agent.sender: None for agent in self._running.values()}
        while self._running:
            self._running.popitem()[1].end()
        for sender in senders:
            sender.flush()

    def _report(self, turn: Turn, end: RemoteTurnEnd | Exception, state: bytes | None, began: float, span: TraceSpan) -> None:
        value, error = None, end if isinstance(end, Exception) else None
        if isinstance(end, RemoteTurnEnd) and not end.late:
            try:
                value = end.apply(turn)
            except Exception as raised:  # noqa: BLE001 - it is reported, and forfeits the turn
                error = raised
        late = isinstance(end, RemoteTurnEnd) and end.late
        span.end(error)
        now = self._clock.monotonic()
        self._inbox.put(Report(turn, value, error, state if error is None else None, late, began, now))
