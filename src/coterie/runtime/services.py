"""What the parts of one runtime share. Not for users: their face is `Runtime`."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from coterie.concurrency import ElasticPool, Rank, Timers, new_lock
from coterie.errors import (
    AgentStopped,
    DefinitionError,
    InvalidMessage,
    MailboxFull,
    RuntimeStopped,
    ServiceMissing,
    SpawnError,
    describe,
)
from coterie.kernel import Address, Codec, Extension
from coterie.messaging import DeadLetter, DeadLetters, Envelope, LocalTransport, Message, MessagePriority, Reason, Transport
from coterie.runtime import admission
from coterie.runtime.agent import Agent
from coterie.runtime.cell import AgentCell
from coterie.runtime.dispatchers import Resources
from coterie.runtime.family import Family
from coterie.runtime.health import Health
from coterie.runtime.lifecycle import Phase
from coterie.runtime.loops import LoopInboxes
from coterie.runtime.node import LoopbackPort, Node
from coterie.runtime.options import check_options
from coterie.runtime.recipe import Recipe
from coterie.runtime.reference import AgentRef
from coterie.runtime.registry import Registry
from coterie.runtime.signals import AGENTS
from coterie.runtime.strict import StrictPort
from coterie.runtime.supervision import Supervision
from coterie.runtime.vacant import VacantPort
from coterie.runtime.waits import WaitGraph

if TYPE_CHECKING:
    from coterie.kernel import Clock
    from coterie.messaging import MailboxPolicy
    from coterie.runtime.dispatchers import Dispatcher, Engine
    from coterie.runtime.port import Port
    from coterie.runtime.runtime import Runtime

T = TypeVar("T")


class Services:
    """The parts of one runtime, each of which guards itself. `_lock` guards the few tables that are here."""

    def __init__(
        self,
        runtime: Runtime,
        node: str,
        *,
        dispatcher: Dispatcher,
        supervision: Supervision,
        mailbox: MailboxPolicy,
        clock: Clock,
        transport: Transport | None,
        strict: bool,
        link_patience: float,
        ask_timeout: float | None,
        stall_after: float,
        dead_letters: int,
    ) -> None:
        self.runtime = runtime
        self.node = node
        self.clock = clock
        self.ask_timeout = ask_timeout
        self.dispatcher = dispatcher
        self.mailbox = mailbox
        self.strict = strict
        self.stopping = False
        """Whether nothing more is taken from outside."""
        self.closed = False
        """Whether no agent is started any more."""
        self.random = random.Random()  # noqa: S311 - for the jitter of restarts
        self.timers = Timers(clock, node)
        self.blocking = ElasticPool(f"{node}-blocking")
        self.codec = Codec([Extension(AgentRef, 1, lambda ref: str(ref.address), self._read_reference)])
        self.dead_letters = DeadLetters(dead_letters)
        self.registry = Registry()
        self.waits = WaitGraph()
        self.loops = LoopInboxes()
        self.family = Family(supervision, None)
        self.health = Health(self, stall_after)
        self.node_link = Node(self, transport if transport is not None else LocalTransport(), link_patience)
        self._loopback = strict and transport is not None
        self._resources = Resources(node, clock, self.timers, self.blocking)
        self._correlations = itertools.count(1)
        self._lock = new_lock(Rank.RECORDS)
        self._engines: dict[Dispatcher, Engine] = {}
        self._provided: dict[type, Any] = {}
        self._shown: set[type] = set()
        self._refused = 0

    # Agents.

    def spawn(
        self,
        kind: type[Agent],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        name: str | None,
        dispatcher: Dispatcher | None,
        supervision: Supervision | None,
        mailbox: MailboxPolicy | None,
        parent: AgentCell | None,
    ) -> AgentRef:
        """Start an agent; see `Runtime.spawn`."""
        check_options("spawn", dispatcher, supervision, mailbox)
        if self.closed or (self.stopping and parent is None):
            raise RuntimeStopped(self.node, "starts no more agents")
        if name is not None and not Address.is_name(name):
            raise DefinitionError(f"name={name!r}", "it cannot name an agent", "use text without '#' and control characters")
        recipe = Recipe(kind, args, kwargs, dispatcher or self.dispatcher, supervision)
        self._show_to_codec(recipe)
        default = recipe.kind.__name__.lower()
        name, number = self.registry.reserve(name, default if parent is None else f"{parent.name}/{default}")
        family = self.family if parent is None else self._children_of(parent)
        try:
            cell = AgentCell(self, Address(self.node, name, number), recipe, family, mailbox or self.mailbox)
            self.registry.add(cell)
            family.add(cell)
            if self.stopping:
                cell.mailbox.refuse_outsiders()
            cell.control(cell.life.start)
        except BaseException as error:
            self.registry.withdraw(name, number)
            family.remove(number)
            if not isinstance(error, RuntimeError):
                raise
            raise SpawnError(f"{name} cannot start: {error}; stop agents, or use the dispatcher Leased") from error
        return cell.reference

    def engine(self, dispatcher: Dispatcher) -> Engine:
        """Return the engine that works as a dispatcher says."""
        engine = self._engines.get(dispatcher)
        if engine is None:
            with self._lock:
                engine = self._engines.get(dispatcher)
                if engine is None:
                    engine = self._engines[dispatcher] = dispatcher.open(self._resources)
        return engine

    def engines(self) -> list[Engine]:
        """Return the engines that are in use."""
        with self._lock:
            return list(self._engines.values())

    def cells_on_threads(self) -> Iterator[AgentCell]:
        """Yield the agents that are on a thread, or were a moment ago."""
        for engine in self.engines():
            for occupant, _ in engine.occupied():
                if isinstance(occupant, AgentCell):
                    yield occupant

    # References.

    def port_for(self, cell: AgentCell) -> Port:
        """Return the way to an agent of this runtime."""
        if self._loopback:
            return LoopbackPort(self.node_link, cell)
        return StrictPort(cell, self.codec) if self.strict else cell

    def reference(self, address: Address) -> AgentRef:
        """Return a reference to the agent at an address, here or elsewhere."""
        if address.node != self.node:
            return AgentRef(address, self, self.node_link.port(address))
        cell = self.registry.by_number(address.number) if address.number else self.registry.find(address.name)
        return cell.reference if cell is not None else AgentRef(address, self, self.unknown_port(address))

    def unknown_port(self, address: Address) -> VacantPort:
        """Return the port to an address of this runtime where no agent lives."""
        return VacantPort(self, address, existed=0 < address.number <= self.registry.spawned)

    def next_correlation(self) -> int:
        """Return a number for an ask that no other has."""
        return next(self._correlations)

    # Messages.

    def post(self, reference: AgentRef, message: Message, sender: AgentRef | None, priority: MessagePriority) -> None:
        """Send a message without ever blocking; what is refused becomes a dead letter.

        Raises `EncodeFailed` for what has no form on a wire that it must cross.
        """
        port = reference._port  # noqa: SLF001 - services and reference are two sides of one thing
        envelope = Envelope(message, sender, None, None, priority)

        def rejected(error: MailboxFull) -> None:
            self.make_dead(envelope, reference.address, Reason.FULL, str(error))

        try:
            pending = port.admit(envelope)
        except MailboxFull as error:
            rejected(error)
            return
        if pending is not None and port.cell is not None:
            admission.attend(self, port.cell, pending, rejected)

    def publish(
        self, topic: str, message: Message, sender: AgentRef | None, priority: MessagePriority = MessagePriority.NORMAL
    ) -> int:
        """Send a message to all who have subscribed to a topic, and return how many there are."""
        if not isinstance(message, Message):
            raise InvalidMessage(message, f"the topic {topic!r}")
        subscribers = self.registry.subscribers(topic)
        for subscriber in subscribers:
            self.post(subscriber, message, sender, priority)
        return len(subscribers)

    def publish_news(self, news: Message) -> None:
        """Tell those who have subscribed to the topic `AGENTS`."""
        self.publish(AGENTS, news, None, MessagePriority.SYSTEM)

    def make_dead(self, envelope: Envelope, recipient: Address, reason: Reason, detail: str = "") -> None:
        """Record a message that nobody handles."""
        sender = envelope.sender.address if envelope.sender is not None else None
        self.dead_letters.add(DeadLetter(envelope.message, recipient, sender, reason, self.clock.time(), detail))

    def count_refused(self) -> None:
        """Count a message that no mailbox took, because its agent has ended or never was."""
        with self._lock:
            self._refused += 1

    def stopped_error(self, name: str, message: Message, cause: BaseException | None) -> AgentStopped:
        """Return what an asker gets whose agent has ended."""
        if self.stopping and cause is None:
            return RuntimeStopped(self.node, f"so {name} cannot handle {type(message).__qualname__}")
        reason = "it has stopped" if cause is None else f"it has failed for good: {describe(cause)}"
        error = AgentStopped(name, type(message).__qualname__, reason)
        error.__cause__ = cause
        return error

    # Services that users provide.

    def provide(self, service: Any, kind: type) -> None:
        """Keep a service for `use`."""
        with self._lock:
            self._provided = {**self._provided, kind: service}

    def use(self, kind: type[T]) -> T:
        """Return the service of a type. Raises `ServiceMissing`."""
        found: Any = self._provided.get(kind)
        if found is None:
            matches = [service for key, service in self._provided.items() if _is_kind_of(key, kind)]
            if not matches:
                raise ServiceMissing(kind, list(self._provided))
            found = matches[0]
        result: T = found
        return result

    # Counts.

    def become_orphan(self) -> None:
        """Be told that this is a copy in a forked process, without any of the threads. Whoever held a lock is not here."""
        self._lock = new_lock(Rank.RECORDS)
        self.stopping = self.closed = True
        self.timers.become_orphan()
        self.dead_letters.become_orphan()
        for cell in self.registry.become_orphan():
            cell.life.phase = Phase.STOPPED
            cell.mailbox.become_orphan()

    @property
    def refused(self) -> int:
        """Messages that no mailbox took."""
        return self._refused

    def _children_of(self, parent: AgentCell) -> Family:
        with self._lock:
            if parent.children is None:
                parent.children = Family(parent.recipe.kind.supervision or Supervision(), parent)
            return parent.children

    def _show_to_codec(self, recipe: Recipe) -> None:
        if recipe.kind not in self._shown:
            for kind in recipe.handlers:
                self.codec.register(kind)
            self._shown.add(recipe.kind)

    def _read_reference(self, text: str) -> AgentRef:
        return self.reference(Address.parse(text))


def _is_kind_of(key: type, kind: type) -> bool:
    try:
        return issubclass(key, kind)
    except TypeError:
        # A protocol that is not checked at runtime: only what was given under that very type serves it.
        return False
