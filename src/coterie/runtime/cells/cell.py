"""The runtime's record of one agent: mailbox, counters, current incarnation. It outlives restarts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context as Variables
from types import CoroutineType
from typing import Any, ClassVar

from coterie.concurrency import Completion
from coterie.errors import describe
from coterie.kernel import Address
from coterie.messaging import MailboxPolicy, Message
from coterie.messaging.envelope import Envelope
from coterie.messaging.mailbox import Mailbox
from coterie.messaging.pending_put import PendingPut
from coterie.runtime.cells.agent_loop import prepare
from coterie.runtime.cells.cell_services import CellServices
from coterie.runtime.cells.incarnation import Incarnation
from coterie.runtime.cells.lifecycle import Lifecycle
from coterie.runtime.cells.message_spans import in_spans
from coterie.runtime.cells.optional_parts import OptionalParts
from coterie.runtime.cells.outcomes import Outcomes
from coterie.runtime.cells.streaming import handler_for
from coterie.runtime.cells.supervision_group import SupervisionGroup
from coterie.runtime.cells.suspendable import Blocked
from coterie.runtime.definition.context_owner import SpawnOptions
from coterie.runtime.definition.durable_context import DurableOwner
from coterie.runtime.definition.handlers import Handler, nearest
from coterie.runtime.definition.spec import AgentSpec
from coterie.runtime.dispatchers.agent_loop import AgentLoop
from coterie.runtime.references.invocation import CURRENT, Invocation, Outbox, call_as
from coterie.runtime.references.reference import AgentRef
from coterie.runtime.references.reply import Reply
from coterie.runtime.references.waits import Waiter


class AgentCell(OptionalParts):
    """The runtime's record of one agent, and its local endpoint.

    `turn`, with everything it calls, runs on the one thread that holds the agent: only that thread writes the counters,
    the incarnation and the state of the turn. Other threads put envelopes, append to `_controls`, and read. The mailbox
    and the executor guard themselves; the wait graph guards `waits_for`, and the supervision group its members.
    """

    __slots__ = (
        "_controls",
        "_entered",
        "_handlers",
        "_invocation",
        "address",
        "blocking",
        "children",
        "ending",
        "executor",
        "forms",
        "given_up",
        "incarnation",
        "kept",
        "last_beat",
        "last_error",
        "life",
        "mailbox",
        "name",
        "outcomes",
        "reference",
        "restarts",
        "services",
        "spec",
        "stalled_for",
        "successor",
        "supervision_group",
        "waits_for",
    )

    outcomes_class: ClassVar[type[Outcomes]] = Outcomes
    is_durable: ClassVar[bool] = False
    durable: DurableOwner | None = None
    outbox: Outbox | None = None  # a durable agent has one; what others send goes at once

    def __init__(
        self,
        services: CellServices[AgentCell],
        address: Address,
        spec: AgentSpec,
        supervision_group: SupervisionGroup,
        policy: MailboxPolicy,
        mailbox: Mailbox | None = None,
    ) -> None:
        super().__init__()
        self.services = services
        self.address = address
        self.name = address.name
        self.spec = spec
        self.forms = spec.forms
        self.supervision_group = supervision_group
        self.children: SupervisionGroup | None = None
        """The group of its children; None before the first child."""
        self.outcomes = self.outcomes_class(self)
        self.executor = services.scheduler(spec.dispatcher).executor(self)
        self.mailbox = mailbox if mailbox is not None else self.outcomes.mailbox(policy, services.clock, self.executor)
        self.reference = self._refer()
        self.life = Lifecycle(self)
        self.incarnation: Incarnation | None = None
        self.ending = False
        """True once the agent was told to stop without draining."""
        self.waits_for: dict[Completion, Waiter] = {}
        self.kept: Any = None
        """The latest snapshot of the agent's state, as a one-element tuple, or None if there is none yet."""
        self.given_up = False
        """True if the runtime goes on, or has ended, without it, because its thread is stuck."""
        self.successor: AgentCell | None = None
        self.restarts = 0
        self.last_beat = services.clock.monotonic()
        """When the agent's thread last began a turn, on the monotonic clock."""
        self.last_error = ""
        self.stalled_for = 0.0
        self.blocking = False
        """Whether the agent's thread is blocked knowingly, in a wait for a reply or for room."""
        tables = services.handler_tables
        self._handlers = tables.of(spec.kind) or tables.add(spec.kind)
        """The handlers of the types of messages so far. All agents of the class share them."""
        # A list: its operations are as atomic as those of a deque, and while it is empty it is a tenth of one.
        self._controls: list[Callable[[], object]] = []
        self._entered: AgentLoop | None = None
        """The event loop, while it is the running loop of a turn that begins ``async`` handlers."""
        self._invocation = Invocation(self, exclusive=True)
        self._invocation.active = False

    def _refer(self) -> AgentRef:
        return AgentRef(self.address, self.services, self.services.endpoint_for(self))

    def __repr__(self) -> str:
        return f"<AgentCell {self.address}>"

    # The endpoint: called from any thread.

    @property
    def local(self) -> AgentCell:
        """The record of the agent, which is in this runtime: this one, unless others took over."""
        return self if self.successor is None else self.successor.local

    @property
    def is_alive(self) -> bool:
        """True until the agent has ended."""
        cell = self.local
        return not cell.life.ended and not cell.given_up

    @property
    def deliver(self) -> Callable[[Envelope], PendingPut | None]:
        """Deliver an envelope; see `Endpoint`. This is the mailbox's own method, which saves a call."""
        return self.mailbox.put

    def cancel(self, envelope: Envelope) -> None:
        """Stop working on an envelope whose ask has ended."""
        if not envelope.begun:
            # It is queued, or a ``def`` handler has it. If one that is ``async`` begins right now, it looks at the reply.
            self.mailbox.ask_ended()
            return

        def cancel() -> None:
            if cell.incarnation is not None:
                cell.incarnation.cancel(envelope)

        cell = self.local
        cell.control(cancel)

    def stop(self, *, drain: bool, kill_after: float | None = None) -> Completion:
        """Begin to stop the agent; give it up if it has not ended `kill_after` seconds later."""
        cell = self.local
        cell.mailbox.close()
        cell.ending = cell.ending or not drain
        cell.control(lambda: cell.life.stop(drain=drain))
        if kill_after is not None:
            self.services.timers.call_later(kill_after, lambda: self.services.successions.supersede(self.local, None))
        return cell.ended

    def make_successor(self, **options: Any) -> AgentCell:
        """Return another record of the agent, with the same mailbox, and an executor of its own that has not begun."""
        group, box = self.supervision_group, self.mailbox
        return type(self)(self.services, self.address, self.spec.copy(), group, box.policy, box, **options)

    def handles(self, kind: type[Message]) -> bool:
        """Return whether the agent has a handler for messages of a type."""
        return nearest(self.spec.handlers, kind) is not None

    @property
    def stopping(self) -> bool:
        """True once the agent, or its runtime, has begun to stop."""
        return self.mailbox.closing

    def expire_outside(self, envelope: Envelope) -> None:
        """End a message whose time was over before there was room for it."""
        self.outcomes.expire_outside(envelope)

    def watch(self, watcher: AgentRef) -> None:
        """Notify `watcher` of restarts and of the end."""
        self.services.registry.watch(self.local, watcher)

    def unwatch(self, watcher: AgentRef) -> None:
        """Notify `watcher` no longer."""
        self.services.registry.unwatch(self.local, watcher)

    def restore_state(self, incarnation: Incarnation) -> None:
        """Give an agent that was just constructed the state of its earlier incarnation. Passes on the errors of `restore`."""
        if self.kept is not None:
            incarnation.call(incarnation.agent.restore, self.kept[0])  # type: ignore[attr-defined] # an optional pair of methods

    def control(self, action: Callable[[], object]) -> None:
        """Call `action` soon on the agent's thread, between two messages; perhaps never, once the agent has ended."""
        self._controls.append(action)
        self.executor.wake()

    def prepare(self) -> None:
        """Have the first turn build the agent. Called before any other thread knows it, so nothing comes before that."""
        self._controls.append(self.life.start)

    # The turn: called on the agent's thread.

    def turn(self, quantum: int) -> bool:
        """Handle up to `quantum` messages. Return whether there are more."""
        self.last_beat = self.services.clock.monotonic()
        # A context for each turn: an agent at rest keeps none.
        variables = Variables()
        return variables.run(self._turn, quantum, variables)

    def _turn(self, quantum: int, variables: Variables) -> bool:
        controls = self._controls
        mailbox = self.mailbox
        take = mailbox.take
        invocation = self._invocation
        CURRENT.set(invocation)
        invocation.active = True
        try:
            while True:
                if controls:
                    self._call_controls()
                if self._held:
                    return False
                if quantum <= 0:
                    return True
                quantum -= 1
                envelope = take()
                if envelope is not None:
                    self._handle(envelope, invocation)
                    if len(variables) > 1:
                        # The handler has set context variables, which the next message must not see.
                        return True
                elif self.life.draining:
                    self.life.drained()
                    return bool(controls)
                else:
                    return not mailbox.arm()
        except BaseException as error:
            self.log.critical("the runtime failed: %s", describe(error), exc_info=error)
            self.life.fail(error)
            return True
        finally:
            if self._entered is not None:
                self._leave_loop()
            invocation.active = False
            invocation.envelope = None

    def _handle(self, envelope: Envelope, invocation: Invocation) -> None:
        if (envelope.reply is not None or envelope.deadline is not None) and self.outcomes.end_if_stale(envelope):
            return
        message = envelope.message
        kind = message.__class__
        try:
            handler = self._handlers[kind]
        except KeyError:
            handler = handler_for(kind, nearest(self.spec.handlers, kind), self.services)
            handler = self._handlers[kind] = in_spans(handler, kind) if self.spec.kind.records_spans else handler
        if handler is None:
            self.outcomes.unhandled(envelope)
            return
        incarnation = self.incarnation
        assert incarnation is not None
        invocation.envelope = envelope
        taken_at = envelope.taken_at
        began = self.now() if taken_at else 0.0
        if self._entered is not None and not handler.is_async:
            self._leave_loop()
        try:
            if envelope.context is None or handler.is_async:
                # An ``async`` handler runs nothing yet: its task enters the context.
                value = handler.function(incarnation.agent, message)
            else:
                value = envelope.context.run(call_as, invocation, handler.function, incarnation.agent, message)
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is contained
            self.handler_raised(handler, envelope, error, cancelled=False)
            return
        if value is not None and (
            value.__class__ is CoroutineType or (hasattr(value.__class__, "__await__") and value.__class__ is not Reply)
        ):
            invocation.envelope = None
            incarnation.begin(handler, envelope, value, self._entered or self._enter_loop())
            return
        # A message that was postponed is not in hand any more, and has no outcome yet.
        self.handler_returned(invocation.envelope, value)
        if taken_at:
            self.outcomes.record_times(began - taken_at, self.now() - began)

    def handler_returned(self, envelope: Envelope | None, value: Any) -> None:
        """Handle the result of a handler; without an envelope, the handler has postponed its message."""
        if envelope is not None:
            self.outcomes.returned(envelope, value)
        if self.spec.keeps_state and self.incarnation is not None:
            self.incarnation.keep_state()

    def handler_raised(self, handler: Handler, envelope: Envelope, error: BaseException, *, cancelled: bool) -> None:
        """End the message of a handler that raised, and fail the agent unless the error only concerns the message."""
        if self._stash is not None:
            self._stash.discard(envelope)
        if self.outcomes.raised(handler, envelope, error, cancelled=cancelled):
            self.life.fail(error, type(envelope.message).__qualname__)

    # For the parts of the agent.

    def spawn_child(self, agent: type, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: SpawnOptions) -> AgentRef:
        """Start a child of this agent."""
        return self.services.spawn(agent, args, kwargs, options, self)

    def subscribe(self, topic: str) -> None:
        """Send the agent the messages that are published on a topic."""
        self.services.registry.subscribe(topic, self)

    def unsubscribe(self, topic: str) -> None:
        """Send the agent no more messages of a topic."""
        self.services.registry.unsubscribe(topic, self)

    def notify_watchers(self, event: Message, *, last: bool = False) -> None:
        """Send a lifecycle event to the watchers, and publish it; with `last`, forget the watchers."""
        if self.successor is None:
            self.services.notify_watchers(self, event, last=last)

    def free_name(self) -> bool:
        """Release the name: the agent is about to end. Return False if it has another record's by now."""
        return self.services.registry.free_name(self)

    def unregister(self) -> None:
        """Leave the registry: the agent has ended."""
        self.services.unregister(self)

    @property
    def progress(self) -> object:
        """A value that changes with every handler and every step of the event loop. From any thread."""
        return self.outcomes.handled, self.outcomes.failed, self.last_beat, self.executor.steps

    def loop(self) -> AgentLoop:
        """Return the agent's event loop. Only on its thread."""
        if not self.executor.has_loop():
            prepare(self.executor.loop(), self)
        return self.executor.loop()

    def _call_controls(self) -> None:
        if self._entered is not None:
            self._leave_loop()
        controls = self._controls
        while controls:
            controls.pop(0)()

    def _enter_loop(self) -> AgentLoop:
        """Make the agent's loop the running one of the thread, so that tasks can begin at once in it."""
        self._entered = loop = self.loop()
        loop.enter()
        return loop

    def _leave_loop(self) -> None:
        assert self._entered is not None
        self._entered.leave()
        self._entered = None

    def in_hand(self) -> list[Envelope]:
        """Return the messages that handlers are handling. From any thread."""
        envelopes = [self._invocation.envelope] if self._invocation.active else []
        if (incarnation := self.incarnation) is not None:
            envelopes += [invocation.envelope for invocation in incarnation.handler_tasks]
        return [envelope for envelope in envelopes if envelope is not None]

    def blocked(self) -> AbstractContextManager[None]:
        """Mark that code of this agent blocks its thread deliberately. On other threads it marks nothing."""
        return Blocked(self) if self.executor.thread_id == threading.get_ident() else nullcontext()
