"""Approval: operations that await the consent of a person, and the answers to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from coterie.conversation.entries import ConsentRequestedEntry
from coterie.conversation.operations import machine
from coterie.conversation.operations.descriptions import seconds
from coterie.conversation.operations.operation import Operation, OperationState
from coterie.conversation.session.call_checks import CallChecks
from coterie.conversation.session.scheduler import OperationScheduler
from coterie.conversation.session.session_log import SessionLog
from coterie.conversation.tools.schema import texts_of
from coterie.conversation.tools.tool import Tool
from coterie.errors import ApprovalForbidden, InvalidArguments, TransitionRefused, describe

_S = OperationState
_REASON = 1_000
"""Characters of the reason of a rejection at most."""


class Approvals:
    """Keeps operations that await approval, and moves each on when a person answers or the request lapses.

    A request has a number, `Operation.consent`; a change of the arguments is a new request. Consent to one is no consent to
    another. Only the conversation's thread uses it.
    """

    def __init__(
        self, session_log: SessionLog, scheduler: OperationScheduler, checks: CallChecks, spawn: Callable[..., object]
    ) -> None:
        self._session_log = session_log
        self._host = session_log.host
        self._scheduler = scheduler
        self._checks = checks
        self._spawn = spawn
        self._lapses: dict[int, asyncio.TimerHandle] = {}

    @property
    def awaiting(self) -> list[Operation]:
        """The operations that await approval, oldest first."""
        return [each for each in self._session_log.operations.values() if each.state is _S.AWAITING_APPROVAL]

    def restore(self) -> None:
        """Watch the requests of a conversation that was just opened; those that have lapsed meanwhile end now."""
        for operation in self.awaiting:
            self._watch(operation)

    async def request(self, tool: Tool, operation: Operation, arguments: Mapping[str, Any]) -> Operation:
        """Return an operation that awaits approval: a new one, or an earlier one with the same arguments.

        Raises whatever the tool's question raises.
        """
        question = await self._checks.question(tool, operation, arguments)
        elsewhere = bool(await self._checks.objection(tool, operation, self._session_log.state.user))
        same = [each for each in self.awaiting if each.tool == tool.name and each.arguments == operation.arguments]
        if same:
            after = same[0]
            await self._session_log.record(_entry(after, turn=operation.turn))
            return after
        after = msgspec.structs.replace(
            operation, number=self._session_log.new_operation(), state=_S.AWAITING_APPROVAL, background=True,
            question=question, consent=1, expires_at=self._expiry(), elsewhere=elsewhere,
        )  # fmt: skip
        await self._session_log.record(_entry(after, turn=operation.turn), operations=[after])
        self._watch(after)
        return after

    async def accept(self, number: int, *, turn: int, call: str, first: bool) -> Operation:
        """Approve an operation in the words of the user, in a turn that waits for it. `first` puts it first in the queue."""
        operation = self._find(number)
        changes = {"turn": turn, "call": call, "place": 0 if first else number}
        return await self._start(operation, self._session_log.state.user, background=False, **changes)

    async def approve(self, number: int, person: str, consent: int = 0) -> Operation:
        """Approve an operation. `consent` is the number of the request, 0 for the latest.

        Raises `TransitionRefused` and `ApprovalForbidden`.
        """
        operation = self._find(number)
        consent = consent or operation.consent
        self._check_latest(operation, consent)
        tool = await self._permit(operation, person)
        why = self._blocked(tool, operation) or await self._checks.guard(tool, operation)
        if why:
            raise TransitionRefused(operation.id, operation.state, _S.QUEUED, why)
        # Another person may have answered while the functions of the tool ran.
        operation = self._find(number)
        self._check_latest(operation, consent)
        return await self._start(operation, person, background=True, place=number)

    async def reject(self, number: int, why: str, person: str, consent: int = 0) -> Operation:
        """Reject an operation, which is cancelled. Raises `TransitionRefused` and `ApprovalForbidden`."""
        operation = self._find(number, _S.CANCELLED)
        self._check_latest(operation, consent or operation.consent)
        await self._permit(operation, person)
        operation = self._find(number, _S.CANCELLED)
        reason = f": {why[:_REASON]}" if why.strip() else ""
        by = f" by {person}" if person and person != self._session_log.state.user else ""
        return await self._end(operation, f"it was rejected{by}{reason}")

    async def edit(self, number: int, given: Mapping[str, Any], person: str) -> Operation:
        """Change the arguments of an operation, which then awaits a new approval. Unchanged arguments change nothing.

        Raises `InvalidArguments`, `TransitionRefused` and `ApprovalForbidden`.
        """
        operation = self._find(number, _S.AWAITING_APPROVAL)
        tool = await self._permit(operation, person)
        await self._session_log.redact(texts_of([given.get(secret) for secret in tool.arguments.secrets]))
        try:
            arguments, plain = tool.arguments.check(given)
            draft = self._checks.draft(tool, arguments, plain, given, operation.turn, operation.call)
            question = await self._checks.question(tool, draft, arguments)
        except Exception as error:
            raise InvalidArguments(operation.id, tool.name, str(error) or describe(error)) from error
        now = self._find(number, _S.AWAITING_APPROVAL)
        if now.consent != operation.consent:
            raise TransitionRefused(now.id, now.state, now.state, "its arguments were changed meanwhile: look at it again")
        if plain == now.arguments and not tool.arguments.secrets:
            return now
        after = machine.change(
            now, arguments=plain, resources=draft.resources, key=draft.key, estimate=draft.estimate,
            question=question, consent=now.consent + 1, expires_at=self._expiry(),
        )  # fmt: skip
        if tool.arguments.hidden(plain):
            self._scheduler.attempts.hold_secrets(number, given)
        await self._session_log.record(_entry(after, turn=after.turn, spoken=False), operations=[after])
        self._watch(after)
        return after

    def close(self) -> None:
        """Cancel the timers. The requests stay in the ledger."""
        for timer in self._lapses.values():
            timer.cancel()
        self._lapses.clear()

    def _find(self, number: int, to: OperationState = _S.QUEUED) -> Operation:
        """Return an operation that awaits approval. Raises `TransitionRefused` with what has become of it."""
        operation = self._session_log.operations.get(number) or self._session_log.operation(number)
        assert operation is not None
        if operation.state is _S.AWAITING_APPROVAL:
            return operation
        if not operation.consent:
            why = "it needs no approval"
        elif operation.approver or operation.attempt or not operation.ended:
            why = f"it was approved{' by ' + operation.approver if operation.approver else ''} before"
        else:
            why = operation.detail or "it has ended"
        raise TransitionRefused(operation.id, operation.state, to, why)

    def _check_latest(self, operation: Operation, consent: int) -> None:
        if consent != operation.consent:
            why = f"its arguments were changed, so it is request {operation.consent} now: look at it, and answer that"
            raise TransitionRefused(operation.id, operation.state, _S.QUEUED, why)

    async def _permit(self, operation: Operation, person: str) -> Tool:
        tool = self._host.tools.get(operation.tool)
        if tool is None:
            why = f"there is no tool {operation.tool} any more; it can be cancelled"
            raise TransitionRefused(operation.id, operation.state, _S.QUEUED, why)
        if why := await self._checks.objection(tool, operation, person):
            raise ApprovalForbidden(operation.id, person, why)
        return tool

    def _blocked(self, tool: Tool, operation: Operation) -> str:
        return self._scheduler.objection(tool, operation.resources)

    async def _start(self, operation: Operation, person: str, *, background: bool, **changes: Any) -> Operation:
        self._forget(operation.number)
        after = machine.approve(operation, person, background=background, **changes)
        await self._session_log.record(operations=[after])
        self._scheduler.schedule()
        return self._session_log.operations.get(after.number, after)

    async def _end(self, operation: Operation, why: str) -> Operation:
        self._forget(operation.number)
        await self._scheduler.withdraw(operation.number, why)
        return self._session_log.operation(operation.number) or operation

    # The lapse of requests.

    def _expiry(self) -> float | None:
        limit = self._host.settings.approval_timeout
        return None if limit is None else self._session_log.now + limit

    def _watch(self, operation: Operation) -> None:
        self._forget(operation.number)
        if operation.expires_at is not None:
            left = max(0.0, operation.expires_at - self._session_log.now)
            timer = asyncio.get_running_loop().call_later(left, self._spawn, self._lapse, operation.number, operation.consent)
            self._lapses[operation.number] = timer

    async def _lapse(self, number: int, consent: int) -> None:
        operation = self._session_log.operations.get(number)
        if operation is not None and operation.state is _S.AWAITING_APPROVAL and operation.consent == consent:
            limit = self._host.settings.approval_timeout
            within = f" within {seconds(limit)}" if limit is not None else ""
            await self._end(operation, f"it was not approved{within}")

    def _forget(self, number: int) -> None:
        timer = self._lapses.pop(number, None)
        if timer is not None:
            timer.cancel()


def _entry(operation: Operation, *, turn: int, spoken: bool = True) -> ConsentRequestedEntry:
    return ConsentRequestedEntry(
        turn=turn, tool=operation.tool, arguments=operation.arguments, operation=operation, spoken=spoken
    )
