"""The outcomes of the messages of a durable agent."""

from __future__ import annotations

from typing import Any, Protocol

from coterie.errors import DeliveryError, describe
from coterie.messaging.envelope import DurableDelivery, Envelope
from coterie.runtime.cells.outcomes import FailureCause, Outcomes, OutcomesOwner, concerns_message
from coterie.runtime.cells.states import Suspension
from coterie.runtime.definition.handlers import Handler
from coterie.runtime.entities.activation import ActivationOwner


class ReloadableLife(FailureCause, Protocol):
    """The life cycle of a durable agent."""

    def reload(self) -> None:
        """Build the agent anew from its stored state."""
        ...


class DurableOutcomesOwner(OutcomesOwner, Protocol):
    """The activation to which the messages belong."""

    @property
    def activator(self) -> ActivationOwner:
        """The owner of the activation."""
        ...

    @property
    def hands_over(self) -> bool:
        """True if the next activation takes the messages that this one does not handle."""
        ...

    def is_held(self, reason: Suspension) -> bool:
        """Return whether this is one of the reasons why the agent takes no messages."""
        ...

    @property
    def life(self) -> ReloadableLife:
        """Its life cycle."""
        ...

    def commit(self, envelope: Envelope, value: Any) -> None:
        """Store the changes of the handler; then send its answer."""
        ...

    def end_unit(self) -> bool:
        """Drop the changes of the message in hand; return whether the agent itself may have changed."""
        ...

    def count_attempt(self, envelope: Envelope, delivery: DurableDelivery, error: BaseException, *, final: bool) -> bool:
        """Record that a stored message failed; return whether it is tried again."""
        ...


class EntityOutcomes(Outcomes):
    """The outcomes of the messages of a durable agent: a handler that returned has first to be committed."""

    __slots__ = ()

    _cell: DurableOutcomesOwner

    def returned(self, envelope: Envelope, value: Any) -> None:
        """Store the change of the handler; the answer follows."""
        self._cell.commit(envelope, value)

    def committed(self, envelope: Envelope, value: Any) -> None:
        """End a message whose change is stored."""
        super().returned(envelope, value)

    def raised(self, handler: Handler, envelope: Envelope, error: BaseException, *, cancelled: bool) -> bool:
        """Undo the half-done change, and count the attempt of a stored message. Return whether the agent has failed."""
        cell = self._cell
        dirty = cell.end_unit()
        delivery = envelope.delivery
        if delivery is None or not delivery.number:
            fatal = super().raised(handler, envelope, error, cancelled=cancelled)
            if dirty and not fatal:
                cell.life.reload()
            return fatal
        if cancelled:
            # It stays stored, and is delivered again.
            cell.activator.release(delivery.number)
            return super().raised(handler, envelope, error, cancelled=True)
        fatal = not concerns_message(error, handler.raises)
        # An ask that failed may succeed the next time; a declared error is the handler's last word.
        declared = not fatal and not concerns_message(error)
        if cell.count_attempt(envelope, delivery, error, final=declared):
            cell.mailbox.put_back(envelope)
        else:
            self.failed += 1
            cell.last_error = describe(error)
        if dirty and not fatal:
            cell.life.reload()
        return fatal

    def abandoned(self, envelope: Envelope, error: DeliveryError) -> None:
        """End a message that a stuck activation had in hand; a stored one has failed once more."""
        super().abandoned(envelope, error)
        delivery = envelope.delivery
        if delivery is not None and delivery.number and self._cell.count_attempt(envelope, delivery, error, final=False):
            self._cell.activator.release(delivery.number)

    def end_if_stale(self, envelope: Envelope) -> bool:
        """End a message whose time is over, also in the store."""
        stale = super().end_if_stale(envelope)
        if stale and envelope.delivery is not None and envelope.delivery.number:
            self._cell.activator.drop(envelope.delivery.number)
        return stale

    def unhandled(self, envelope: Envelope) -> None:
        """End a message without a handler; a stored one becomes a durable dead letter."""
        super().unhandled(envelope)
        if envelope.delivery is not None and envelope.delivery.number:
            kind = type(envelope.message).__qualname__
            self._cell.activator.failed(envelope.delivery, f"{self._cell.name} has no handler for {kind}", dead=True)

    def count_leftovers(self) -> list[Envelope]:
        """Empty the mailbox; only messages that no later activation handles count here as dead."""
        cell = self._cell
        left = super().count_leftovers()
        stored = [each for each in left if each.delivery is not None and each.delivery.number]
        kept = left if cell.hands_over else stored
        self.dead -= len(kept)
        cell.mailbox.taken -= len(kept)
        if cell.hands_over:
            cell.activator.take_back([each for each in left if each not in stored])
            left = stored
        if cell.is_held(Suspension.COMMIT):
            # Its change is on its way to the store; its answer comes after the end.
            self.handled += 1
        return left

    def refuse(self, envelope: Envelope) -> None:
        """Hand a message that came while the agent was being passivated to its next activation."""
        delivery = envelope.delivery
        if delivery is not None and delivery.number:
            self._cell.activator.release(delivery.number)
        elif not self._cell.activator.take_over(envelope, self._cell):
            super().refuse(envelope)

    def dead_letter(self, envelope: Envelope) -> None:
        """End a message that this activation did not handle: a stored one is delivered again by a later one."""
        if envelope.delivery is not None and envelope.delivery.number:
            self._cell.activator.release(envelope.delivery.number)
        else:
            super().dead_letter(envelope)
