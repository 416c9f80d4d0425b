"""The agent that a conversation is."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from coterie.conversation.entries import Said, identify
from coterie.conversation.operations.operation import CancelAnswer, Operation, OperationState
from coterie.conversation.session.builtin_tools import BuiltinCommands
from coterie.conversation.session.deliveries import Deliveries
from coterie.conversation.session.messages import (
    AttemptEnded,
    AttemptNews,
    CancelOperation,
    Ready,
    Reorder,
    Resolve,
    Speak,
    Taken,
    WaitUntilIdle,
)
from coterie.conversation.session.recovery import recover
from coterie.conversation.session.scheduler import OperationScheduler
from coterie.conversation.session.session_log import SessionLog
from coterie.conversation.session.speaker import Speaker
from coterie.conversation.session.tool_calls import ToolCallPolicy
from coterie.conversation.session.turns import TurnRunner
from coterie.conversation.state import ConversationState
from coterie.errors import (
    ConversationError,
    ConversationFull,
    ConversationTaken,
    StorageError,
    TransitionRefused,
    UnknownOperation,
)
from coterie.kernel import choice
from coterie.runtime import Agent, on

_RAISES = (ConversationError, StorageError, ValueError)


class Session(Agent):
    """One conversation. All its parts are touched by its thread alone; what it shares is its `ConversationState`."""

    def __init__(self, port: ConversationState) -> None:
        self._port = port
        self._host = port.host
        self._inbox: deque[Said] = deque()
        self._taking = 0
        """Messages that are being written down."""
        self._wake = asyncio.Event()
        self._busy = False
        self._ready = False
        self._settling: list[asyncio.Future[None]] = []
        self._cutting: asyncio.TimerHandle | None = None
        try:
            self._book = SessionLog(port, self._write_failed)
        except BaseException as error:
            port.feed.close(error)
            raise
        self._runner = OperationScheduler(self._book, self.context, self._beside, self._changed)
        self._speaker = Speaker(self._book)
        self._calls = ToolCallPolicy(self._book, self._runner, self.context)
        self._commands = BuiltinCommands(self._book, self._runner, self._calls)
        self._turns = TurnRunner(self._book, self._runner, self._calls, self._commands, self._speaker)
        self._deliveries = Deliveries(self._book, self._runner, self._speaker, self.context.log)

    async def on_start(self) -> None:
        """Take up what was left."""
        questions = self._book.questions()
        await recover(self._book, self._runner)
        self._inbox.extend(questions)
        self._ready = True
        self._beside(self._pump)

    def on_stop(self) -> None:
        """Leave what runs."""
        self._runner.close()

    # What front ends ask.

    @on(interleave=True, shield=True, raises=_RAISES)
    async def speak(self, message: Speak) -> Taken:
        """Take in what the user says."""
        if message.id:
            before = self._host.journal.turn_said(self._port.key, message.id)
            if before is None:
                before = next((each.turn for each in self._book.questions() if each.id == message.id), None)
            if before is not None:
                first = self._host.journal.of_turn(self._port.key, before)
                return Taken(before, identify(first[0].sequence) - 1 if first else 0)
        waiting = len(self._inbox) + self._taking
        if waiting >= self._host.settings.waiting:
            raise ConversationFull(self._port.name, waiting)
        self._book.last_turn += 1
        said = Said(turn=self._book.last_turn, text=message.text, id=message.id)
        after = identify(self._book.next_sequence) - 1
        self._taking += 1
        try:
            await self._book.record(said)
        finally:
            self._taking -= 1
        self._inbox.append(said)
        self._turns.spoken_on.set()
        self._wake.set()
        return Taken(said.turn, after)

    @on(interleave=True, raises=_RAISES)
    async def cancel(self, message: CancelOperation) -> CancelAnswer:
        """Ask an operation to stop."""
        operation = self._find(message.number)
        if operation.number not in self._book.operations:
            return CancelAnswer.TOO_LATE
        return await self._runner.cancel(operation.number)

    @on(interleave=True, raises=_RAISES)
    async def reorder(self, message: Reorder) -> tuple[Operation, ...]:
        """Give a queued operation another place."""
        operation = self._find(message.number)
        if operation.state is not OperationState.QUEUED:
            raise TransitionRefused(operation.id, operation.state, OperationState.QUEUED, "only what waits can be reordered")
        return await self._runner.reorder(operation.number, message.place)

    @on(interleave=True, raises=_RAISES)
    async def resolve(self, message: Resolve) -> Operation:
        """Hear what became of an operation."""
        operation = self._find(message.number)
        state = choice("state", message.state, OperationState)
        if operation.state is not OperationState.UNKNOWN:
            raise TransitionRefused(operation.id, operation.state, state, "its outcome is known")
        if state not in (OperationState.SUCCEEDED, OperationState.FAILED, OperationState.QUEUED):
            raise TransitionRefused(operation.id, operation.state, state, "say succeeded, failed, or queued")
        return await self._runner.resolve(operation.number, state, message.detail)

    @on(interleave=True)
    async def settle(self, _message: WaitUntilIdle) -> None:
        """Return when all is quiet."""
        while not self._quiet:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._settling.append(future)
            await future

    @on(interleave=True)
    def ready(self, _message: Ready) -> int:
        """Say that all has been taken up; nothing is answered before that."""
        return self._port.feed.last

    # What attempts tell.

    @on(interleave=True)
    async def attempt_news(self, message: AttemptNews) -> None:
        """Hear that an attempt has made progress."""
        self._runner.news(message.serial)

    @on(interleave=True)
    async def attempt_ended(self, message: AttemptEnded) -> None:
        """Hear that an attempt has ended."""
        await self._runner.ended(message.serial)

    # The order of turns and deliveries.

    async def _pump(self) -> None:
        """Answer and deliver, one after the other: what is due is told first, for that never cuts across a turn."""
        while True:
            self._wake.clear()
            if self._deliveries.due:
                self._busy = True
                await self._deliveries.deliver()
            elif self._inbox:
                self._busy = True
                said = self._inbox.popleft()
                if not self._inbox:
                    self._turns.spoken_on.clear()
                await self._turns.answer(said)
            else:
                self._busy = False
                self._look_if_quiet()
                await self._idle()
            self._stop_cutting()

    async def _idle(self) -> None:
        """Return when there is something to do. Who has nothing to do for long, and nobody to tell it to, is let go."""
        while True:
            try:
                async with asyncio.timeout(self._host.settings.idle_timeout):
                    await self._wake.wait()
            except TimeoutError:
                needed = self._wake.is_set() or not self._quiet or self._taking or self._runner.held or self._port.feed.is_heard
                if needed or not self._port.rest():
                    continue
            return

    def _changed(self) -> None:
        """Be told that an operation has ended, or that it is known now that nobody knows."""
        self._wake.set()
        if self._busy and self._deliveries.due and self._cutting is None:
            wait = self._host.settings.synthesis_wait
            self._cutting = asyncio.get_running_loop().call_later(wait, self._cut)
        self._look_if_quiet()

    def _cut(self) -> None:
        """Cut the answer that is being given, for a result has waited for its end long enough."""
        self._cutting = None
        if self._busy and self._deliveries.due and not self._speaker.cut():
            # It is not the model that is waited for, but a tool, and that has its own patience.
            self._cutting = asyncio.get_running_loop().call_later(self._host.settings.grace, self._cut)

    def _stop_cutting(self) -> None:
        if self._cutting is not None:
            self._cutting.cancel()
            self._cutting = None

    @property
    def _quiet(self) -> bool:
        busy = self._busy or not self._ready or self._inbox or self._runner.moving or self._runner.checking
        return not busy and not self._deliveries.due

    def _look_if_quiet(self) -> None:
        if self._settling and self._quiet:
            settling, self._settling = self._settling, []
            for future in settling:
                if not future.done():
                    future.set_result(None)

    # What goes on beside.

    def _beside(self, work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        # Called only in the task: one that is cancelled before it begins leaves no coroutine behind.
        self.context.create_task(self._contained(work, *arguments))

    async def _contained(self, work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        try:
            await work(*arguments)
        except ConversationTaken:
            # It was told to all readers, and this agent ends; see `_write_failed`.
            self.context.log.warning("%s was opened elsewhere, and is left to that", self._port.name)

    def _write_failed(self, error: BaseException) -> None:
        """Be told that something could not be written, so what is here is not what is kept."""
        if isinstance(error, ConversationTaken):
            self._port.feed.close(error)
            self.context.self_ref.stop(drain=False)
            return

        async def fail() -> None:
            raise error

        self.context.create_task(fail())

    def _find(self, number: int) -> Operation:
        operation = self._commands.find(number)
        if operation is None:
            raise UnknownOperation(number, self._port.name)
        return operation
