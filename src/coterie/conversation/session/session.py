"""The agent that a conversation is."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from coterie.conversation.entries import UserMessageEntry, identify
from coterie.conversation.operations.operation import CancelAnswer, Operation, OperationState
from coterie.conversation.session.builtin_tools import BuiltinCommands
from coterie.conversation.session.deliveries import Deliveries
from coterie.conversation.session.messages import (
    AttemptEnded,
    AttemptProgressed,
    AwaitReady,
    CancelOperation,
    MessageAccepted,
    Reorder,
    Resolve,
    SendMessage,
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

    def __init__(self, state: ConversationState) -> None:
        self._state = state
        self._host = state.host
        self._inbox: deque[UserMessageEntry] = deque()
        self._writing = 0
        """Messages that are being written down."""
        self._wake = asyncio.Event()
        self._busy = False
        self._ready = False
        self._idle_waiters: list[asyncio.Future[None]] = []
        self._cut_timer: asyncio.TimerHandle | None = None
        try:
            self._session_log = SessionLog(state, self._write_failed)
        except BaseException as error:
            state.event_stream.close(error)
            raise
        self._scheduler = OperationScheduler(self._session_log, self.context, self._start_task, self._changed)
        self._speaker = Speaker(self._session_log)
        self._calls = ToolCallPolicy(self._session_log, self._scheduler, self.context)
        self._commands = BuiltinCommands(self._session_log, self._scheduler, self._calls)
        self._turns = TurnRunner(self._session_log, self._scheduler, self._calls, self._commands, self._speaker)
        self._deliveries = Deliveries(self._session_log, self._scheduler, self._speaker, self.context.log)

    async def on_start(self) -> None:
        """Take up what was left."""
        questions = self._session_log.questions()
        await recover(self._session_log, self._scheduler)
        self._inbox.extend(questions)
        self._ready = True
        self._start_task(self._run_turns)

    def on_stop(self) -> None:
        """Leave what runs."""
        self._scheduler.close()

    # What front ends ask.

    @on(interleave=True, shield=True, raises=_RAISES)
    async def accept_message(self, message: SendMessage) -> MessageAccepted:
        """Take in what the user says."""
        if message.id:
            before = self._host.journal.turn_said(self._state.key, message.id)
            if before is None:
                before = next((each.turn for each in self._session_log.questions() if each.id == message.id), None)
            if before is not None:
                first = self._host.journal.of_turn(self._state.key, before)
                return MessageAccepted(before, identify(first[0].sequence) - 1 if first else 0)
        waiting = len(self._inbox) + self._writing
        if waiting >= self._host.settings.waiting:
            raise ConversationFull(self._state.name, waiting)
        self._session_log.last_turn += 1
        said = UserMessageEntry(turn=self._session_log.last_turn, text=message.text, id=message.id)
        after = identify(self._session_log.next_sequence) - 1
        self._writing += 1
        try:
            await self._session_log.record(said)
        finally:
            self._writing -= 1
        self._inbox.append(said)
        self._turns.message_waiting.set()
        self._wake.set()
        return MessageAccepted(said.turn, after)

    @on(interleave=True, raises=_RAISES)
    async def cancel(self, message: CancelOperation) -> CancelAnswer:
        """Ask an operation to stop."""
        operation = self._find(message.number)
        if operation.number not in self._session_log.operations:
            return CancelAnswer.TOO_LATE
        return await self._scheduler.cancel(operation.number)

    @on(interleave=True, raises=_RAISES)
    async def reorder(self, message: Reorder) -> tuple[Operation, ...]:
        """Give a queued operation another place."""
        operation = self._find(message.number)
        if operation.state is not OperationState.QUEUED:
            raise TransitionRefused(operation.id, operation.state, OperationState.QUEUED, "only what waits can be reordered")
        return await self._scheduler.reorder(operation.number, message.place)

    @on(interleave=True, raises=_RAISES)
    async def resolve(self, message: Resolve) -> Operation:
        """Hear what became of an operation."""
        operation = self._find(message.number)
        state = choice("state", message.state, OperationState)
        if operation.state is not OperationState.UNKNOWN:
            raise TransitionRefused(operation.id, operation.state, state, "its outcome is known")
        if state not in (OperationState.SUCCEEDED, OperationState.FAILED, OperationState.QUEUED):
            raise TransitionRefused(operation.id, operation.state, state, "say succeeded, failed, or queued")
        return await self._scheduler.resolve(operation.number, state, message.detail)

    @on(interleave=True)
    async def wait_until_idle(self, _message: WaitUntilIdle) -> None:
        """Return when all is quiet."""
        while not self._is_idle:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle_waiters.append(future)
            await future

    @on(interleave=True)
    def ready(self, _message: AwaitReady) -> int:
        """Say that all has been taken up; nothing is answered before that."""
        return self._state.event_stream.last

    # What attempts tell.

    @on(interleave=True)
    async def attempt_progressed(self, message: AttemptProgressed) -> None:
        """Hear that an attempt has made progress."""
        self._scheduler.attempt_progressed(message.serial)

    @on(interleave=True)
    async def attempt_ended(self, message: AttemptEnded) -> None:
        """Hear that an attempt has ended."""
        await self._scheduler.attempt_ended(message.serial)

    # The order of turns and deliveries.

    async def _run_turns(self) -> None:
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
                    self._turns.message_waiting.clear()
                await self._turns.answer(said)
            else:
                self._busy = False
                self._notify_if_idle()
                await self._wait_for_work()
            self._cancel_cut_timer()

    async def _wait_for_work(self) -> None:
        """Return when there is something to do. Who has nothing to do for long, and nobody to tell it to, is let go."""
        while True:
            try:
                async with asyncio.timeout(self._host.settings.idle_timeout):
                    await self._wake.wait()
            except TimeoutError:
                needed = (
                    self._wake.is_set()
                    or not self._is_idle
                    or self._writing
                    or self._scheduler.abandoned
                    or self._state.event_stream.has_readers
                )
                if needed or not self._state.rest():
                    continue
            return

    def _changed(self) -> None:
        """Be told that an operation has ended, or that it is known now that nobody knows."""
        self._wake.set()
        if self._busy and self._deliveries.due and self._cut_timer is None:
            wait = self._host.settings.synthesis_wait
            self._cut_timer = asyncio.get_running_loop().call_later(wait, self._cut)
        self._notify_if_idle()

    def _cut(self) -> None:
        """Cut the answer that is being given, for a result has waited for its end long enough."""
        self._cut_timer = None
        if self._busy and self._deliveries.due and not self._speaker.cut():
            # It is not the model that is waited for, but a tool, and that has its own patience.
            self._cut_timer = asyncio.get_running_loop().call_later(self._host.settings.grace, self._cut)

    def _cancel_cut_timer(self) -> None:
        if self._cut_timer is not None:
            self._cut_timer.cancel()
            self._cut_timer = None

    @property
    def _is_idle(self) -> bool:
        busy = self._busy or not self._ready or self._inbox or self._scheduler.progressing or self._scheduler.checking
        return not busy and not self._deliveries.due

    def _notify_if_idle(self) -> None:
        if self._idle_waiters and self._is_idle:
            settling, self._idle_waiters = self._idle_waiters, []
            for future in settling:
                if not future.done():
                    future.set_result(None)

    # What goes on beside.

    def _start_task(self, work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        # Called only in the task: one that is cancelled before it begins leaves no coroutine behind.
        self.context.create_task(self._run_task(work, *arguments))

    async def _run_task(self, work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        try:
            await work(*arguments)
        except ConversationTaken:
            # It was told to all readers, and this agent ends; see `_write_failed`.
            self.context.log.warning("%s was opened elsewhere, and is left to that", self._state.name)

    def _write_failed(self, error: BaseException) -> None:
        """Be told that something could not be written, so what is here is not what is kept."""
        if isinstance(error, ConversationTaken):
            self._state.event_stream.close(error)
            self.context.self_ref.stop(drain=False)
            return

        async def fail() -> None:
            raise error

        self.context.create_task(fail())

    def _find(self, number: int) -> Operation:
        operation = self._commands.find(number)
        if operation is None:
            raise UnknownOperation(number, self._state.name)
        return operation
