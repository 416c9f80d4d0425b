"""The durable agents of a runtime: their classes, references and activations."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Iterator
from contextvars import Context as Variables
from typing import Any

from coterie.concurrency import Rank, Signal, Timer, new_lock
from coterie.durable import BackgroundWrites, DurableStore, Identity, StoredMessage
from coterie.errors import (
    AgentStopped,
    CoterieError,
    DefinitionError,
    InvalidAddress,
    InvalidSetting,
    RuntimeStopped,
    StorageError,
    describe,
)
from coterie.kernel import Address, Codec
from coterie.kernel.address import DURABLE_NODE
from coterie.kernel.codec import Extension
from coterie.messaging import MailboxPolicy, Reason
from coterie.messaging.envelope import Envelope
from coterie.runtime.definition.agent import Agent
from coterie.runtime.definition.context_owner import SpawnOptions
from coterie.runtime.definition.spec import AgentSpec, check_options
from coterie.runtime.definition.supervision import Supervision
from coterie.runtime.dispatchers.base import Dispatcher
from coterie.runtime.entities.active_agents import ActiveAgents
from coterie.runtime.entities.durable_services import DurableServices
from coterie.runtime.entities.entity_cell import EntityCell
from coterie.runtime.entities.entity_endpoint import EntityEndpoint
from coterie.runtime.entities.entity_kind import EntityKind, check_key
from coterie.runtime.entities.names import identity_of, name_of, stored_address
from coterie.runtime.entities.policy import DurablePolicy
from coterie.runtime.entities.stored_delivery import StoredDelivery
from coterie.runtime.entities.stored_forms import StoredForms, is_from_outside
from coterie.runtime.entities.unit_of_work import UnitOfWork
from coterie.runtime.references.reference import AgentRef, post
from coterie.storage import Database, open_database

_log = logging.getLogger(__name__)

_DEFAULTS = SpawnOptions(None, None, None, None)
_PATIENCE = 10.0
"""Seconds that a read, or the end of the runtime, waits for earlier changes."""
_MOMENT = 0.005
"""Seconds for which changes that are already answered are collected before they are written."""


class DurableAgents:
    """The durable agents of one runtime, as `Runtime.durable`. Safe from any thread; `_lock` guards the tables.

    Calls that read or change the store block for it, and raise its `StorageError`.
    """

    def __init__(self, services: DurableServices, store: str | os.PathLike[str] | Database, policy: DurablePolicy) -> None:
        self._services = services
        self._owns = isinstance(store, str | os.PathLike)
        if not self._owns and not hasattr(store, "migrate"):
            raise InvalidSetting("Runtime.store", store, "a path, an address, or an open database of coterie.storage")
        database: Database = open_database(store) if isinstance(store, str | os.PathLike) else store
        try:
            self.store = DurableStore(database)
            self._topics: set[str] = set(self.store.topics())
        except BaseException:
            if self._owns:
                database.close()
            raise
        self.policy = policy
        self.codec = Codec([Extension(AgentRef, 1, self._text_of, self._read_reference)])
        self._lock = new_lock(Rank.ENTITIES)
        self._kinds: dict[str, EntityKind] = {}
        self._by_class: dict[type, EntityKind] = {}
        self._specs: dict[EntityKind, tuple[AgentSpec, MailboxPolicy | None]] = {}
        """The specification of which each activation gets a copy, and the policy of its mailbox, if it has one of its own."""
        self._endpoints: weakref.WeakValueDictionary[Identity, EntityEndpoint] = weakref.WeakValueDictionary()
        self._watched: dict[Identity, EntityEndpoint] = {}
        """Endpoints with watchers, which no activation may keep alive."""
        self._active = ActiveAgents(policy.most_active, services.clock)
        self._forms = StoredForms(services, self.codec, self._kinds, self._known, self._read_reference)
        self._delivery = StoredDelivery(services, self.store, self._endpoint, policy.placement)
        self.background = BackgroundWrites(self.store, self._write_soon)
        self._closed = False
        self._sweeper: Timer | None = None
        self._plan_sweep()

    # Public.

    def register(
        self,
        agent: type[Agent],
        *,
        mailbox: MailboxPolicy | None = None,
        supervision: Supervision | None = None,
        dispatcher: Dispatcher | None = None,
    ) -> None:
        """Make a class of durable agents known, so that stored messages for its agents are delivered.

        `Runtime.entity` does this too. The options are for all later activations of the class; what is not given is that of
        the runtime. Raises `DefinitionError` for a class that cannot be durable, or whose stored name belongs to another
        class, and `InvalidSetting`.
        """
        check_options("register", dispatcher, supervision, mailbox)
        self._learn(agent, SpawnOptions(None, dispatcher, supervision, mailbox))

    def history(self, agent: type[Agent], key: str) -> Iterator[Any]:
        """Yield the recorded events of an agent, oldest first. Raises `InvalidKey`, `StateUnreadable`."""
        kind = self._kind(agent)
        identity = Identity(kind.name, check_key(kind.name, key))
        self._write_all()
        for event in self.store.events(identity):
            yield kind.decode_event(identity, event)

    def keys(self, agent: type[Agent], after: str = "", limit: int = 1_000) -> list[str]:
        """Return the keys of the stored agents of a class in order, at most `limit`, beginning after the key `after`."""
        kind = self._kind(agent)
        self._write_all()
        return self.store.keys(kind.name, after, limit)

    def dead_letters(self, agent: type[Agent] | None = None, limit: int = 1_000) -> list[StoredMessage]:
        """Return the stored messages that failed too often, oldest first, each with its traceback in `error`."""
        return self.store.dead_letters(None if agent is None else self._kind(agent).name, limit)

    def redrive(self, number: int) -> bool:
        """Deliver a dead letter again; return whether there is one of that number."""
        identity = self.store.redrive(number)
        if identity is not None:
            self._delivery.deliver_to([identity])
        return identity is not None

    @property
    def undelivered(self) -> int:
        """The number of stored messages that are due and not handled yet, in the whole store. Reads it."""
        return self.store.undelivered(self.now())

    @property
    def closed(self) -> bool:
        """True once no agent is activated any more."""
        return self._services.closed

    @property
    def active(self) -> int:
        """The number of active durable agents."""
        return len(self._active)

    def entity(self, agent: type[Agent], key: str) -> AgentRef:
        """Return a reference to a durable agent; see `Runtime.entity`. Raises `InvalidKey`, `DefinitionError`."""
        kind = self._kind(agent)
        return self.reference(Identity(kind.name, check_key(kind.name, key)))

    # Classes and references.

    def find(self, address: Address) -> AgentRef | None:
        """Return a reference for the address of a durable agent; None if it is not one, or its class is unknown."""
        identity = self._known(address)
        return None if identity is None else self.reference(identity)

    def endpoint_at(self, address: Address) -> EntityEndpoint | None:
        """Return the endpoint for the address of a durable agent; None if it is not one, or its class is unknown."""
        identity = self._known(address)
        return None if identity is None else self._endpoint(identity)

    def reference(self, identity: Identity) -> AgentRef:
        """Return a reference to a durable agent of a known class, or of any class with a placement."""
        if self.policy.placement is not None:
            return self._services.reference(stored_address(identity))
        endpoint = self._endpoint(identity)
        assert endpoint is not None
        return self.reference_to(endpoint)

    def reference_to(self, endpoint: EntityEndpoint) -> AgentRef:
        """Return a reference to the agent of an endpoint."""
        if self.policy.placement is not None:
            return self._services.reference(endpoint.address)
        return AgentRef(endpoint.address, self._services, self._services.wrap(endpoint))

    def subscribers(self, topic: str) -> list[AgentRef]:
        """Return the durable subscribers of a topic whose class is known."""
        if topic not in self._topics and self.policy.placement is None:
            return []
        return [self.reference(identity) for identity in self.store.subscribers(topic) if identity.kind in self._kinds]

    def _kind(self, agent: type[Agent]) -> EntityKind:
        known = self._by_class.get(agent)
        return known if known is not None else self._learn(agent, _DEFAULTS)

    def _learn(self, agent: type[Agent], options: SpawnOptions) -> EntityKind:
        kind = EntityKind(agent, self.codec, self.policy.largest_state)
        dispatcher = options.dispatcher or self._services.dispatcher
        # In a context of its own: the agent has nothing to do with the sender of its first message.
        spec: AgentSpec = Variables().run(AgentSpec, agent, (), {}, dispatcher, options.supervision)
        spec.keeps_state = False
        for message in kind.message_types.values():
            self.codec.register(message)
            self._services.codec.register(message)
        with self._lock:
            known = self._kinds.setdefault(kind.name, kind)
            if known.agent is agent:
                self._by_class[agent] = known
                if known is kind or options != _DEFAULTS:
                    self._specs[known] = spec, options.mailbox
        if known.agent is not agent:
            raise DefinitionError(
                f"{agent.__module__}.{agent.__qualname__}",
                f"the stored name {kind.name!r} belongs to {known.agent.__module__}.{known.agent.__qualname__}",
                "give it another: stored_name = '...'",
            )
        keys = self.store.recipients(kind.name, self._services.clock.time())
        self._delivery.deliver_to([Identity(kind.name, key) for key in keys])
        return known

    def _endpoint(self, identity: Identity) -> EntityEndpoint | None:
        # A lookup is one step; only the making needs the lock.
        endpoint = self._endpoints.get(identity)
        if endpoint is not None:
            return endpoint
        with self._lock:
            endpoint = self._endpoints.get(identity)
            kind = self._kinds.get(identity.kind)
            if endpoint is None and kind is not None:
                placed = self.policy.placement is not None
                address = stored_address(identity) if placed else Address(self._services.node, name_of(identity))
                endpoint = self._endpoints[identity] = EntityEndpoint(self, kind, identity, address)
            return endpoint

    def _known(self, address: Address) -> Identity | None:
        if is_from_outside(address.node, self._services.node):
            return None
        identity = identity_of(address)
        return identity if identity is not None and identity.kind in self._kinds else None

    def _text_of(self, reference: AgentRef) -> str:
        identity = self._known(reference.address)
        return str(reference.address if identity is None else stored_address(identity))

    def _read_reference(self, text: str) -> AgentRef:
        address = Address.parse(text)
        found = self.find(address)
        if found is not None:
            return found
        if address.node == DURABLE_NODE and self.policy.placement is None:
            raise InvalidAddress(f"{text} (no class of that stored name is registered)")
        return self._services.reference(address)

    # For the endpoints.

    def start(self, endpoint: EntityEndpoint) -> EntityCell:
        """Start an activation, and return it. Raises `RuntimeStopped`, `SpawnError`."""
        spec, mailbox = self._specs[endpoint.kind]

        def make(*args: Any) -> EntityCell:
            cell = EntityCell(*args, activator=endpoint)
            endpoint.begin(cell)
            return cell

        cell = self._services.start(spec.copy(), endpoint.address.name, mailbox, make)
        self._active.add(endpoint.identity, cell)
        return cell

    def ended(self, endpoint: EntityEndpoint, cell: EntityCell) -> None:
        """Note that an activation has ended, and give the agent up."""
        self._active.remove(endpoint.identity, cell)
        fence, placement = cell.local.fence, self.policy.placement
        if fence is not None and placement is not None:
            try:
                placement.release(endpoint.identity, fence)
            except StorageError as error:
                # Its lease will expire.
                _log.warning("cannot give up %s: %s", endpoint.address.name, describe(error))

    def mailbox(self, kind: EntityKind) -> MailboxPolicy:
        """Return the policy of the mailboxes of a class."""
        return self._specs[kind][1] or self._services.mailbox

    def now(self) -> float:
        """Return the time, in seconds since 1970."""
        return self._services.clock.time()

    @property
    def forms(self) -> StoredForms:
        """Makes the stored forms of messages, and reads them."""
        return self._forms

    def sent(self, sender: AgentRef, unit: UnitOfWork, numbers: list[int]) -> None:
        """Deliver what a committed unit of work has sent."""
        self._topics.update(unit.subscribed)
        self._delivery.sent(unit.outgoing, numbers)
        for context, to, message, priority, ttl in unit.afterwards:
            context.run(post, to, sender, message, priority, ttl)

    def refill(self, endpoint: EntityEndpoint, *, delayed: bool) -> None:
        """Deliver the stored messages for an agent soon."""
        self._delivery.refill(endpoint, delayed=delayed)

    def shuts_out(self, envelope: Envelope) -> bool:
        """Return whether the runtime is stopping, and the message comes from outside."""
        if not self._services.stopping or (envelope.delivery is not None and envelope.delivery.number):
            return False
        sender = envelope.sender
        return sender is None or is_from_outside(sender.address.node, self._services.node)

    def refuse(self, envelope: Envelope, to: Address, error: CoterieError) -> None:
        """End a message for which no activation can be started; a stored one stays stored."""
        if envelope.delivery is not None and envelope.delivery.number:
            return
        self._services.dead_letter(envelope, to, Reason.STOPPED, str(error))
        if envelope.reply is not None:
            if isinstance(error, RuntimeStopped):
                envelope.reply.fail(error)
                return
            stopped = AgentStopped(to.name, type(envelope.message).__qualname__, str(error))
            stopped.__cause__ = error
            envelope.reply.fail(stopped)

    # For a placement.

    def deliver_due(self) -> None:
        """Deliver the stored messages that are due, for all agents of this node. Blocks."""
        for kind in list(self._kinds):
            keys = self.store.recipients(kind, self._services.clock.time())
            self._delivery.deliver_to([Identity(kind, key) for key in keys])

    def deliver_to(self, identity: Identity) -> None:
        """Deliver the stored messages for one agent of this node."""
        self._delivery.deliver_to([identity])

    def active_agents(self) -> dict[Identity, EntityCell]:
        """Return the activations."""
        return self._active.cells()

    def keep(self, endpoint: EntityEndpoint, *, on: bool) -> None:
        """Keep an endpoint that has watchers, or no longer."""
        with self._lock:
            if on:
                self._watched[endpoint.identity] = endpoint
            else:
                self._watched.pop(endpoint.identity, None)

    # Time and end.

    def _plan_sweep(self) -> None:
        pause = max(0.01, self.policy.idle / 4)
        self._sweeper = self._services.timers.call_later(pause, lambda: self._delivery.run(self._sweep))

    def _sweep(self) -> None:
        """Passivate agents that have been idle for long, and delete old answers."""
        self._active.passivate_idle(self._services.clock.monotonic() - self.policy.idle)
        try:
            self.store.forget_answers(self.now() - self.policy.keep_answers)
        except StorageError as error:
            if not self._closed:
                _log.warning("cannot delete old answers: %s", describe(error))
        if not self._closed:
            self._plan_sweep()

    def _write_all(self) -> None:
        """Wait for the changes that are answered already, so that a read shows them."""
        if self.policy.durability == "relaxed":
            self.background.flush()
            self.store.database.flush(_PATIENCE)

    def _write_soon(self, flush: Callable[[], None]) -> None:
        """Call `flush` after a moment of real time, in which more changes may come."""

        def work() -> None:
            Signal().wait(_MOMENT)
            flush()

        try:
            self._services.blocking.submit(work)
        except RuntimeError:
            # The runtime is ending.
            flush()

    def close(self) -> None:
        """Close the store, after all agents have ended."""
        self._closed = True
        self.background.flush()
        self._delivery.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        try:
            if self._owns:
                self.store.database.close()
            else:
                self.store.database.flush(_PATIENCE)
        except (StorageError, TimeoutError) as error:
            _log.error("cannot close the store: %s", describe(error))
