"""The agent of a conversation."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from coterie.conversation.answers import DeferredAnswer
from coterie.conversation.entries import UserMessageEntry, identify
from coterie.conversation.operations.operation import CancelAnswer, Operation, OperationState
from coterie.conversation.session.approvals import Approvals
from coterie.conversation.session.builtin_tools import BuiltinCommands
from coterie.conversation.session.call_checks import CallChecks
from coterie.conversation.session.deliveries import Deliveries
from coterie.conversation.session.direct_calls import DirectCalls
from coterie.conversation.session.messages import (
    ApproveOperation,
    AttemptBegan,
    AttemptEnded,
    AttemptProgressed,
    AwaitOutcome,
    AwaitReady,
    CallTool,
    CancelOperation,
    DrainSession,
    EditOperation,
    MessageAccepted,
    RejectOperation,
    Reorder,
    Resolve,
    SendMessage,
    StopTurn,
    SupplyResult,
    WaitUntilIdle,
    WriteMemories,
)
from coterie.conversation.session.orderly_end import OrderlyEnd
from coterie.conversation.session.recovery import recover
from coterie.conversation.session.remembering import Remembering
from coterie.conversation.session.scheduler import OperationScheduler
from coterie.conversation.session.session_log import SessionLog
from coterie.conversation.session.speaker import Speaker
from coterie.conversation.session.summaries import SummaryWriter
from coterie.conversation.session.tool_calls import ToolCallPolicy
from coterie.conversation.session.turns import TurnRunner
from coterie.conversation.state import ConversationState
from coterie.errors import ConversationError, ConversationFull, ConversationTaken, StorageError, UnknownOperation
from coterie.errors.conversation import TransitionRefused
from coterie.kernel import choice
from coterie.runtime import Agent, on

_RAISES = (ConversationError, StorageError, ValueError)


class Session(Agent):
    """One conversation. Only its thread uses its parts; it shares its `ConversationState`."""

    records_spans = False

    def __init__(self, state: ConversationState) -> None:
        self._state = state
        self._host = state.host
        self._inbox: deque[UserMessageEntry] = deque()
        self._writing = 0
        """Messages that are being committed."""
        self._wake = asyncio.Event()
        self._busy = False
        self._ready = False
        self._answering = False
        """Whether stored answers to operations are being applied."""
        self._idle_waiters: list[asyncio.Future[None]] = []
        self._cut_timer: asyncio.TimerHandle | None = None
        try:
            self._session_log = SessionLog(state, self._write_failed)
        except BaseException as error:
            state.event_stream.close(error)
            raise
        self._scheduler = OperationScheduler(self._session_log, self.context, self._start_task, self._changed)
        self._speaker = Speaker(self._session_log, self.context)
        checks = CallChecks(self._session_log, self.context)
        self._approvals = Approvals(self._session_log, self._scheduler, checks, self._start_task)
        self._calls = ToolCallPolicy(self._session_log, self._scheduler, checks, self._approvals)
        self._direct_calls = DirectCalls(self._session_log, self._scheduler, self._calls)
        self._commands = BuiltinCommands(self._session_log, self._scheduler, self._calls)
        self._remembering = Remembering(self._session_log, self.context.run_blocking, self.context.log)
        self._turns = TurnRunner(
            self._session_log, self._scheduler, self._calls, self._commands, self._speaker, self._remembering
        )
        self._ending = OrderlyEnd(self._scheduler, lambda: self._busy)
        self._summaries = SummaryWriter(self._session_log, self._start_task, self.context.log)
        self._deliveries = Deliveries(self._session_log, self._scheduler, self._speaker, self.context.log)

    async def on_start(self) -> None:
        """Restore the conversation and resume unfinished work."""
        questions = self._session_log.questions()
        await recover(self._session_log, self._scheduler)
        self._approvals.restore()
        self._turns.frontend.expect()
        self._inbox.extend(questions)
        if answers := self._host.journal.answers.of(self._state.key):
            self._answering = True
            self._start_task(self._apply, answers)
        self._ready = True
        self._start_task(self._run_turns)

    def on_stop(self) -> None:
        """Stop timers and attempts."""
        self._approvals.close()
        self._scheduler.close()
        self._session_log.spans.close()

    # Requests of front ends.

    @on(interleave=True, shield=True, raises=_RAISES)
    async def accept_message(self, message: SendMessage) -> MessageAccepted:
        """Append a message of the user to the log and queue it for an answer."""
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
        said = UserMessageEntry(
            turn=self._session_log.last_turn,
            text=message.text,
            id=message.id,
            schema=message.schema,
            attachments=message.attachments,
            tools=message.tools,
        )
        after = identify(self._session_log.next_sequence) - 1
        self._writing += 1
        try:
            await self._session_log.record(said)
        finally:
            self._writing -= 1
            # Without the message, what waits for idleness may wait for nothing any more.
            self._wake.set()
        self._session_log.spans.received(said.turn)
        self._inbox.append(said)
        self._turns.message_waiting.set()
        self._wake.set()
        return MessageAccepted(said.turn, after)

    @on(interleave=True)
    def supply(self, message: SupplyResult) -> int:
        """Take the result of a front end's own tool."""
        return self._turns.frontend.supply(message.call, message.content, failed=message.failed)

    @on(interleave=True)
    def stop_turn(self, message: StopTurn) -> bool:
        """Stop the current answer; what was said is kept, and its operations go on in the background."""
        return self._turns.stop(message.turn)

    @on(interleave=True, raises=_RAISES)
    async def cancel(self, message: CancelOperation) -> CancelAnswer:
        """Ask an operation to stop."""
        operation = self._find(message.number)
        if operation.number not in self._session_log.operations:
            return CancelAnswer.TOO_LATE
        return await self._scheduler.cancel(operation.number)

    @on(interleave=True, raises=_RAISES)
    async def reorder(self, message: Reorder) -> tuple[Operation, ...]:
        """Move a queued operation."""
        operation = self._find(message.number)
        if operation.state is not OperationState.QUEUED:
            raise TransitionRefused(
                operation.id, operation.state, OperationState.QUEUED, "only a queued operation can be reordered"
            )
        return await self._scheduler.reorder(operation.number, message.place)

    @on(interleave=True, raises=_RAISES)
    async def approve(self, message: ApproveOperation) -> Operation:
        """Approve an operation."""
        return await self._approvals.approve(self._find(message.number).number, message.person, message.consent)

    @on(interleave=True, raises=_RAISES)
    async def reject(self, message: RejectOperation) -> Operation:
        """Reject an operation."""
        return await self._approvals.reject(self._find(message.number).number, message.why, message.person, message.consent)

    @on(interleave=True, raises=_RAISES)
    async def edit(self, message: EditOperation) -> Operation:
        """Change the arguments of an operation."""
        return await self._approvals.edit(self._find(message.number).number, message.arguments, message.person)

    @on(interleave=True, raises=_RAISES)
    async def resolve(self, message: Resolve) -> Operation:
        """Resolve an operation of unknown outcome."""
        operation = self._find(message.number)
        state = OperationState.QUEUED if message.state == "retry" else choice("state", message.state, OperationState)
        if operation.state is not OperationState.UNKNOWN:
            raise TransitionRefused(operation.id, operation.state, state, "its outcome is known")
        if state not in (OperationState.SUCCEEDED, OperationState.FAILED, OperationState.QUEUED):
            raise TransitionRefused(operation.id, operation.state, state, "say succeeded, failed, or retry")
        return await self._scheduler.resolve(operation.number, state, message.detail, message.person)

    @on(interleave=True, raises=_RAISES)
    async def call_tool(self, message: CallTool) -> Operation:
        """Call a tool for a program."""
        return await self._direct_calls.call(message.tool, message.arguments)

    @on(interleave=True, raises=_RAISES)
    async def await_outcome(self, message: AwaitOutcome) -> Operation:
        """Return an operation once it has ended."""
        return await self._direct_calls.outcome(self._find(message.number))

    @on(interleave=True, raises=_RAISES)
    async def write_memories(self, _message: WriteMemories) -> int:
        """Write down what is worth to remember of the user."""
        return await self._remembering.summarise()

    @on(interleave=True)
    async def wait_until_idle(self, _message: WaitUntilIdle) -> None:
        """Return when the conversation is idle."""
        while not self._is_idle:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle_waiters.append(future)
            await future

    @on(interleave=True)
    def ready(self, _message: AwaitReady) -> int:
        """Return the id of the newest event. The runtime calls this only after `on_start`."""
        return self._state.event_stream.last

    async def _apply(self, answers: list[DeferredAnswer]) -> None:
        """Apply the answers that persons gave while the conversation was not open, with the checks of answers given now."""
        try:
            for each in answers:
                try:
                    await self._answer(each)
                except (ConversationError, ValueError) as error:
                    self.context.log.warning("the answer to op-%s, %s, is refused: %s", each.operation, each.action, error)
                await self._host.journal.answers.remove(self._state.key, each)
        finally:
            self._answering = False
            self._wake.set()

    async def _answer(self, given: DeferredAnswer) -> None:
        number, person = given.operation, given.person if given.person is not None else self._state.user
        match given.action:
            case "approve":
                await self.approve(ApproveOperation(number=number, person=person, consent=given.consent))
            case "reject":
                await self.reject(RejectOperation(number=number, person=person, why=given.why, consent=given.consent))
            case "cancel":
                await self.cancel(CancelOperation(number=number))
            case _:
                await self.resolve(Resolve(number=number, state=given.state, detail=given.why, person=person))

    # Messages of attempts.

    @on(interleave=True)
    async def attempt_began(self, message: AttemptBegan) -> None:
        """Handle the beginning of an attempt."""
        self._scheduler.attempts.began(message.serial)

    @on(interleave=True)
    async def attempt_progressed(self, message: AttemptProgressed) -> None:
        """Handle the progress of an attempt."""
        self._scheduler.attempts.progressed(message.serial)

    @on(interleave=True)
    async def attempt_ended(self, message: AttemptEnded) -> None:
        """Handle the end of an attempt."""
        await self._scheduler.attempt_ended(message.serial)
        self._ending.notify()

    @on(interleave=True, shield=True)
    async def drain(self, message: DrainSession) -> None:
        """End what runs in an orderly way: take no new turn, give running work time, stop the rest, record each."""
        self._wake.set()
        await self._ending.run(message.grace)

    # The order of turns and deliveries.

    async def _run_turns(self) -> None:
        """Answer and deliver, one after the other. Deliveries come first, so that they never interrupt a turn."""
        while True:
            self._wake.clear()
            if self._deliveries.due and not self._ending.halting:
                self._busy = True
                with self._session_log.spans.delivery():
                    await self._deliveries.deliver()
            elif self._inbox and not self._ending.begun:
                self._busy = True
                said = self._inbox.popleft()
                if not self._inbox:
                    self._turns.message_waiting.clear()
                await self._turns.answer(said)
                self._summaries.consider()
            else:
                self._busy = False
                self._ending.notify()
                self._notify_if_idle()
                await self._wait_for_work()
            self._cancel_cut_timer()

    async def _wait_for_work(self) -> None:
        """Return when there is work. Passivate the session after `idle_timeout` if nothing runs and no reader waits."""
        while True:
            try:
                async with asyncio.timeout(self._host.settings.idle_timeout):
                    await self._wake.wait()
            except TimeoutError:
                needed = (
                    self._wake.is_set()
                    or not self._is_idle
                    or self._writing
                    or self._summaries.writing
                    or self._scheduler.attempts.abandoned
                    or self._state.event_stream.has_readers
                )
                if not needed:
                    await self._remembering.summarise()
                if not needed and not self._wake.is_set() and self._state.rest():
                    # This agent is being stopped. To ask for rest again could wait for the caller that waits for the stop.
                    await asyncio.get_running_loop().create_future()
                continue
            return

    def _changed(self) -> None:
        """Handle an operation that ended or whose outcome is unknown."""
        self._wake.set()
        self._ending.notify()
        if self._busy and self._deliveries.due and self._cut_timer is None:
            wait = self._host.settings.synthesis_wait
            self._cut_timer = asyncio.get_running_loop().call_later(wait, self._cut)
        self._notify_if_idle()

    def _cut(self) -> None:
        """Cut the current answer short, because a result has waited for it long enough."""
        self._cut_timer = None
        if self._busy and self._deliveries.due and not self._speaker.cut():
            # The turn waits for a tool, which has its own patience, and not for the model.
            self._cut_timer = asyncio.get_running_loop().call_later(self._host.settings.grace, self._cut)

    def _cancel_cut_timer(self) -> None:
        if self._cut_timer is not None:
            self._cut_timer.cancel()
            self._cut_timer = None

    @property
    def _is_idle(self) -> bool:
        busy = (
            self._busy
            or not self._ready
            or self._answering
            or self._writing
            or self._inbox
            or self._scheduler.progressing
            or self._scheduler.checking
        )
        return not busy and not self._deliveries.due

    def _notify_if_idle(self) -> None:
        if self._idle_waiters and self._is_idle:
            settling, self._idle_waiters = self._idle_waiters, []
            for future in settling:
                if not future.done():
                    future.set_result(None)

    # Background tasks.

    def _start_task(self, work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        # The task calls `work`, so a task that is cancelled before its start leaves no coroutine behind.
        self.context.create_task(self._run_task(work, *arguments))

    async def _run_task(self, work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        try:
            await work(*arguments)
        except ConversationTaken:
            # `_write_failed` ends all readers and this agent.
            self.context.log.warning("%s was opened elsewhere; this agent stops", self._state.name)

    def _write_failed(self, error: BaseException) -> None:
        """Handle a failed write: memory and store differ now, so the agent ends or restarts."""
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
