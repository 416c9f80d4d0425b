"""The assembly of one runtime from its parts. Internal: the public class is `Runtime`."""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

from coterie.concurrency import ElasticPool, Rank, Timers, new_lock
from coterie.concurrency.threads import stack_of
from coterie.errors import (
    AgentStopped,
    InvalidMessage,
    RuntimeStopped,
    describe,
)
from coterie.kernel import Address, Clock, Codec, Countdown
from coterie.kernel.codec import Extension
from coterie.messaging import DeadLetter, LocalTransport, MailboxPolicy, Message, MessagePriority, Reason, Transport
from coterie.messaging.dead_letters import DeadLetters
from coterie.messaging.envelope import Envelope
from coterie.runtime.cells.cell import AgentCell
from coterie.runtime.cells.handler_tables import HandlerTables
from coterie.runtime.cells.states import Phase, Suspension
from coterie.runtime.cells.succession import Successions
from coterie.runtime.cells.supervision_group import SupervisionGroup
from coterie.runtime.definition.agent import Agent, AgentRuntime
from coterie.runtime.definition.context_owner import SpawnOptions
from coterie.runtime.definition.provided import ProvidedServices
from coterie.runtime.definition.spec import AgentSpec
from coterie.runtime.definition.supervision import Supervision
from coterie.runtime.dispatchers.base import Dispatcher, Scheduler
from coterie.runtime.dispatchers.loops import LoopInboxes
from coterie.runtime.dispatchers.resources import DispatcherResources
from coterie.runtime.entities.durable_agents import DurableAgents
from coterie.runtime.nodes.node import Node, Recipient
from coterie.runtime.nodes.remote import LoopbackEndpoint
from coterie.runtime.nodes.strict import StrictEndpoint
from coterie.runtime.observation.health import AgentHealthMonitor
from coterie.runtime.observation.inspection import resume
from coterie.runtime.references.context_carrier import ContextCarrier
from coterie.runtime.references.dead_endpoint import DeadEndpoint
from coterie.runtime.references.invocation import CURRENT
from coterie.runtime.references.lifecycle_events import AGENTS
from coterie.runtime.references.publication import Publication, post_to_all
from coterie.runtime.references.reference import AgentRef, Endpoint
from coterie.runtime.references.waits import WaitGraph
from coterie.runtime.registry import Registry
from coterie.runtime.spawning import Spawning

C = TypeVar("C", bound=AgentCell)
T = TypeVar("T")

_log = logging.getLogger(__name__)


