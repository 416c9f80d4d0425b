"""The runtime agents that execute turns, one for each participant, on a runtime of their own."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from coterie.errors import HandlerFailed, RestoreFailed, UnknownAgent, describe
from coterie.kernel import Clock
from coterie.messaging import Message, Request
from coterie.rounds.engine.member_turns import MemberTurns
from coterie.rounds.engine.performer import Performer
from coterie.rounds.engine.remote_turns import RemoteTurns
from coterie.rounds.engine.reports import Inbox, Report
from coterie.rounds.engine.tokens import Token
from coterie.rounds.engine.turn_queue import QueuedTurn
from coterie.rounds.member import GetSnapshot, RestoreSnapshot, TakeTurn
from coterie.rounds.participant import Participant, state_as_bytes
from coterie.rounds.turn import Turn
from coterie.runtime import Agent, AgentRef, Dispatcher, Runtime, RuntimeMetrics, on
from coterie.telemetry.spans import NO_SPAN, Attributes, TraceSpan, begin, is_tracing


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
    started: Any = None
    """Called with the turn when a thread begins to await it, if another thread has begun it."""


def span_of(turn: Turn, agent: str = "") -> TraceSpan:
    """Begin the span of a turn, of the agent that it is for unless another one is named."""
    attributes: Attributes = {"coterie.agent": agent or turn.name, "coterie.stage": turn.stage, "coterie.round": turn.round}
    return begin(f"turn {turn.stage}", attributes)


class TurnExecutor(Agent):
    """Execute the turns of one participant on a thread of its own, and report the end of each. It raises nothing."""

    records_spans = False

    def __init__(self, performer: Performer) -> None:
        self.performer = performer

    def on_start(self) -> None:
        """Measure the waits for a thread, which do not count towards the time of a turn."""
        self._waits = self.context.measure_waits()

    @on(raises=RestoreFailed)
    async def prepare(self, message: Prepare) -> None:  # noqa: ARG002 - its type says everything
        """Restore the agent's state. Raises `RestoreFailed`."""
        agent = self.performer.agent
        if isinstance(agent, AgentRef):
            await self._restore_reference(agent)
        else:
            self.performer.restore()

    @on
    def act(self, message: Act) -> None:
        """Do a turn that needs no event loop; hand an awaitable result on to `go`."""
        clock = self.context.runtime.clock
        began = clock.monotonic()
        turn = message.turn
        turn.waits = self._waits
        message.started(turn)
        span = span_of(turn, self.performer.participant.name) if is_tracing() else NO_SPAN
        try:
            if span is NO_SPAN:
                value = self._begin(turn)
            else:
                with span.within():
                    value = self._begin(turn)
            if isinstance(value, Awaitable):
                self.context.self_ref.tell(Go(turn, message.inbox, message.keep, value, began, span))
                return
            state = self.performer.keep() if message.keep else None
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
        span = span_of(turn, self.performer.participant.name) if is_tracing() else NO_SPAN
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
        if message.started is not None:
            turn.waits = self._waits
            message.started(turn)
        try:
            with message.span.within():
                value = await message.rest
            state = None
            if message.keep:
                agent = self.performer.agent
                state = await self._keep_reference(agent) if isinstance(agent, AgentRef) else self.performer.keep()
        except BaseException as error:
            message.span.end(error)
            message.inbox.put(Report(turn, error=error, began=message.began, ended=clock.monotonic()))
            if not isinstance(error, Exception):
                raise
            return
        message.span.end()
        message.inbox.put(Report(turn, value, None, state, began=message.began, ended=clock.monotonic()))

    def _begin(self, turn: Turn) -> Any:
        agent = self.performer.agent
        if isinstance(agent, AgentRef):
            turn.agent = agent
            return self._of_reference(agent, turn)
        return self.performer.begin(turn)

    async def _of_reference(self, agent: AgentRef, turn: Turn) -> Any:
        await self._restore_reference(agent)
        if turn.work is None:
            return await agent.ask(TakeTurn(turn), timeout=None)
        value = turn.work(turn)
        return await value if isinstance(value, Awaitable) else value

    async def _restore_reference(self, agent: AgentRef) -> None:
        performer = self.performer
        if not performer.has_state:
            return
        try:
            await agent.ask(RestoreSnapshot(performer.state()), timeout=None)
        except Exception as error:
            raise RestoreFailed(performer.participant.name, describe(error)) from error
        performer.forget_state()

    async def _keep_reference(self, agent: AgentRef) -> bytes:
        return state_as_bytes(self.performer.participant.name, await agent.ask(GetSnapshot(), timeout=None))


