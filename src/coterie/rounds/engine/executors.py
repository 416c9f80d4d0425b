"""The runtime agents that execute turns, one for each participant, on a runtime of their own."""

from __future__ import annotations

import inspect
import queue
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from coterie.concurrency import waits
from coterie.errors import HandlerFailed, RestoreFailed, UnknownAgent, describe
from coterie.kernel import Clock
from coterie.messaging import Message, Request
from coterie.rounds.engine.tokens import Token
from coterie.rounds.groups import AgentGroup, take_turns
from coterie.rounds.member import GetSnapshot, RestoreSnapshot, TakeTurn
from coterie.rounds.participant import Participant, state_as_bytes, state_from_bytes
from coterie.rounds.turn import Turn
from coterie.runtime import Agent, AgentRef, Dispatcher, Runtime, RuntimeMetrics, on
from coterie.telemetry.spans import NO_SPAN, Attributes, TraceSpan, begin, is_tracing


class Report(msgspec.Struct, gc=False):
    """The end of a turn, reported to the engine."""

    turn: Turn
    value: Any = None
    error: BaseException | None = None
    """The exception that the stage raised, else None."""
    state: bytes | None = None
    """The agent's state after the turn, if requested."""
    late: bool = False
    """Whether the deadline reports, and not the turn."""
    began: float = 0.0
    ended: float = 0.0


Inbox: TypeAlias = "queue.SimpleQueue[Report | BaseException]"
"""The queue of the engine's reports."""


@waits
def take(inbox: Inbox) -> Report | BaseException:
    """Wait for the next report."""
    return inbox.get()


class Act(Message):
    """Do a turn to its end."""

    turn: Turn
    inbox: Any
    keep: bool
    started: Any
    """Called with the turn when a thread begins it."""


class ActAsync(Message):
    """Do a turn whose stage is known to be ``async``."""

    turn: Turn
    inbox: Any
    keep: bool
    started: Any


class Prepare(Request[None]):
    """Restore the agent's state, if there is one to restore."""


class Go(Message):
    """Await the awaitable that a turn returned."""

    turn: Turn
    inbox: Any
    keep: bool
    rest: Any
    began: float
    span: Any


class TurnExecutor(Agent):
    """Execute the turns of one participant on a thread of its own, and report the end of each. It raises nothing."""

    records_spans = False

    def __init__(self, participant: Participant, state: bytes | None) -> None:
        self.participant = participant
        if participant.goes_on:
            self.agent, self._state = participant.current, None
        else:
            # The state is restored before the first turn.
            self.agent, self._state = participant.make(), state
        participant.current, participant.goes_on = self.agent, False

    def on_start(self) -> None:
        """Measure the waits for a thread, which do not count towards the time of a turn."""
        self._waits = self.context.measure_waits()

    @on(raises=RestoreFailed)
    async def prepare(self, message: Prepare) -> None:  # noqa: ARG002 - its type says everything
        """Restore the agent's state. Raises `RestoreFailed`."""
        if isinstance(self.agent, AgentRef):
            await self._restore_reference(self.agent)
        else:
            self._restore()

    @on
    def act(self, message: Act) -> None:
        """Do a turn that needs no event loop; hand an awaitable result on to `go`."""
        clock = self.context.runtime.clock
        began = clock.monotonic()
        turn = message.turn
        turn.waits = self._waits
        message.started(turn)
        span = self._span(turn) if is_tracing() else NO_SPAN
        try:
            if span is NO_SPAN:
                value = self._begin(turn)
            else:
                with span.within():
                    value = self._begin(turn)
            if isinstance(value, Awaitable):
                self.context.self_ref.tell(Go(turn, message.inbox, message.keep, value, began, span))
                return
            state = self._keep() if message.keep else None
        except BaseException as error:  # noqa: BLE001 - it is reported, and forfeits the turn
            span.end(error)
            message.inbox.put(Report(turn, error=error, began=began, ended=clock.monotonic()))
            return
        span.end()
        message.inbox.put(Report(turn, value, None, state, began=began, ended=clock.monotonic()))

    @on
    async def act_async(self, message: ActAsync) -> None:
        """Do a turn on the event loop."""
        turn = message.turn
        turn.waits = self._waits
        message.started(turn)
        began = self.context.runtime.clock.monotonic()
        span = self._span(turn) if is_tracing() else NO_SPAN
        try:
            with span.within():
                rest = self._begin(turn)
        except BaseException as error:  # noqa: BLE001 - as above
            span.end(error)
            message.inbox.put(Report(turn, error=error, began=began, ended=began))
            return
        await self.go(Go(turn, message.inbox, message.keep, rest, began, span))

    @on
    async def go(self, message: Go) -> None:
        """Await the result of a turn, and report its end."""
        clock = self.context.runtime.clock
        turn = message.turn
        try:
            with message.span.within():
                value = await message.rest
            state = None
            if message.keep:
                state = await self._keep_reference() if isinstance(self.agent, AgentRef) else self._keep()
        except BaseException as error:
            message.span.end(error)
            message.inbox.put(Report(turn, error=error, began=message.began, ended=clock.monotonic()))
            if not isinstance(error, Exception):
                raise
            return
        message.span.end()
        message.inbox.put(Report(turn, value, None, state, began=message.began, ended=clock.monotonic()))

    def _span(self, turn: Turn) -> TraceSpan:
        attributes: Attributes = {
            "coterie.agent": self.participant.name,
            "coterie.stage": turn.stage,
            "coterie.round": turn.round,
        }
        return begin(f"turn {turn.stage}", attributes)

    def _begin(self, turn: Turn) -> Any:
        if isinstance(self.agent, AgentRef):
            turn.agent = self.agent
            return self._of_reference(self.agent, turn)
        self._restore()
        turn.agent = self.agent
        if isinstance(self.agent, AgentGroup):
            return take_turns(self.agent, turn)
        if turn.work is not None:
            return turn.work(turn)
        method = getattr(self.agent, turn.stage, None)
        if method is None and not callable(self.agent):
            raise AttributeError(f"a {type(self.agent).__qualname__} has no method {turn.stage!r} and is not a function")
        return method(turn) if method is not None else self.agent(turn)

    async def _of_reference(self, agent: AgentRef, turn: Turn) -> Any:
        await self._restore_reference(agent)
        if turn.work is None:
            return await agent.ask(TakeTurn(turn), timeout=None)
        value = turn.work(turn)
        return await value if isinstance(value, Awaitable) else value

    def _restore(self) -> None:
        if self._state is None:
            return
        try:
            self.agent.restore(state_from_bytes(self._state))
        except Exception as error:
            # Some of it may have been restored.
            self.agent = self.participant.current = self.participant.make()
            raise RestoreFailed(self.participant.name, describe(error)) from error
        self._state = None

    async def _restore_reference(self, agent: AgentRef) -> None:
        if self._state is None:
            return
        try:
            await agent.ask(RestoreSnapshot(state_from_bytes(self._state)), timeout=None)
        except Exception as error:
            raise RestoreFailed(self.participant.name, describe(error)) from error
        self._state = None

    def _keep(self) -> bytes | None:
        return state_as_bytes(self.participant.name, self.agent.snapshot()) if self.participant.keeps_state else None

    async def _keep_reference(self) -> bytes:
        return state_as_bytes(self.participant.name, await self.agent.ask(GetSnapshot(), timeout=None))


