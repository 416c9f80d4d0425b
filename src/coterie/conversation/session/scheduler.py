"""The scheduler of one conversation's operations."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable

import msgspec

from coterie.conversation.entries import ConversationEntry, OperationEndedEntry
from coterie.conversation.operations import machine
from coterie.conversation.operations.machine import blocked_by_unknown, overlap, queue, runnable
from coterie.conversation.operations.operation import CancelAnswer, Effect, Operation, OperationState
from coterie.conversation.session.attempt_table import AttemptTable
from coterie.conversation.session.attempts import RunningAttempt
from coterie.conversation.session.deadlines import AttemptDeadline
from coterie.conversation.session.leases import OperationLeases
from coterie.conversation.session.session_log import SessionLog
from coterie.conversation.tools.attempt import AttemptEnding, AttemptPurpose
from coterie.conversation.tools.outcomes import (
    NextStep,
    after_check,
    after_compensation,
    after_halt,
    after_run,
    must_undo,
)
from coterie.conversation.tools.tool import Tool
from coterie.runtime import Context
from coterie.storage import Pending

_S = OperationState


def obstacle(tool: Tool, resources: tuple[str, ...], blocking: Iterable[Operation]) -> str:
    """Return the reason for which a call cannot run before a blocking operation has ended, or an empty string."""
    for each in blocking:
        harmless = tool.effect is Effect.READ and each.state is _S.UNKNOWN
        if harmless or not overlap(each.resources, resources) or Effect.WRITE not in (tool.effect, each.effect):
            continue
        if each.state is _S.UNKNOWN:
            return (
                f"{each.id} {each.tool} touches the same, and it is unknown whether it took effect: "
                "ask the user, and tell what they say by resolve"
            )
        return f"{each.id} {each.tool} was given up but still runs, and touches the same: this is not possible before it ends"
    return ""


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
        self._spawn = spawn
        self._changed = changed
        self.host.resources.leave(session_log.state.key)
        self.attempts = AttemptTable(session_log, context, self._cannot_start, self._overdue)
        state = session_log.state
        self._leases = OperationLeases(self.host.leases, state.key, state.user, spawn, self.schedule, self._lease_lost)
        self._not_yet: dict[int, asyncio.TimerHandle] = {}
        self._waiters: dict[int, list[asyncio.Future[Operation]]] = {}
        self._random = random.Random()  # noqa: S311 - for the jitter of retries
        self.checking: set[int] = set()
        """Operations of unknown outcome whose `check` is running."""
        self.for_program: set[int] = set()  # the operations whose outcome a program gets, so that it is not told to the user
        self.draining = False
        """Set once the session ends in an orderly way: queued operations stay queued."""
        self._between = 0
        """Operations that are between two states: written as running without an attempt yet, or ended and not written yet."""

    # State.

    @property
    def unfinished(self) -> list[Operation]:
        """The queued and running operations."""
        return [each for each in self.session_log.operations.values() if not each.ended and not each.state.needs_person]

    @property
    def progressing(self) -> list[Operation]:
        """The unfinished operations that do not wait for the user to resolve one of unknown outcome."""
        waiting = {each.number for each in blocked_by_unknown(self.session_log.operations.values())}
        return [each for each in self.unfinished if each.number not in waiting]

    @property
    def blocking(self) -> list[Operation]:
        """The operations that block their resources outside the queue: abandoned attempts and writes of unknown outcome."""
        unknown = [
            each for each in self.session_log.operations.values() if each.state is _S.UNKNOWN and each.effect is Effect.WRITE
        ]
        return self.attempts.abandoned + unknown

    def objection(self, tool: Tool, resources: tuple[str, ...]) -> str:
        """Return the obstacle of a call now, or an empty string."""
        return obstacle(tool, resources, self.blocking)

    @property
    def queue(self) -> list[Operation]:
        """The queued operations in order."""
        return queue(self.session_log.operations.values())

    @property
    def runs(self) -> bool:
        """Return whether an attempt runs, or is about to."""
        return self._between > 0 or self.attempts.runs

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
            self.session_log.spans.called(each)
            if each.number in {one.number for one in self._startable(known.values())}:
                # It stays at epoch 0, because creation and start are one write.
                begun = machine.begin(each, self.session_log.now)
                known[each.number] = begun = msgspec.structs.replace(begun, epoch=0)
                taken.append(begun)
            else:
                taken.append(each)
        written = self.session_log.record(*([entry] if entry is not None else []), operations=taken)
        started = [each for each in taken if each.state is _S.RUNNING]
        self._between += len(started)
        await self._launch_when(written, started)
        return [self.session_log.operations.get(each.number, each) for each in taken]

    def _startable(self, known: Iterable[Operation]) -> list[Operation]:
        """Return the queued operations that can start now, in this conversation and beside all others, in order."""
        known = list(known)
        ready = runnable(known, self.blocking, self._not_yet) if not self.draining else []
        holding = [each for each in known if each.state in (_S.RUNNING, _S.CANCELLING)] + self.attempts.abandoned
        state = self.session_log.state
        wake = self.session_log.threadsafe(self.schedule)
        self._leases.keep([*holding, *ready])
        return self._leases.admit(holding, self.host.resources.update(state.key, state.user, holding, ready, wake))

    def _lease_lost(self, number: int) -> None:
        running = self.attempts.current(number)
        if running is not None:
            self._overdue(running, "this process could not renew its lease on the resources of it")

    def schedule(self) -> None:
        """Start the operations that can run now."""
        ready = self._startable(self.session_log.operations.values())
        if ready:
            begun = [machine.begin(each, self.session_log.now) for each in ready]
            self._between += len(begun)
            self._spawn(self._launch_when, self.session_log.record(operations=begun), begun)

    async def _launch_when(self, written: Pending[None], begun: list[Operation]) -> None:
        """Start attempts when their operations are written as running: the intent is on disk before the effect."""
        try:
            await written
        finally:
            self._between -= len(begun)
        for each in begun:
            now = self.session_log.operations.get(each.number)
            if now is None or now.attempt != each.attempt or now.ended:
                continue
            if not self.attempts.halted:
                self.attempts.launch(now, AttemptPurpose.RUN)
            elif now.state is _S.CANCELLING:
                await self._finish(now.number, _S.CANCELLED)
            else:
                # Nothing of it has begun, so it stays in the queue.
                await self.session_log.record(operations=[machine.requeue(now, "the service was stopped before it began")])

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

    async def attempt_ended(self, serial: int) -> None:
        """Handle the end of an attempt."""
        running = self.attempts.take_ended(serial)
        if running is None:
            return
        attempt = running.attempt
        number = attempt.operation.number
        if attempt.given_up:
            self.schedule()  # its outcome comes too late to count, but its resources are free now
            return
        operation = self.session_log.operations[number]
        outcome = attempt.outcome
        assert outcome is not None
        if attempt.purpose is AttemptPurpose.RUN:
            self.host.telemetry.ran(operation.tool, max(0.0, self.session_log.now - running.began))
            tool = self.host.tools[operation.tool]
            if running.halted and outcome.ending is AttemptEnding.STOPPED and not operation.stopping:
                step = after_halt(operation, tool)
            else:
                step = after_run(operation, tool, outcome, attempt.timed_out, self._random)
        elif attempt.purpose is AttemptPurpose.COMPENSATE:
            step = after_compensation(outcome)
        else:
            self.checking.discard(number)
            step = after_check(operation, self.host.tools[operation.tool], outcome)
        self._between += 1
        try:
            await self._apply(number, step)
        finally:
            self._between -= 1

    async def _apply(self, number: int, step: NextStep) -> None:
        operation = self.session_log.operations[number]
        if step.state is not None:
            await self._finish(number, step.state, step.content, step.detail)
        elif step.undo:
            if operation.state in (_S.UNKNOWN, _S.RUNNING):
                operation = machine.ask_to_stop(operation)
                await self.session_log.record(operations=[operation])
            self.attempts.launch(operation, AttemptPurpose.COMPENSATE)
        elif step.delay is not None:
            if operation.state is _S.RUNNING:
                self.host.telemetry.count_tool(operation.tool, "retries")
            self._not_yet[number] = asyncio.get_running_loop().call_later(step.delay, lambda: self._due(number))
            await self.session_log.record(operations=[machine.requeue(operation, step.detail)])
            self.schedule()
        elif step.unknown:
            after = machine.mark_unknown(operation, step.detail)
            self.host.telemetry.count_tool(operation.tool, "unknown")
            await self.session_log.record(OperationEndedEntry(operation=after), operations=[after])
            if self.host.tools[operation.tool].check is not None:
                self.checking.add(number)
                self.attempts.launch(after, AttemptPurpose.CHECK)
            self._over(after)
        elif step.halted:
            await self.session_log.record(operations=[machine.mark_halted(operation, step.detail)], tell=False)
        else:
            self._changed()

    def _cannot_start(self, number: int, why: str) -> None:
        self._spawn(self._finish, number, _S.FAILED, why)

    def _due(self, number: int) -> None:
        self._not_yet.pop(number, None)
        self.schedule()

    # Stopping.

    def _overdue(self, running: RunningAttempt, why: str) -> None:
        """Ask an overdue attempt to stop, and abandon it if it does not."""
        if running.attempt.outcome is not None:
            return  # it has ended in time, and the message about that is on its way
        running.attempt.timed_out = why
        running.stop(anyway=True)
        self._await_end(running, self.host.settings.grace, why)

    def _await_end(self, running: RunningAttempt, grace: float, why: str) -> None:
        """Give an attempt that was asked to stop some time to do so; it needs a thread for that."""
        AttemptDeadline(grace, None, lambda _: self._give_up(running, why), running.attempt.waits)

    def _give_up(self, running: RunningAttempt, why: str) -> None:
        if not self.attempts.abandon(running):
            return
        number = running.attempt.operation.number
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
        if operation.state in (_S.QUEUED, _S.AWAITING_APPROVAL):
            return await self._cancel_waiting(operation, tool)
        if operation.ended or tool is None or (operation.state is _S.UNKNOWN):
            return CancelAnswer.TOO_LATE
        undo = must_undo(tool, operation)
        if operation.state is _S.RUNNING:
            running = self.attempts.current(number)
            if running is not None and not running.stop(anyway=undo):
                return CancelAnswer.TOO_LATE
            await self.session_log.record(operations=[machine.ask_to_stop(self.session_log.operations[number])])
            if running is not None:
                self._await_end(running, self.host.settings.cancel_grace, "it was asked to stop")
        if undo:
            return CancelAnswer.COMPENSATING
        now = self.session_log.operation(number)  # in memory, or told meanwhile
        if now is not None and not now.ended:
            now = await self.ending(number)
        return CancelAnswer.STOPPED if now is not None and now.state is _S.CANCELLED else CancelAnswer.TOO_LATE

    async def _cancel_waiting(self, operation: Operation, tool: Tool | None) -> CancelAnswer:
        timer = self._not_yet.pop(operation.number, None)
        if timer is not None:
            timer.cancel()
        if tool is not None and operation.attempt and must_undo(tool, operation):
            # An attempt that failed may have left something behind.
            stopping = machine.ask_to_stop(operation)
            await self.session_log.record(operations=[stopping])
            self.attempts.launch(stopping, AttemptPurpose.COMPENSATE)
            return CancelAnswer.COMPENSATING
        await self._finish(operation.number, _S.CANCELLED)
        return CancelAnswer.STOPPED

    # The end.

    async def withdraw(self, number: int, why: str) -> None:
        """End an operation that awaits approval, which it did not get."""
        await self._finish(number, _S.CANCELLED, detail=why)

    async def resolve(self, number: int, state: OperationState, detail: str, person: str = "") -> Operation:
        """Resolve an operation of unknown outcome, as a person says."""
        operation = self.session_log.operations[number]
        if state is _S.QUEUED:
            after = machine.requeue(operation, detail or "it was to be tried again")
            after = msgspec.structs.replace(after, stopping=False)  # a retry overrides an earlier cancel request
            await self.session_log.record(operations=[after])
            self.schedule()
            return after
        ended = machine.end(operation, state, self.session_log.now, detail, f"as {person or 'the user'} told")
        after = msgspec.structs.replace(ended, delivered=True)
        await self.session_log.record(OperationEndedEntry(operation=after), operations=[after])
        self._over(after)
        return after

    async def _finish(self, number: int, state: OperationState, content: str = "", detail: str = "") -> None:
        operation = self.session_log.operations.get(number)
        if operation is None or operation.ended:
            return
        heard = number in self.for_program and not operation.background
        after = msgspec.structs.replace(machine.end(operation, state, self.session_log.now, content, detail), delivered=heard)
        self.host.telemetry.count_tool(after.tool, str(state).replace(" ", "_"))
        if state is _S.SUCCEEDED and after.started_at is not None and after.ended_at is not None:
            self.host.durations.learn(after.tool, [after.ended_at - after.started_at])
        await self.session_log.record(OperationEndedEntry(operation=after), operations=[after])
        self._over(after)

    def _over(self, operation: Operation) -> None:
        self.session_log.spans.ended(operation)
        self.attempts.forget_secrets(operation.number)
        self.for_program.discard(operation.number)
        for future in self._waiters.pop(operation.number, ()):
            if not future.done():
                future.set_result(operation)
        self.schedule()
        self._changed()

    def mark_draining(self) -> None:
        """Record with the running operations that an orderly end has begun: a kill from now on is not due to them."""
        running = [each for each in self.session_log.operations.values() if each.state is _S.RUNNING and not each.draining]
        if running:
            self.session_log.record(operations=[machine.change(each, draining=True) for each in running], tell=False)

    def close(self) -> None:
        """Cancel timers and ask running attempts to stop. The ledger stays unchanged."""
        for timer in self._not_yet.values():
            timer.cancel()
        self.attempts.close()
        self._leases.close()
        self.host.resources.leave(self.session_log.state.key)