def _span_within(round_span: TraceSpan, turn: Turn) -> TraceSpan:
    """Begin the span of a turn within that of its round, if there is one."""
    if round_span is NO_SPAN:
        return NO_SPAN
    with round_span.within():
        return span_of(turn)


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
        timeout: float | None = None,
    ) -> None:
        self._started = started
        self.remote = RemoteTurns(inbox, clock, timeout)
        """The turns that are done on other nodes; the deadlines there have the timeout."""
        self.members = MemberTurns(inbox, clock)
        """The turns that runtime agents are asked for."""
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
        stored = [token for token in tokens if token.latest is not None]
        for token in (each for each in stored if self.participant(each.name).leaves(None)):
            self.performer_of(token).restore()
        here = [token for token in stored if not self.participant(token.name).leaves(None)]
        for prepared in [self._host_of(token).ask(Prepare(), timeout=None) for token in here]:
            try:
                prepared.result()
            except HandlerFailed as error:
                failed = error.__cause__
                if isinstance(failed, RestoreFailed):
                    raise failed from failed.__cause__
                raise

    def act(self, token: Token, turn: Turn, *, keep: bool, span: TraceSpan = NO_SPAN) -> None:
        """Start a turn of an agent, within the span of its round."""
        if self.participant(token.name).leaves(turn.work):
            self._act_elsewhere(token, turn, span, keep=keep)
            return
        reference = self.participant(token.name).reference
        if reference is not None and turn.work is None and not keep and not self.performer_of(token).has_state:
            self._started(turn)
            self.members.begin(reference, turn, _span_within(span, turn))
            return
        host = self._host_of(token)
        waits = reference is not None or inspect.iscoroutinefunction(turn.work)
        kind = ActAsync if waits else Act
        if span is NO_SPAN:
            host.tell(kind(turn, self.inbox, keep, self._started))
            return
        with span.within():
            host.tell(kind(turn, self.inbox, keep, self._started))

    def _act_elsewhere(self, token: Token, turn: Turn, round_span: TraceSpan, *, keep: bool) -> None:
        performer = self.performer_of(token)
        performer.restore()
        self.remote.begin(performer.agent, turn, _span_within(round_span, turn), keep=keep)

    def act_together(self, turn: Turn, span: TraceSpan) -> None:
        """Start a together-stage, within the span of its round."""
        if self._together_host is None:
            performer = Performer(Participant("together", None), None)
            self._together_host = self._host("together", performer, self._hosts_of_together)
            self._hosts_of_together += 1
        with span.within():
            self._together_host.tell(Act(turn, self.inbox, False, self._started))  # noqa: FBT003 - a field

    def rebuild(self, token: Token, *, stuck: bool) -> None:
        """Replace the executor of an agent by one with its last checkpoint; the old one ends as soon as it can."""
        if token.turn is not None:
            self.members.give_up(token.turn)
        if not stuck and self.participant(token.name).is_stateless:
            return
        host, token.host, token.performer = token.host, None, None
        token.hosts += 1
        token.latest = token.kept
        if host is not None:
            self.stuck += stuck
            host.stop(drain=False)

    def end(self, token: Token) -> None:
        """End the executor of an agent that takes no part any more."""
        host, token.host, token.performer = token.host, None, None
        if host is not None:
            host.stop(drain=False)

    def metrics(self) -> RuntimeMetrics:
        """Return the metrics of the runtime."""
        return self.runtime.metrics()

    def close(self) -> None:
        """End all executors, and the turns of runtime agents and on other nodes."""
        self.remote.close()
        self.members.close()
        self.runtime.stop(drain=False, timeout=_LEFT_BEHIND if self.stuck else None)

    def give_up_together(self) -> None:
        """Count the together-stage as stuck, so that `close` does not wait for it."""
        self.stuck += 1

    def give_up(self, host: AgentRef) -> None:
        """End an agent of the pool whose thread is stuck."""
        self.stuck += 1
        host.stop(drain=False)

    def performer_of(self, token: Token) -> Performer:
        """Return the performer of an agent, which is made if it has none."""
        performer: Performer | None = token.performer
        if performer is None:
            performer = token.performer = Performer(self.participant(token.name), token.latest)
        return performer

    def go_on(self, given: QueuedTurn, rest: Any, began: float) -> None:
        """Await the result of a turn that a queue has begun on the event loop of its agent."""
        host = self._host_of(given.token)
        host.tell(Go(given.turn, self.inbox, given.keep, rest, began, NO_SPAN, self._started))

    def host_of_queued(self, given: QueuedTurn) -> AgentRef:
        """Return the executor of an agent whose turn a queue does now. On the thread of the queue."""
        token = given.token
        # A turn that was forfeited as late has an executor of its own number, apart from those of later turns.
        if token.hosts != given.number:
            return self._host(token.name, given.performer, given.number)
        if token.host is None:
            token.host = self._host(token.name, given.performer, given.number)
        return token.host

    def _host_of(self, token: Token) -> AgentRef:
        if token.host is None:
            token.host = self._host(token.name, self.performer_of(token), token.hosts)
        return token.host

    def _host(self, name: str, performer: Performer, number: int) -> AgentRef:
        return self.spawn(TurnExecutor, name, number, performer)

    def spawn(self, kind: type[Agent], name: str, number: int, *arguments: Any) -> AgentRef:
        """Start an agent of the pool, with a number in its name from the second of that name on."""
        called = name if number == 0 else f"{name}~{number}"
        if self.runtime.find(called) is not None:
            # An agent may have the name of the executor of together-stages, or of a queue.
            called = f"{called}~"
        return self.runtime.spawn(kind, *arguments, name=called)