_LEFT_BEHIND = 0.2
"""Seconds to wait at the end for a thread that is known to be stuck."""


class ExecutorPool:
    """One executor for each agent, and one for together-stages. Only the engine's thread uses it."""

    def __init__(
        self,
        participants: Mapping[str, Participant],
        dispatcher: Dispatcher | None,
        clock: Clock,
        inbox: Inbox,
        started: Callable[[Turn], object],
    ) -> None:
        self._started = started
        self.participants = participants
        self.inbox = inbox
        self.runtime = Runtime("rounds", dispatcher=dispatcher, clock=clock, ask_timeout=None)
        self._together_host: AgentRef | None = None
        self._hosts_of_together = 0
        self.stuck = 0
        """The number of threads that a turn was known to block."""

    def participant(self, name: str) -> Participant:
        """Return the participant of that name. Raises `UnknownAgent`."""
        if name not in self.participants:
            raise UnknownAgent(
                name, f"it joins, but was not given to the simulation; given were {', '.join(self.participants)}"
            )
        return self.participants[name]

    def prepare(self, tokens: Iterable[Token]) -> None:
        """Restore the agents of tokens, each on its own thread. Raises `RestoreFailed`."""
        for prepared in [self._host_of(token).ask(Prepare(), timeout=None) for token in tokens if token.latest is not None]:
            try:
                prepared.result()
            except HandlerFailed as error:
                failed = error.__cause__
                if isinstance(failed, RestoreFailed):
                    raise failed from failed.__cause__
                raise

    def act(self, token: Token, turn: Turn, *, keep: bool, span: TraceSpan) -> None:
        """Start a turn of an agent, within the span of its round."""
        host = self._host_of(token)
        kind = ActAsync if inspect.iscoroutinefunction(turn.work) else Act
        if span is NO_SPAN:
            host.tell(kind(turn, self.inbox, keep, self._started))
            return
        with span.within():
            host.tell(kind(turn, self.inbox, keep, self._started))

    def act_together(self, turn: Turn, span: TraceSpan) -> None:
        """Start a together-stage, within the span of its round."""
        if self._together_host is None:
            self._together_host = self._host("together", Participant("together", None), None, self._hosts_of_together)
            self._hosts_of_together += 1
        with span.within():
            self._together_host.tell(Act(turn, self.inbox, False, self._started))  # noqa: FBT003 - a field

    def rebuild(self, token: Token, *, stuck: bool) -> None:
        """Replace the executor of an agent by one with its last checkpoint; the old one ends as soon as it can."""
        if not stuck and self.participant(token.name).is_stateless:
            return
        host, token.host = token.host, None
        token.hosts += 1
        token.latest = token.kept
        if host is not None:
            self.stuck += stuck
            host.stop(drain=False)

    def end(self, token: Token) -> None:
        """End the executor of an agent that takes no part any more."""
        host, token.host = token.host, None
        if host is not None:
            host.stop(drain=False)

    def metrics(self) -> RuntimeMetrics:
        """Return the metrics of the runtime."""
        return self.runtime.metrics()

    def close(self) -> None:
        """End all executors."""
        self.runtime.stop(drain=False, timeout=_LEFT_BEHIND if self.stuck else None)

    def give_up_together(self) -> None:
        """Count the together-stage as stuck, so that `close` does not wait for it."""
        self.stuck += 1

    def _host_of(self, token: Token) -> AgentRef:
        if token.host is None:
            token.host = self._host(token.name, self.participant(token.name), token.latest, token.hosts)
        return token.host

    def _host(self, name: str, participant: Participant, state: bytes | None, number: int) -> AgentRef:
        called = name if number == 0 else f"{name}~{number}"
        if self.runtime.find(called) is not None:
            # An agent may have the name of the executor of together-stages.
            called = f"{called}~"
        return self.runtime.spawn(TurnExecutor, participant, state, name=called)