class Services:
    """The parts of one runtime. Each guards itself; `_lock` guards the tables of this class.

    Lower modules see it only through small Protocols of their own.
    """

    def __init__(
        self,
        runtime: AgentRuntime,
        node: str,
        *,
        dispatcher: Dispatcher,
        supervision: Supervision,
        mailbox: MailboxPolicy,
        clock: Clock,
        transport: Transport | None,
        strict: bool,
        link_patience: float,
        node_timeout: float,
        ask_timeout: float | None,
        stall_after: float,
        dead_letters: int,
        context: Iterable[ContextVar[Any]],
    ) -> None:
        self.runtime: AgentRuntime = runtime
        self.node = node
        self.clock = clock
        self.ask_timeout = ask_timeout
        self.dispatcher = dispatcher
        self.mailbox = mailbox
        self.strict = strict
        self.stopping = False
        """True once messages from outside are refused."""
        self.random = random.Random()  # noqa: S311 - for the jitter of restarts
        self.timers = Timers(clock, node)
        self.blocking = ElasticPool(f"{node}-blocking")
        self.codec = Codec([Extension(AgentRef, 1, lambda ref: str(ref.address), self._read_reference)])
        self.dead_letters = DeadLetters(dead_letters)
        self.carrier = ContextCarrier(context)
        self.registry = Registry()
        self.listeners = self.registry.listeners
        self.successions = Successions(self.registry)
        self.waits = WaitGraph()
        self.loops = LoopInboxes()
        self.supervision_group = SupervisionGroup(supervision, None)
        self.health = AgentHealthMonitor(
            clock, self.timers, stall_after, self.cells_on_threads, self.publish_event, self.successions.supersede
        )
        self._resources = DispatcherResources(node, clock, self.timers, self.blocking)
        self._correlations = itertools.count(1)
        self._lock = new_lock(Rank.RECORDS)
        self._schedulers: dict[Dispatcher, Scheduler] = {}
        self.provided = ProvidedServices()
        self.handler_tables = HandlerTables()
        self.spawning = Spawning(self)
        self._refusals = itertools.count()
        self.durable: DurableAgents | None = None
        """The durable agents, if the runtime has a store."""
        self._loopback = strict and transport is not None
        # Last: frames may come as soon as it listens.
        try:
            self.node_link = Node(self, transport if transport is not None else LocalTransport(), link_patience, node_timeout)
        except BaseException:
            self.health.close()
            self.timers.close()
            raise

    # Agents.

    def spawn(
        self,
        kind: type[Agent],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: SpawnOptions,
        parent: AgentCell | None,
    ) -> AgentRef:
        """Start an agent; see `Runtime.spawn`."""
        return self.spawning.spawn(kind, args, kwargs, options, parent)

    def start(self, spec: AgentSpec, name: str, mailbox: MailboxPolicy | None, make: Callable[..., C]) -> C:
        """Start an agent whose cell `make` makes from what `AgentCell` takes. Raises `RuntimeStopped`, `SpawnError`."""
        return self.spawning.start(spec, name, mailbox, make)

    @property
    def closed(self) -> bool:
        """True once no agent is started any more."""
        return self.spawning.closed

    def close(self, countdown: Countdown) -> None:
        """Start no more agents; see `Spawning.close`."""
        self.spawning.close(countdown)

    def refuse_outsiders(self) -> None:
        """Accept no message from outside any more, and resume paused agents."""
        self.stopping = True
        for cell in self.registry.cells():
            cell.mailbox.refuse_outsiders()
            if cell.is_held(Suspension.PAUSED):
                resume(cell)

    def end_threads(self, patience: float) -> None:
        """End all threads, and wait `patience` seconds for those in user code."""
        self.health.close()
        for scheduler in self.schedulers():
            scheduler.close(patience)
        if self.durable is not None:
            self.durable.close()
        self.node_link.close()
        self.timers.close()
        self.blocking.shutdown(wait=False, cancel_futures=True)
        for thread in self.blocking.join(patience):
            _log.error(
                "the thread %s is stuck in a blocking call and was given up, in\n%s", thread.name, stack_of(thread.ident)
            )

    def scheduler(self, dispatcher: Dispatcher) -> Scheduler:
        """Return the scheduler of a dispatcher, which is opened at the first call."""
        scheduler = self._schedulers.get(dispatcher)
        if scheduler is None:
            with self._lock:
                scheduler = self._schedulers.get(dispatcher)
                if scheduler is None:
                    scheduler = self._schedulers[dispatcher] = dispatcher.open(self._resources)
        return scheduler

    def schedulers(self) -> list[Scheduler]:
        """Return the schedulers that are in use."""
        with self._lock:
            return list(self._schedulers.values())

    def cells_on_threads(self) -> Iterator[AgentCell]:
        """Yield the agents that are on a thread, or were a moment ago."""
        for scheduler in self.schedulers():
            for schedulable, _ in scheduler.running():
                if isinstance(schedulable, AgentCell):
                    yield schedulable

    # References.

    def endpoint_for(self, cell: AgentCell) -> Endpoint:
        """Return the endpoint through which references of this runtime reach an agent."""
        if self._loopback:
            return LoopbackEndpoint(self.node_link, cell)
        return self.wrap(cell)

    def wrap(self, endpoint: Endpoint) -> Endpoint:
        """Return the endpoint by which references of this runtime reach an agent: with `strict`, one that encodes."""
        return StrictEndpoint(endpoint, self.codec) if self.strict else endpoint

    def reference(self, address: Address) -> AgentRef:
        """Return a reference to the agent at an address, here or elsewhere."""
        if address.node != self.node:
            return AgentRef(address, self, self.node_link.endpoint(address))
        if not address.number and self.durable is not None and (entity := self.durable.find(address)) is not None:
            return entity
        cell = self.local(address)
        return cell.reference if cell is not None else AgentRef(address, self, self.dead_endpoint(address))

    def local(self, address: Address) -> AgentCell | None:
        """Return the living agent at an address of this runtime, or None."""
        return self.registry.by_number(address.number) if address.number else self.registry.find(address.name)

    def recipient(self, address: Address) -> Recipient | None:
        """Return the endpoint of the living, or durable, agent at an address of this runtime, for messages of other nodes."""
        entity = self.durable.endpoint_at(address) if self.durable is not None and not address.number else None
        return entity or self.local(address)

    def dead_endpoint(self, address: Address) -> DeadEndpoint:
        """Return the endpoint of an address of this runtime without a living agent."""
        return DeadEndpoint(self, address, existed=0 < address.number <= self.registry.spawned)

    def next_correlation(self) -> int:
        """Return a number for an ask that no other ask has."""
        return next(self._correlations)

    # Messages.

    def publish(
        self, topic: str, message: Message, sender: AgentRef | None, priority: MessagePriority = MessagePriority.NORMAL
    ) -> Publication:
        """Send a message to all subscribers of a topic, and return their number."""
        if not isinstance(message, Message):
            raise InvalidMessage(message, f"the topic {topic!r}")
        subscribers = self.registry.subscribers(topic)
        if self.durable is not None and topic != AGENTS:
            subscribers += self.durable.subscribers(topic)
        elsewhere = self.elsewhere(topic) if topic != AGENTS else []
        invocation = CURRENT.get() if sender is not None else None
        if invocation is not None and invocation.outbox is not None:
            for subscriber in [*subscribers, *elsewhere]:
                invocation.outbox.tell(subscriber, message, priority, None)
            return Publication(len(subscribers))
        post_to_all(elsewhere, sender, message, priority)
        return post_to_all(subscribers, sender, message, priority)

    def elsewhere(self, topic: str | None) -> list[AgentRef]:
        """Return references for publications on other nodes; see `Node.listeners`."""
        return [AgentRef(each.address, self, each) for each in self.node_link.listeners(topic)]

    def publish_event(self, event: Message) -> None:
        """Publish a lifecycle event on the topic `AGENTS`."""
        self.publish(AGENTS, event, None, MessagePriority.SYSTEM)

    def notify_watchers(self, cell: AgentCell, event: Message, *, last: bool = False) -> None:
        """Send a lifecycle event to the watchers of an agent, and publish it; with `last`, forget the watchers."""
        self.registry.notify_watchers(cell, event, last=last)
        self.publish_event(event)

    def unregister(self, cell: AgentCell) -> None:
        """Remove an agent that has ended from the registry."""
        self.registry.unregister(cell, self.health.examine(cell) if cell.life.error is not None else None)

    def failure_of(self, number: int) -> BaseException | None:
        """Return the error with which the agent of a number failed for good, if it did."""
        return self.registry.failure_of(number)

    def dead_letter(self, envelope: Envelope, recipient: Address, reason: Reason, detail: str = "") -> None:
        """Record a message that no handler gets."""
        sender = envelope.sender.address if envelope.sender is not None else None
        self.dead_letters.add(DeadLetter(envelope.message, recipient, sender, reason, self.clock.time(), detail))

    def count_refused(self) -> None:
        """Count a message that no mailbox took, because its agent has ended or never existed."""
        next(self._refusals)

    def stopped_error(self, name: str, message: Message, cause: BaseException | None) -> AgentStopped:
        """Return the error for an ask of an agent that has ended."""
        if self.stopping and cause is None:
            return RuntimeStopped(self.node, f"so {name} cannot handle {type(message).__qualname__}")
        reason = "it has stopped" if cause is None else f"it has failed for good: {describe(cause)}"
        error = AgentStopped(name, type(message).__qualname__, reason)
        error.__cause__ = cause
        return error

    def use(self, kind: type[T]) -> T:
        """Return the provided service of a type. Raises `ServiceMissing`."""
        return self.provided.use(kind)

    def after_fork_in_child(self) -> None:
        """Become a stopped copy in a forked process, without threads. The locks are replaced: their holders do not exist."""
        self._lock = new_lock(Rank.RECORDS)
        self.provided.after_fork_in_child()
        self.stopping = self.spawning.closed = True
        self.timers.after_fork_in_child()
        self.dead_letters.after_fork_in_child()
        for cell in self.registry.after_fork_in_child():
            cell.life.phase = Phase.STOPPED
            cell.mailbox.after_fork_in_child()

    @property
    def refused(self) -> int:
        """Messages that no mailbox took."""
        # An increment is one step without a lock, for a finalizer may interrupt it; its repr is how a count is read.
        return int(repr(self._refusals)[len("count(") : -1])

    def _read_reference(self, text: str) -> AgentRef:
        return self.reference(Address.parse(text))
