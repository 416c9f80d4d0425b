"""The scheduler of one conversation's operations."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from coterie.conversation.entries import ConversationEntry, OperationEndedEntry
from coterie.conversation.events import OperationProgressed
from coterie.conversation.operations import machine
from coterie.conversation.operations.machine import blocked_by_unknown, queue, runnable
from coterie.conversation.operations.operation import CancelAnswer, Effect, Operation, OperationState
from coterie.conversation.session.attempts import AttemptDeadline, AttemptWorker, RunningAttempt
from coterie.conversation.session.messages import AttemptEnded, AttemptProgressed
from coterie.conversation.session.session_log import SessionLog
from coterie.conversation.tools.attempt import AttemptPurpose, ToolAttempt
from coterie.conversation.tools.outcomes import NextStep, after_check, after_compensation, after_run, must_undo
from coterie.runtime import Context

_S = OperationState

_PROGRESS_EVERY = 1.0
"""Seconds between two writes of an operation's progress."""


class OperationScheduler:
    """Starts operations when their resources are free, and brings each to exactly one end.

    Only the conversation's thread uses it. `spawn` runs an asynchronous function as a task; `changed` is called when an
    operation ended or its outcome is unknown.
    """

    def __init__(
        self, session_log: SessionLog, context: Context, spawn: Callable[..., object], changed: Callable[[], None]
    ) -> None:
        self.session_log = session_log
        self.host = session_log.host
        self._context = context
        self._spawn = spawn
        self._changed = changed
        self._serials = itertools.count(1)
        self._attempts: dict[int, RunningAttempt] = {}
        self._current: dict[int, RunningAttempt] = {}
        self._abandoned: dict[int, RunningAttempt] = {}
        self._not_yet: dict[int, asyncio.TimerHandle] = {}
        self._waiters: dict[int, list[asyncio.Future[Operation]]] = {}
        self._secrets: dict[int, Mapping[str, Any]] = {}
        """The unmasked arguments of unfinished operations with secrets."""
        self._random = random.Random()  # noqa: S311 - for the jitter of retries
        self.checking: set[int] = set()
        """Operations of unknown outcome whose `check` is running."""

    # State.

    @property
    def unfinished(self) -> list[Operation]:
        """The queued and running operations."""
        return [each for each in self.session_log.operations.values() if not each.ended and each.state is not _S.UNKNOWN]

    @property
    def progressing(self) -> list[Operation]:
        """The unfinished operations that do not wait for the user to resolve one of unknown outcome."""
        waiting = {each.number for each in blocked_by_unknown(self.session_log.operations.values())}
        return [each for each in self.unfinished if each.number not in waiting]

    @property
    def abandoned(self) -> list[Operation]:
        """The operations of abandoned attempts that still run."""
        return [each.attempt.operation for each in self._abandoned.values()]

    @property
    def blocking(self) -> list[Operation]:
        """The operations that block their resources outside the queue: abandoned attempts and writes of unknown outcome."""
        unknown = [
            each for each in self.session_log.operations.values() if each.state is _S.UNKNOWN and each.effect is Effect.WRITE
        ]
        return self.abandoned + unknown

    @property
    def queue(self) -> list[Operation]:
        """The queued operations in order."""
        return queue(self.session_log.operations.values())

    # Submission.

    async def submit(self, entry: ConversationEntry | None, operations: Iterable[Operation]) -> list[Operation]:
        """Write new operations together with their log entry, start those that can run, and return all of them.

        The intent is on disk before the effect: operations that start at once are written as running.
        """
        known = dict(self.session_log.operations)
        taken: list[Operation] = []
        for each in operations:
            known[each.number] = each
            self.host.telemetry.count_tool(each.tool, "called")
            ready = {one.number for one in runnable(known.values(), self.blocking, self._not_yet)}
            if each.number in ready:
                # It stays at epoch 0, because creation and start are one write.
                begun = machine.begin(each, self.session_log.now)
                known[each.number] = begun = msgspec.structs.replace(begun, epoch=0)
                taken.append(begun)
            else:
                taken.append(each)
        await self.session_log.record(*([entry] if entry is not None else []), operations=taken)
        for each in taken:
            if each.state is _S.RUNNING:
                self.launch(each, AttemptPurpose.RUN)
        return [self.session_log.operations.get(each.number, each) for each in taken]

    def hold_secrets(self, number: int, given: Mapping[str, Any]) -> None:
        """Hold the unmasked arguments of an operation in memory before it is submitted."""
        self._secrets[number] = given

    def schedule(self) -> None:
        """Start the operations that can run now."""
        ready = runnable(self.session_log.operations.values(), self.blocking, self._not_yet)
        if ready:
            begun = [machine.begin(each, self.session_log.now) for each in ready]
            written = self.session_log.record(operations=begun)

            async def launch() -> None:
                await written
                for each in begun:
                    if (now := self.session_log.operations.get(each.number)) is not None and now.attempt == each.attempt:
                        self.launch(now, AttemptPurpose.RUN)

            self._spawn(launch)

    async def reorder(self, number: int, place: int) -> tuple[Operation, ...]:
        """Move a queued operation to a place in the queue, and return the queue."""
        waiting = self.queue
        places = sorted(each.place for each in waiting)
        one = next(each for each in waiting if each.number == number)
        waiting.remove(one)
        waiting.insert(min(place, len(waiting)), one)
        moved = [machine.change(each, place=new) for each, new in zip(waiting, places, strict=True) if each.place != new]
        if moved:
            await self.session_log.record(operations=moved)
            self.schedule()
        return tuple(self.queue)

    async def to_background(self, numbers: Iterable[int], *entries: ConversationEntry) -> None:
        """Move operations to the background: their turn continues, and their outcome is delivered later."""
        moved = []
        for number in numbers:
            operation = self.session_log.operations[number]
            if not operation.background:
                moved.append(machine.change(operation, background=True))
                self.host.telemetry.count_tool(operation.tool, "backgrounded")
        await self.session_log.record(*entries, operations=moved)

    # Waiting.

    def ending(self, number: int) -> asyncio.Future[Operation]:
        """Return a future of the ended operation, set once its end is committed."""
        future: asyncio.Future[Operation] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(number, []).append(future)
        return future

    # Attempts.

    def launch(self, operation: Operation, purpose: AttemptPurpose) -> None:
        """Start an attempt that runs, checks or compensates an operation."""
        tool = self.host.tools.get(operation.tool)
        if tool is None:
            self._spawn(self._finish, operation.number, _S.FAILED, f"there is no tool {operation.tool} any more")
            return
        callee = {AttemptPurpose.RUN: tool.run, AttemptPurpose.CHECK: tool.check, AttemptPurpose.COMPENSATE: tool.compensate}[
            purpose
        ]
        assert callee is not None
        given = self._secrets.get(operation.number, operation.arguments)
        lost = tool.arguments.hidden(given)
        if lost and purpose is AttemptPurpose.RUN:
            why = f"{', '.join(lost)} is secret and was not kept when the process ended: it has to be asked for again"
            self._spawn(self._finish, operation.number, _S.FAILED, why)
            return
        try:
            arguments = tool.arguments.kept(given) if lost else tool.arguments.check(given)[0]
        except ValueError as error:
            self._spawn(self._finish, operation.number, _S.FAILED, f"its arguments do not fit any more: {error}")
            return
        serial = next(self._serials)
        again = operation.attempt > 1 or purpose is not AttemptPurpose.RUN
        me = self._context.self_ref
        attempt = ToolAttempt(
            operation,
            purpose,
            callee,
            arguments,
            self.session_log.state,
            key=operation.key or f"{self.session_log.state.key}/{operation.id}",
            checkpoint=self.host.journal.ledger.checkpoint(self.session_log.state.key, operation.number) if again else None,
            on_progress=lambda _: me.tell(AttemptProgressed(serial)),
            on_end=lambda _: me.tell(AttemptEnded(serial)),
            max_length=self.host.settings.longest_result,
        )
        running = RunningAttempt(serial, attempt, self.session_log.now)
        self._attempts[serial] = self._current[operation.number] = running
        if purpose is AttemptPurpose.RUN:
            if operation.attempt == 1:
                self.host.telemetry.began(tool.name, max(0.0, self.session_log.now - operation.created_at))
            running.watch = AttemptDeadline(tool.timeout, tool.idle_timeout, lambda why: self._overdue(running, why))
        else:
            limit = tool.timeout if tool.timeout is not None else self.host.settings.model_timeout
            running.watch = AttemptDeadline(limit, None, lambda why: self._overdue(running, why))
        running.ref = self._context.spawn(AttemptWorker, attempt)
        if operation.state is _S.CANCELLING and purpose is AttemptPurpose.RUN:
            # A cancel request came while its start was being written.
            running.stop()

    def attempt_progressed(self, serial: int) -> None:
        """Handle the progress of an attempt."""
        running = self._attempts.get(serial)
        if running is None or running.attempt.given_up or running.attempt.purpose is not AttemptPurpose.RUN:
            return
        fraction, line = running.attempt.take_progress()
        if running.watch is not None:
            running.watch.alive()
        operation = self.session_log.operations.get(running.attempt.operation.number)
        if operation is not None and not operation.ended:
            self._record_progress(running, msgspec.structs.replace(operation, fraction=fraction, line=line))
            self.session_log.announce(
                OperationProgressed, operation=operation.number, tool=operation.tool, fraction=fraction, line=line
            )

    def _record_progress(self, running: RunningAttempt, operation: Operation) -> None:
        """Record progress in memory, and at intervals in the ledger, not durably: progress is for display only."""
        now = asyncio.get_running_loop().time()
        if now < running.written + _PROGRESS_EVERY:
            self.session_log.record_progress(operation)
        else:
            running.written = now
            self.session_log.record(operations=[machine.change(operation)], durable=False, tell=False)

    async def attempt_ended(self, serial: int) -> None:
        """Handle the end of an attempt."""
        running = self._attempts.pop(serial, None)
        if running is None:
            return
        attempt = running.attempt
        number = attempt.operation.number
        if running.watch is not None:
            running.watch.close()
        if attempt.given_up:
            # Its outcome comes too late to count. Its resources are free now.
            del self._abandoned[serial]
            self.host.telemetry.count_tool(attempt.operation.tool, "abandoned", -1)
            self.schedule()
            return
        self._current.pop(number, None)
        operation = self.session_log.operations[number]
        outcome = attempt.outcome
        assert outcome is not None
        if attempt.purpose is AttemptPurpose.RUN:
            self.host.telemetry.ran(operation.tool, max(0.0, self.session_log.now - running.began))
            step = after_run(operation, self.host.tools[operation.tool], outcome, attempt.timed_out, self._random)
        elif attempt.purpose is AttemptPurpose.COMPENSATE:
            step = after_compensation(outcome)
        else:
            self.checking.discard(number)
            step = after_check(operation, self.host.tools[operation.tool], outcome)
        await self._apply(number, step)

    async def _apply(self, number: int, step: NextStep) -> None:
        operation = self.session_log.operations[number]
        if step.state is not None:
            await self._finish(number, step.state, step.content, step.detail)
        elif step.undo:
            if operation.state is _S.UNKNOWN:
                operation = machine.ask_to_stop(operation)
                await self.session_log.record(operations=[operation])
            self.launch(operation, AttemptPurpose.COMPENSATE)
        elif step.delay is not None:
            if operation.state is _S.RUNNING:
                self.host.telemetry.count_tool(operation.tool, "retries")
            self._not_yet[number] = asyncio.get_running_loop().call_later(step.delay, lambda: self._due(number))
            await self.session_log.record(operations=[machine.requeue(operation, step.detail)])
        else:
            self._changed()

    def _due(self, number: int) -> None:
        self._not_yet.pop(number, None)
        self.schedule()

    # Stopping.

    def _overdue(self, running: RunningAttempt, why: str) -> None:
        """Ask an overdue attempt to stop, and abandon it if it does not."""
        running.attempt.timed_out = why
        running.stop(anyway=True)
        asyncio.get_running_loop().call_later(self.host.settings.grace, lambda: self._give_up(running, why))

    def _give_up(self, running: RunningAttempt, why: str) -> None:
        if running.serial not in self._attempts or running.attempt.given_up:
            return
        running.attempt.given_up = True
        number = running.attempt.operation.number
        self._abandoned[running.serial] = running
        self._current.pop(number, None)
        if running.watch is not None:
            running.watch.close()
        self.host.telemetry.count_tool(running.attempt.operation.tool, "abandoned")
        if running.attempt.purpose is AttemptPurpose.CHECK:
            self.checking.discard(number)
            self._changed()
            return
        if running.attempt.purpose is AttemptPurpose.COMPENSATE:
            self._spawn(self._finish, number, _S.FAILED, "undoing it did not end", "it was cancelled, and may be half done")
            return
        detail = f"{why}; it did not stop, so it may go on and take effect, and what it still returns is dropped"
        self._spawn(self._finish, number, _S.TIMED_OUT, "", detail)

    async def cancel(self, number: int) -> CancelAnswer:
        """Ask an operation to stop, and return the result."""
        operation = self.session_log.operations[number]
        tool = self.host.tools.get(operation.tool)
        if operation.ended or tool is None or (operation.state is _S.UNKNOWN):
            return CancelAnswer.TOO_LATE
        if operation.state is _S.QUEUED:
            timer = self._not_yet.pop(number, None)
            if timer is not None:
                timer.cancel()
            if operation.attempt and must_undo(tool, operation):
                # An attempt that failed may have left something behind.
                stopping = machine.ask_to_stop(operation)
                await self.session_log.record(operations=[stopping])
                self.launch(stopping, AttemptPurpose.COMPENSATE)
                return CancelAnswer.COMPENSATING
            await self._finish(number, _S.CANCELLED)
            return CancelAnswer.STOPPED
        undo = must_undo(tool, operation)
        if operation.state is _S.RUNNING:
            running = self._current.get(number)
            if running is not None and not running.stop(anyway=undo):
                return CancelAnswer.TOO_LATE
            await self.session_log.record(operations=[machine.ask_to_stop(self.session_log.operations[number])])
            if running is not None:
                grace = self.host.settings.cancel_grace
                why = "it was asked to stop"
                asyncio.get_running_loop().call_later(grace, lambda: self._give_up(running, why))
        if undo:
            return CancelAnswer.COMPENSATING
        now = self.session_log.operations.get(number)
        if now is not None and not now.ended:
            now = await self.ending(number)
        return CancelAnswer.STOPPED if now is not None and now.state is _S.CANCELLED else CancelAnswer.TOO_LATE

    # The end.

    async def resolve(self, number: int, state: OperationState, detail: str) -> Operation:
        """Resolve an operation of unknown outcome."""
        operation = self.session_log.operations[number]
        if state is _S.QUEUED:
            after = machine.requeue(operation, detail or "it was to be tried again")
            # A retry overrides an earlier cancel request.
            after = msgspec.structs.replace(after, stopping=False)
            await self.session_log.record(operations=[after])
            self.schedule()
            return after
        after = machine.end(operation, state, self.session_log.now, detail, "as somebody told")
        after = msgspec.structs.replace(after, delivered=True)
        await self.session_log.record(OperationEndedEntry(operation=after), operations=[after])
        self._over(after)
        return after

    async def _finish(self, number: int, state: OperationState, content: str = "", detail: str = "") -> None:
        operation = self.session_log.operations.get(number)
        if operation is None or operation.ended:
            return
        after = machine.end(operation, state, self.session_log.now, content, detail)
        self.host.telemetry.count_tool(after.tool, str(state).replace(" ", "_"))
        if state is _S.SUCCEEDED and after.started_at is not None and after.ended_at is not None:
            self.host.durations.learn(after.tool, [after.ended_at - after.started_at])
        await self.session_log.record(OperationEndedEntry(operation=after), operations=[after])
        self._over(after)

    def _over(self, operation: Operation) -> None:
        self._secrets.pop(operation.number, None)
        for future in self._waiters.pop(operation.number, ()):
            if not future.done():
                future.set_result(operation)
        self.schedule()
        self._changed()

    def close(self) -> None:
        """Cancel timers and ask running attempts to stop. The ledger stays unchanged."""
        for timer in self._not_yet.values():
            timer.cancel()
        for running in self._attempts.values():
            running.attempt.ask_to_stop(anyway=True)
            if running.watch is not None:
                running.watch.close()
