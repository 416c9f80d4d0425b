"""One activation of a durable agent: it handles a message, stores the change, and only then answers."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from coterie.durable import DurableChange
from coterie.errors import DurableError, HandlerFailed, KeyReused, StateRefused, describe
from coterie.errors.durable import ChangeInStream, ChangeLost, OutsideHandler
from coterie.kernel import Address
from coterie.messaging import MailboxPolicy, Message, Reason, Stream
from coterie.messaging.envelope import DurableDelivery, Envelope
from coterie.messaging.mailbox import Mailbox
from coterie.messaging.message import reply_type
from coterie.runtime.cells.cell import AgentCell
from coterie.runtime.cells.cell_services import CellServices
from coterie.runtime.cells.incarnation import Incarnation
from coterie.runtime.cells.states import Suspension
from coterie.runtime.cells.supervision_group import SupervisionGroup
from coterie.runtime.definition.spec import AgentSpec
from coterie.runtime.entities.activation import ActivationOwner
from coterie.runtime.entities.entity_outcomes import EntityOutcomes
from coterie.runtime.entities.stored_version import StoredVersion, digest
from coterie.runtime.entities.unit_of_work import UnitOfWork, check_reminder
from coterie.runtime.references.invocation import CURRENT, Invocation
from coterie.runtime.references.reference import AgentRef
from coterie.runtime.references.reply import Reply
from coterie.telemetry import spans


class EntityCell(AgentCell):
    """The cell of one activation. The rules of `AgentCell` hold: only the agent's thread changes it."""

    __slots__ = ("_to_end", "_version", "activator", "durable", "fence", "outbox", "passivating")

    outcomes_class = EntityOutcomes
    outcomes: EntityOutcomes

    def __init__(
        self,
        services: CellServices[AgentCell],
        address: Address,
        spec: AgentSpec,
        supervision_group: SupervisionGroup,
        policy: MailboxPolicy,
        mailbox: Mailbox | None = None,
        *,
        activator: ActivationOwner,
    ) -> None:
        self.activator = activator
        super().__init__(services, address, spec, supervision_group, policy, mailbox)
        self.passivating = False
        """Whether it ends because it is idle: its successor takes the messages that come meanwhile."""
        self.durable = self
        self.outbox: UnitOfWork | None = None
        """The changes of the message in hand."""
        self._to_end: list[Callable[[], None]] = []
        """Ends the message whose change was just stored or lost. `pop` decides which thread does it."""
        self.ended.add_callback(self._end_commit)
        self.fence: tuple[str, int] | None = None
        """The owner and the epoch under which this node has claimed the agent; None if it shares the store with no other."""
        self._version: StoredVersion | None = None
        """The stored version on which the next change builds; None before the state is read."""

    def _refer(self) -> AgentRef:
        # It holds for every activation.
        return self.activator.reference

    @property
    def key(self) -> str:
        """The key of the agent."""
        return self.activator.identity.key

    @property
    def local(self) -> EntityCell:
        """The record of the activation: this one, unless others took over."""
        cell = super().local
        assert isinstance(cell, EntityCell)
        return cell

    def make_successor(self, **options: Any) -> AgentCell:
        """Return another record of the activation. It reads the stored state; what this one does now is not stored."""
        successor = super().make_successor(activator=self.activator, **options)
        assert isinstance(successor, EntityCell)
        successor.passivating = self.passivating
        return successor

    # Activation and passivation.

    def restore_state(self, incarnation: Incarnation) -> None:
        """Read the stored state into an agent that was just constructed. Blocks for one or two reads."""
        activator = self.activator
        with self.blocked():
            self._wait_for_last_write()
            placement = activator.policy.placement
            self.fence = placement.claim(activator.identity) if placement is not None else None
            stored = activator.store.load(activator.identity)
        incarnation.call(activator.kind.read, activator.identity, stored, incarnation.agent)
        if activator.kind.is_slow_to_fold(len(stored.later), activator.policy.snapshot_every):
            self.log.warning(
                "has folded %d events: give its class `snapshot` and `restore`, so that its state is stored now and then",
                len(stored.later),
            )
        self._version = StoredVersion(activator.kind, activator.identity, stored)

    def passivate_if_idle(self) -> None:
        """End this activation if it has nothing to do. Only on the agent's thread."""
        incarnation = self.incarnation
        if (
            self.is_idle
            and incarnation is not None
            and incarnation.is_idle
            and not (self.children is not None and self.children.members())
        ):
            self.passivate()

    def passivate(self) -> None:
        """End this activation once the queued messages are handled. From any thread."""
        self.passivating = True
        self.stop(drain=True)

    @property
    def is_idle(self) -> bool:
        """True if no message is queued or being handled, and no call holds the agent. From any thread; soon out of date."""
        return not (self._held or len(self.mailbox) or self.mailbox.closed or self.mailbox.waiting or self.outbox is not None)

    @property
    def hands_over(self) -> bool:
        """True if the next activation takes the messages that this one does not handle.

        That is so if it was passivated, or failed for good after it had handled messages. One that failed before would fail
        again.
        """
        outcomes = self.outcomes
        return self.passivating or (self.life.error is not None and outcomes.handled + outcomes.failed > 0)

    def notify_watchers(self, event: Message, *, last: bool = False) -> None:
        """Send a lifecycle event to the watchers. The end of an activation without a failure is not such an event."""
        if last and self.life.error is None:
            return
        self.activator.notify_watchers(event, last=last)
        self.services.publish_event(event)

    # Handling.

    def _handle(self, envelope: Envelope, invocation: Invocation) -> None:
        delivery = envelope.delivery
        try:
            self._check_claim()
            if delivery is not None and delivery.idempotency_key is not None and self._answer_again(envelope, delivery):
                return
            assert self._version is not None
            assert self.incarnation is not None
            self._version.begin(self.incarnation.agent)
        except Exception as error:  # noqa: BLE001 - the message ends with the error
            self._fail(envelope, error)
            return
        self.outbox = invocation.outbox = UnitOfWork(self.activator.outgoing)
        super()._handle(envelope, invocation)
        invocation.outbox = None
        if not self.is_held(Suspension.EXCLUSIVE):
            # It was stale, or there was no handler.
            self._drop_unit()

    def _answer_again(self, envelope: Envelope, delivery: DurableDelivery) -> bool:
        """Answer a request that was handled before. Raises `KeyReused`, `DecodeFailed`."""
        activator = self.activator
        key = delivery.idempotency_key
        assert key is not None
        with self.blocked():
            self._wait_for_last_write()
            answer = activator.store.answer(activator.identity, key)
        if answer is None:
            return False
        if answer.request != digest(activator.codec.encode(envelope.message)):
            raise KeyReused(activator.identity.kind, self.key, key)
        request = type(envelope.message)
        value = activator.codec.decode(answer.body, reply_type(activator.kind.forms.get(request, request)))
        self.outcomes.committed(envelope, value)
        return True

    def _check_claim(self) -> None:
        """Raise `CoterieError` if another node may have the agent by now."""
        placement = self.activator.policy.placement
        if placement is not None and self.fence is not None:
            placement.check(self.fence)

    def _drop_unit(self) -> UnitOfWork | None:
        unit, self.outbox = self.outbox, None
        return unit

    def end_unit(self) -> bool:
        """Drop the changes of the message in hand; return whether the agent itself may have changed."""
        self._drop_unit()
        if self.incarnation is None or self._version is None:
            return False
        return self._version.differs(self.incarnation.agent)

    def commit(self, envelope: Envelope, value: Any) -> None:
        """Store the changes of the handler; then send its answer and its messages."""
        unit = self._drop_unit()
        version = self._version
        assert unit is not None
        assert version is not None
        activator = self.activator
        try:
            change, value = self._change(version, unit, envelope, value)
            if change.is_empty:
                self._check_claim()
                self._finish(envelope, value, unit, [])
                return
            if activator.policy.durability == "relaxed" and not change.reaches_others and change.answer is None:
                self._commit_later(version, change)
                self._finish(envelope, value, unit, [])
                return
            span = self._begin_span(change, envelope)
            with self.blocked():
                if activator.policy.durability == "relaxed":
                    # An earlier change must be stored before this one.
                    activator.background.flush()
                pending = activator.store.commit(change)
        except Exception as error:  # noqa: BLE001 - the message ends with the error
            self._undo(envelope, error)
            return
        version.advance(change, joined=False)
        # If the activation ends meanwhile, the next one waits for it.
        activator.last_write = pending

        def end() -> None:
            if activator.last_write is pending:
                activator.last_write = None
            error = pending.exception()
            span.end(error)
            if error is not None:
                self._undo(envelope, error)
            else:
                self._finish(envelope, value, unit, pending.result())
                self.release(Suspension.COMMIT)

        def committed() -> None:
            self._to_end.append(end)
            self.control(self._end_commit)
            if self.life.ended:
                self._end_commit()

        self.hold(Suspension.COMMIT)
        pending.add_callback(committed)

    def _begin_span(self, change: DurableChange, envelope: Envelope) -> spans.TraceSpan:
        """Begin the span of a commit, within that of the handler."""
        if not spans.is_tracing():
            return spans.NO_SPAN
        size = 0 if change.state is None else len(change.state)
        counts = {"coterie.events": len(change.events), "coterie.messages": len(change.outgoing), "coterie.state.bytes": size}
        return spans.begin("commit", {"coterie.agent": self.name, **counts}, parent=envelope.context)

    def _commit_later(self, version: StoredVersion, change: DurableChange) -> None:
        """Have a change stored after it is answered."""
        activator = self.activator
        activator.last_write, joined = activator.background.add(change, self._lost)
        version.advance(change, joined=joined)

    def _change(self, version: StoredVersion, unit: UnitOfWork, envelope: Envelope, value: Any) -> tuple[DurableChange, Any]:
        """Return the change of the handler, and its answer. Raises `StateRefused` if one of them has no stored form."""
        activator = self.activator
        kind, identity = activator.kind, activator.identity
        assert self.incarnation is not None
        delivery, reply = envelope.delivery, envelope.reply
        change = version.change(unit, self.incarnation.agent, self.services.clock.time(), activator.policy.snapshot_every)
        change.fence = self.fence
        streams = isinstance(envelope.message, Stream)
        if streams and not change.is_empty:
            raise ChangeInStream(identity.kind, identity.key, type(envelope.message).__qualname__)
        if delivery is not None:
            change.handled = delivery.number or None
        if reply is None or streams:
            return change, value
        key = None if delivery is None else delivery.idempotency_key
        if value.__class__ is Reply:
            if key is not None:
                problem = "it is another agent's reply; await that, and return its value"
                raise StateRefused(identity.kind, identity.key, "the answer", problem)
            return change, value
        request = type(envelope.message)
        sent = reply.__class__ is not Reply
        value, body = kind.encode_answer(identity, value, request, sent=sent, recorded=key is not None)
        if key is not None:
            change.answer = (key, digest(activator.codec.encode(envelope.message)), body)
        return change, value

    def _end_commit(self) -> None:
        """End the message whose change is stored or lost: on the agent's thread, or when the agent has ended meanwhile."""
        try:
            end = self._to_end.pop()
        except IndexError:
            return
        end()

    def _finish(self, envelope: Envelope, value: Any, unit: UnitOfWork, numbers: list[int]) -> None:
        delivery = envelope.delivery
        # Before the answer: what the asker sends next to the same agents arrives after these.
        self.activator.sent(unit, numbers, None if delivery is None else delivery.number or None)
        self.outcomes.committed(envelope, value)

    def _wait_for_last_write(self) -> None:
        """Wait for a change that was answered before it was stored: a read must see it."""
        last = self.activator.last_write
        if last is not None:
            self.activator.background.flush()
            last.wait()
            self.activator.last_write = None

    def _lost(self, error: BaseException) -> None:
        """Read the stored state again, because a change that was answered could not be stored. From any thread."""
        self.log.error("lost a change that was already answered: %s", describe(error))
        self.control(self.life.reload)

    def _undo(self, envelope: Envelope, error: BaseException) -> None:
        """Answer that the change was not stored, and read the stored state again."""
        self._fail(envelope, error)
        self.release(Suspension.COMMIT)
        self.life.reload()

    def _fail(self, envelope: Envelope, error: BaseException) -> None:
        """End a message with an error of the store."""
        outcomes = self.outcomes
        outcomes.failed += 1
        kind = type(envelope.message).__qualname__
        identity = self.activator.identity
        lost = error if isinstance(error, DurableError) else ChangeLost(identity.kind, identity.key, kind, error)
        self.last_error = describe(lost)
        if lost is not error:
            lost.__cause__ = error
        self.log.error("%s", describe(lost))
        delivery = envelope.delivery
        if envelope.reply is not None:
            failure = HandlerFailed(self.name, kind, describe(lost))
            failure.__cause__ = lost
            envelope.reply.fail(failure)
        if delivery is not None and delivery.number:
            if isinstance(error, DurableError):
                self.count_attempt(envelope, delivery, error, final=False)
            self.activator.release(delivery.number)
        elif envelope.reply is None:
            self.services.dead_letter(envelope, self.address, Reason.POISON, describe(lost))

    def count_attempt(self, envelope: Envelope, delivery: DurableDelivery, error: BaseException, *, final: bool) -> bool:
        """Record that a stored message failed; return whether it is tried again."""
        delivery.attempts += 1
        dead = final or delivery.attempts >= self.activator.policy.attempts
        text = "".join(traceback.format_exception(error)) if dead else describe(error)
        self.activator.failed(delivery, text, dead=dead)
        if dead:
            self.services.dead_letter(envelope, self.address, Reason.POISON, describe(error))
        return not dead

    # Calls of the context.

    def unit_for(self, call: str) -> UnitOfWork:
        """Return the unit of work for a call of a handler. Raises `OutsideHandler`."""
        invocation = CURRENT.get()
        if invocation is None or invocation.outbox is not self.outbox or self.outbox is None:
            raise OutsideHandler(call)
        return self.outbox

    def record(self, event: Any) -> None:
        """Record an event, and fold it into the agent."""
        unit = self.unit_for("record")
        kind, identity = self.activator.kind, self.activator.identity
        if not kind.is_event_sourced:
            raise StateRefused(identity.kind, identity.key, "an event", f"{kind.agent.__qualname__} has no `apply` for events")
        encoded = kind.encode_event(identity, event)
        assert self.incarnation is not None
        agent: Any = self.incarnation.agent
        agent.apply(event)
        unit.events.append(encoded)

    def remind(self, after: float, message: Message, name: str | None) -> None:
        """Add a reminder to the unit of work."""
        check_reminder(after, name)
        unit = self.unit_for("remind")
        unit.remind(self.activator.reminder(after, message, name))

    def cancel_reminder(self, name: str) -> None:
        """Cancel a reminder with the unit of work."""
        check_reminder(0.0, name)
        self.unit_for("cancel_reminder").cancel(name)

    def subscribe(self, topic: str) -> None:
        """Subscribe durably to a topic."""
        self.unit_for("subscribe").subscribe(topic, on=True)

    def unsubscribe(self, topic: str) -> None:
        """Unsubscribe from a topic."""
        self.unit_for("unsubscribe").subscribe(topic, on=False)
