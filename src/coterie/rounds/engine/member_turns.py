"""The turns of runtime agents, which the engine asks for without a thread of its own for each."""

from __future__ import annotations

from coterie.kernel import Clock
from coterie.rounds.engine.reports import Inbox, Report
from coterie.rounds.member import TakeTurn
from coterie.rounds.turn import Turn
from coterie.runtime import AgentRef
from coterie.runtime.references.background_ask import ask_in_background
from coterie.runtime.references.reply import Reply
from coterie.telemetry.spans import TraceSpan


class MemberTurns:
    """Asks runtime agents to take turns, and reports the ends to the engine.

    The engine's thread calls all methods. The answers come on the agents' threads; `_asked` changes by single operations of a
    dictionary.
    """

    def __init__(self, inbox: Inbox, clock: Clock) -> None:
        self._inbox = inbox
        self._clock = clock
        self._asked: dict[int, Reply[object]] = {}
        """The asks that have not ended, by the identity of the turn."""

    def begin(self, agent: AgentRef, turn: Turn, span: TraceSpan) -> None:
        """Ask an agent to take a turn, within the span of the turn."""
        turn.agent = agent
        began = self._clock.monotonic()
        try:
            with span.within():
                reply = self._asked[id(turn)] = ask_in_background(agent, TakeTurn(turn))
        except Exception as error:  # noqa: BLE001 - it is reported, and forfeits the turn
            self._report(turn, None, error, began, span)
            return

        def answered() -> None:
            if self._asked.pop(id(turn), None) is not None:
                error = reply.exception()
                self._report(turn, None if error is not None else reply.result(), error, began, span)

        reply.add_callback(answered)

    def give_up(self, turn: Turn) -> None:
        """Take the ask for a turn back, if it has not ended."""
        reply = self._asked.pop(id(turn), None)
        if reply is not None:
            reply.cancel("its turn is forfeited")

    def close(self) -> None:
        """Take back all asks that have not ended."""
        while self._asked:
            self._asked.popitem()[1].cancel("its simulation has ended")

    def _report(self, turn: Turn, value: object, error: BaseException | None, began: float, span: TraceSpan) -> None:
        span.end(error)
        self._inbox.put(Report(turn, value, error, began=began, ended=self._clock.monotonic()))
