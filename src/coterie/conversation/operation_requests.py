"""What a person can do with the operations of a conversation: cancel, move, approve, reject, edit and resolve them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from coterie.conversation.activator import Activator
from coterie.conversation.operations.operation import CancelAnswer, Operation, OperationState
from coterie.conversation.sanitize import plain, plain_text
from coterie.conversation.session.builtin_tools import number_of
from coterie.conversation.session.messages import (
    ApproveOperation,
    CancelOperation,
    EditOperation,
    RejectOperation,
    Reorder,
    Resolve,
)
from coterie.conversation.state import ConversationState
from coterie.conversation.turn_stream import answer_of
from coterie.errors import InvalidSetting, UnknownOperation
from coterie.kernel import check_number
from coterie.messaging import Request
from coterie.runtime import Reply

T = TypeVar("T")


class OperationRequests:
    """The part of a conversation's handle that is about its operations. Safe from any thread and any event loop."""

    state: ConversationState
    activator: Activator

    def _ask(self, request: Request[T]) -> Reply[T]:
        return self.activator.ask(request)

    async def cancel(self, operation: Operation | str | int) -> CancelAnswer:
        """Ask an operation to stop, and return the result; a queued operation is removed from the queue.

        Raises `UnknownOperation`.
        """
        return await answer_of(self._ask(CancelOperation(number=self._number(operation))), self.state)

    async def reorder(self, operation: Operation | str | int, place: int = 0) -> tuple[Operation, ...]:
        """Move a queued operation to a place in the queue, counted from 0, and return the queue.

        Raises `UnknownOperation`, and `TransitionRefused` if it is not queued.
        """
        check_number("reorder.place", place, whole=True)
        return await answer_of(self._ask(Reorder(number=self._number(operation), place=place)), self.state)

    async def approve(self, operation: Operation | str | int, *, person: str | None = None, consent: int = 0) -> Operation:
        """Approve an operation that awaits approval, and return it; it starts once its resources are free.

        `person` is who approves, the user of the conversation unless given. `consent` is the number of the request that is
        approved (`Operation.consent`); an `Operation` names its own, and 0 is the latest. Raises `UnknownOperation`,
        `ApprovalForbidden`, and `TransitionRefused` if it does not await approval, its arguments have changed, or its guard
        refuses it now.
        """
        given = operation.consent if isinstance(operation, Operation) and not consent else consent
        number, who = self._number(operation), self._person(person)
        return await answer_of(self._ask(ApproveOperation(number=number, person=who, consent=given)), self.state)

    async def reject(
        self, operation: Operation | str | int, why: str = "", *, person: str | None = None, consent: int = 0
    ) -> Operation:
        """Reject an operation that awaits approval, and return it as cancelled. The user is told. Raises as `approve`."""
        given = operation.consent if isinstance(operation, Operation) and not consent else consent
        request = RejectOperation(
            number=self._number(operation), person=self._person(person), why=plain_text(str(why)), consent=given
        )
        return await answer_of(self._ask(request), self.state)

    async def edit(
        self, operation: Operation | str | int, arguments: Mapping[str, Any], *, person: str | None = None
    ) -> Operation:
        """Replace the arguments of an operation that awaits approval, and return it: it then awaits a new approval.

        Raises `UnknownOperation`, `ApprovalForbidden`, `TransitionRefused`, and `InvalidArguments`, after which it awaits
        approval as before.
        """
        if not isinstance(arguments, Mapping):
            raise InvalidSetting("edit.arguments", arguments, "the arguments of the tool by name")
        request = EditOperation(number=self._number(operation), person=self._person(person), arguments=plain(arguments))
        return await answer_of(self._ask(request), self.state)

    async def resolve(
        self, operation: Operation | str | int, state: OperationState | str, detail: str = "", *, person: str | None = None
    ) -> Operation:
        """Resolve an operation of unknown outcome: ``succeeded``, ``failed``, or ``retry`` to run it again. Return it.

        Raises `UnknownOperation`, `InvalidSetting` for another outcome, and `TransitionRefused` if its outcome is known.
        """
        who, number = self._person(person), self._number(operation)
        if str(state) not in {"retry", *map(str, OperationState)}:
            raise InvalidSetting("outcome", state, "succeeded, failed, or retry")
        request = Resolve(number=number, state=str(state), detail=plain_text(str(detail)), person=who)
        return await answer_of(self._ask(request), self.state)

    def _person(self, person: str | None) -> str:
        return self.state.user if person is None else plain_text(str(person))

    def _number(self, operation: Operation | str | int) -> int:
        number = number_of(operation)
        if number is None:
            raise UnknownOperation(operation, self.state.name)
        return number
