"""The attempts of one conversation that run: their start, progress, time limits and end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from coterie.conversation.events import OperationProgressed
from coterie.conversation.operations import machine
from coterie.conversation.operations.operation import Operation, OperationState
from coterie.conversation.session.attempts import AttemptWorker, RunningAttempt, arguments_for
from coterie.conversation.session.deadlines import MOST_WAITED, AttemptDeadline
from coterie.conversation.session.messages import AttemptBegan, AttemptEnded, AttemptProgressed
from coterie.conversation.session.session_log import SessionLog
from coterie.conversation.session.session_spans import end_attempt
from coterie.conversation.tools.attempt import AttemptPurpose, ToolAttempt
from coterie.runtime import Context

_PROGRESS_EVERY = 1.0
"""Seconds between two writes of an operation's progress."""


class AttemptTable:
    """Starts attempts, and holds them until they have really ended. Only the conversation's thread uses it.

    `fail` is called with the number of an operation that cannot start, and the reason; `overdue` with an attempt that
    exceeded a time limit, and the limit as text.
    """

    def __init__(
        self,
        session_log: SessionLog,
        context: Context,
        fail: Callable[[int, str], None],
        overdue: Callable[[RunningAttempt, str], None],
    ) -> None:
        self._session_log = session_log
        self._host = session_log.host
        self._context = context
        self._fail = fail
        self._overdue = overdue
        self._serials = itertools.count(1)
        self._attempts: dict[int, RunningAttempt] = {}
        self._current: dict[int, RunningAttempt] = {}
        self._abandoned: dict[int, RunningAttempt] = {}
        self._secrets: dict[int, Mapping[str, Any]] = {}
        """The unmasked arguments of unfinished operations with secrets."""
        self.halted = False
        """Whether an orderly end has stopped the attempts, so that none starts any more."""

    @property
    def abandoned(self) -> list[Operation]:
        """The operations of abandoned attempts that still run."""
        return [each.attempt.operation for each in self._abandoned.values()]

    @property
    def runs(self) -> bool:
        """Return whether an attempt runs that is not abandoned."""
        return len(self._attempts) > len(self._abandoned)

    def current(self, number: int) -> RunningAttempt | None:
        """Return the attempt of an operation that runs and counts, or None."""
        return self._current.get(number)

    def hold_secrets(self, number: int, given: Mapping[str, Any]) -> None:
        """Hold the unmasked arguments of an operation in memory before it is submitted."""
        self._secrets[number] = given

    def forget_secrets(self, number: int) -> None:
        """Forget the unmasked arguments of an operation that has ended."""
        self._secrets.pop(number, None)

    def launch(self, operation: Operation, purpose: AttemptPurpose) -> None:
        """Start an attempt that runs, checks or compensates an operation."""
        tool = self._host.tools.get(operation.tool)
        if tool is None:
            self._fail(operation.number, f"there is no tool {operation.tool} any more")
            return
        callee = {AttemptPurpose.RUN: tool.run, AttemptPurpose.CHECK: tool.check, AttemptPurpose.COMPENSATE: tool.compensate}[
            purpose
        ]
        assert callee is not None
        try:
            arguments = arguments_for(tool, self._secrets.get(operation.number, operation.arguments), purpose)
        except ValueError as error:
            self._fail(operation.number, str(error))
            return
        serial = next(self._serials)
        again = operation.attempt > 1 or purpose is not AttemptPurpose.RUN
        key = self._session_log.state.key
        me = self._context.self_ref
        attempt = ToolAttempt(
            operation,
            purpose,
            callee,
            arguments,
            self._session_log.state,
            key=operation.key or f"{key}/{operation.id}",
            checkpoint=self._host.journal.ledger.checkpoint(key, operation.number) if again else None,
            on_begin=lambda _: me.tell(AttemptBegan(serial)),
            on_progress=lambda _: me.tell(AttemptProgressed(serial)),
            on_end=lambda _: me.tell(AttemptEnded(serial)),
            max_length=self._host.settings.longest_result,
        )
        running = RunningAttempt(serial, attempt, self._session_log.now)
        self._attempts[serial] = self._current[operation.number] = running
        if purpose is AttemptPurpose.RUN and operation.attempt == 1:
            self._host.telemetry.began(tool.name, max(0.0, self._session_log.now - operation.created_at))
        # Its own limits count from when a thread begins it.
        waited = f"no thread was free for it within {MOST_WAITED:g} s"
        running.watch = AttemptDeadline(MOST_WAITED, None, lambda _: self._overdue(running, waited))
        running.span = self._session_log.spans.attempt(operation, purpose)
        with running.span.within():
            running.ref = self._context.spawn(AttemptWorker, lambda: attempt)
        if operation.state is OperationState.CANCELLING and purpose is AttemptPurpose.RUN:
            # A cancel request came while its start was being written.
            running.stop()

    def began(self, serial: int) -> None:
        """Start the time limits of an attempt that a thread has begun."""
        running = self._attempts.get(serial)
        if running is None or running.attempt.given_up or running.attempt.timed_out or running.watch is None:
            return
        tool = self._host.tools.get(running.attempt.operation.tool)
        if tool is None:
            return
        running.watch.close()
        limit, idle = tool.timeout, tool.idle_timeout
        if running.attempt.purpose is not AttemptPurpose.RUN:
            limit, idle = limit if limit is not None else self._host.settings.model_timeout, None
        running.watch = AttemptDeadline(limit, idle, lambda why: self._overdue(running, why), running.attempt.waits)

    def progressed(self, serial: int) -> None:
        """Handle the progress of an attempt."""
        running = self._attempts.get(serial)
        if running is None or running.attempt.given_up or running.attempt.purpose is not AttemptPurpose.RUN:
            return
        fraction, line = running.attempt.take_progress()
        if running.watch is not None:
            running.watch.alive()
        operation = self._session_log.operations.get(running.attempt.operation.number)
        if operation is not None and not operation.ended:
            self._record_progress(running, msgspec.structs.replace(operation, fraction=fraction, line=line))
            self._session_log.announce(
                OperationProgressed, operation=operation.number, tool=operation.tool, fraction=fraction, line=line
            )

    def _record_progress(self, running: RunningAttempt, operation: Operation) -> None:
        """Record progress in memory, and at intervals in the ledger, not durably: progress is for display only."""
        now = asyncio.get_running_loop().time()
        if now < running.written + _PROGRESS_EVERY:
            self._session_log.record_progress(operation)
        else:
            running.written = now
            self._session_log.record(operations=[machine.change(operation)], durable=False, tell=False)

    def take_ended(self, serial: int) -> RunningAttempt | None:
        """Remove and return an attempt that has ended; None if it is unknown."""
        running = self._attempts.pop(serial, None)
        if running is None:
            return None
        if running.watch is not None:
            running.watch.close()
        end_attempt(running.span, running.attempt.outcome)
        if running.attempt.given_up:
            del self._abandoned[serial]
            self._host.telemetry.count_tool(running.attempt.operation.tool, "abandoned", -1)
        else:
            self._current.pop(running.attempt.operation.number, None)
        return running

    def abandon(self, running: RunningAttempt) -> bool:
        """Give an attempt up, which may go on; return False if it has ended or was given up before."""
        if running.serial not in self._attempts or running.attempt.given_up:
            return False
        running.attempt.given_up = True
        end_attempt(running.span, None)
        self._abandoned[running.serial] = running
        self._current.pop(running.attempt.operation.number, None)
        if running.watch is not None:
            running.watch.close()
        self._host.telemetry.count_tool(running.attempt.operation.tool, "abandoned")
        return True

    def halt(self) -> None:
        """Stop the attempts that have not passed their point of no return, and start none any more."""
        self.halted = True
        for running in self._attempts.values():
            if running.attempt.purpose is AttemptPurpose.RUN and not running.attempt.given_up:
                running.halted = running.stop()

    def close(self) -> None:
        """Ask all attempts to stop, and end their time limits."""
        for running in self._attempts.values():
            running.attempt.ask_to_stop(anyway=True)
            if running.watch is not None:
                running.watch.close()
