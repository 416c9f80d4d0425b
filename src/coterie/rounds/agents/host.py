"""The runtime agent on whose thread a turn is done."""

from __future__ import annotations

import queue
from collections.abc import Awaitable
from typing import Any, TypeAlias

import msgspec

from coterie.messaging import Message
from coterie.rounds.agents.member import Keep, TakeTurn, TakeUp
from coterie.rounds.agents.subject import Subject, state_as_bytes, state_from_bytes
from coterie.rounds.turns.turn import Turn
from coterie.runtime import Agent, AgentRef, on


class Report(msgspec.Struct, gc=False):
    """How a turn ended, as the engine hears of it."""

    turn: Turn
    value: Any = None
    error: BaseException | None = None
    """What was raised, if anything was."""
    state: bytes | None = None
    """The agent's state afterwards, if it was asked for."""
    late: bool = False
    """Whether it is not the turn that reports, but its deadline."""
    began: float = 0.0
    ended: float = 0.0


Inbox: TypeAlias = "queue.SimpleQueue[Report | BaseException]"
"""Where the engine hears of turns."""


class Act(Message):
    """Has a host do a turn, to its end."""

    turn: Turn
    inbox: Any
    keep: bool


class ActAsync(Message):
    """Has a host do a turn whose stage is known to be ``async``."""

    turn: Turn
    inbox: Any
    keep: bool


class Go(Message):
    """Has a host await what a turn has begun."""

    turn: Turn
    inbox: Any
    keep: bool
    rest: Any
    began: float


class Host(Agent):
    """Does the turns of one subject, on a thread of its own, and reports how each ended. Nothing that is raised leaves it."""

    def __init__(self, subject: Subject, state: bytes | None) -> None:
        self.subject = subject
        self.agent = subject.make()
        self._state = state
        if state is not None and subject.reference is None:
            self.agent.restore(state_from_bytes(state))

    @on
    def act(self, message: Act) -> None:
        """Do a turn that needs no event loop; leave to `go` what is left of one that does."""
        clock = self.context.runtime.clock
        began = clock.monotonic()
        turn = message.turn
        turn.agent = self.agent
        try:
            value = self._begin(turn)
            if isinstance(value, Awaitable):
                self.context.self_ref.tell(Go(turn, message.inbox, message.keep, value, began))
                return
            state = self._keep() if message.keep else None
        except BaseException as error:  # noqa: BLE001 - it forfeits the turn, which is said to the engine
            message.inbox.put(Report(turn, error=error, began=began, ended=clock.monotonic()))
            return
        message.inbox.put(Report(turn, value, None, state, began=began, ended=clock.monotonic()))

    @on
    async def act_async(self, message: ActAsync) -> None:
        """Do a turn that is known to need the event loop."""
        turn = message.turn
        turn.agent = self.agent
        began = self.context.runtime.clock.monotonic()
        try:
            rest = self._begin(turn)
        except BaseException as error:  # noqa: BLE001 - as above
            message.inbox.put(Report(turn, error=error, began=began, ended=began))
            return
        await self.go(Go(turn, message.inbox, message.keep, rest, began))

    @on
    async def go(self, message: Go) -> None:
        """Await what a turn has begun, and report how it ended."""
        clock = self.context.runtime.clock
        turn = message.turn
        try:
            value = await message.rest
            state = None
            if message.keep:
                state = await self._keep_reference() if isinstance(self.agent, AgentRef) else self._keep()
        except BaseException as error:
            message.inbox.put(Report(turn, error=error, began=message.began, ended=clock.monotonic()))
            if not isinstance(error, Exception):
                raise
            return
        message.inbox.put(Report(turn, value, None, state, began=message.began, ended=clock.monotonic()))

    def _begin(self, turn: Turn) -> Any:
        if isinstance(self.agent, AgentRef):
            return self._of_reference(self.agent, turn)
        if turn.work is not None:
            return turn.work(turn)
        method = getattr(self.agent, turn.stage, None)
        if method is None and not callable(self.agent):
            raise AttributeError(f"a {type(self.agent).__qualname__} has no method {turn.stage!r}, and is no function")
        return method(turn) if method is not None else self.agent(turn)

    async def _of_reference(self, agent: AgentRef, turn: Turn) -> Any:
        if self._state is not None:
            await agent.ask(TakeUp(state_from_bytes(self._state)), timeout=None)
            self._state = None
        if turn.work is None:
            return await agent.ask(TakeTurn(turn), timeout=None)
        value = turn.work(turn)
        return await value if isinstance(value, Awaitable) else value

    def _keep(self) -> bytes | None:
        return state_as_bytes(self.subject.name, self.agent.snapshot()) if self.subject.keeps_state else None

    async def _keep_reference(self) -> bytes:
        return state_as_bytes(self.subject.name, await self.agent.ask(Keep(), timeout=None))
