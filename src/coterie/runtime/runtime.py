"""The runtime: the public class that starts, finds, observes and stops agents."""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Iterable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, cast, runtime_checkable

from coterie.concurrency import Signal, Thread, ends_in_order, start_thread
from coterie.concurrency.frames import calls_out, interrupted
from coterie.concurrency.threads import defer
from coterie.errors import InvalidMessage
from coterie.kernel import Address, Clock, check_number, clock_or_system
from coterie.messaging import MailboxPolicy, Message, MessagePriority, Transport
from coterie.messaging.dead_letters import DeadLetters
from coterie.runtime.cells.cell import AgentCell
from coterie.runtime.cells.metrics import AgentMetrics, RuntimeMetrics
from coterie.runtime.definition.spec import check_options
from coterie.runtime.definition.supervision import Supervision
from coterie.runtime.dispatchers import Dispatcher, Leased
from coterie.runtime.entities.durable_runtime import DurableRuntime, open_durable
from coterie.runtime.entities.policy import DurablePolicy
from coterie.runtime.observation import inspection
from coterie.runtime.observation.health import AgentHealth
from coterie.runtime.observation.inspection import Inspection
from coterie.runtime.process import ProcessHooks
from coterie.runtime.references.invocation import CURRENT
from coterie.runtime.references.publication import Publication, post_to_all
from coterie.runtime.references.reference import AgentRef
from coterie.runtime.services import Services
from coterie.runtime.shutdown import Shutdown, StopReport, describe_loss, log_remaining
from coterie.runtime.spawning import SpawningRuntime
from coterie.storage import Database

T = TypeVar("T")

_QUIET_STOP = 2.0
"""Seconds that a stop may take before the log names the agents it waits for."""


@runtime_checkable
class Provided(Protocol):
    """A service with a method that is called with its runtime."""

    def provided(self, runtime: Runtime) -> None:
        """Handle that this was given to `runtime`. Called on the thread that called `provide`."""
        ...


class Runtime(SpawningRuntime, DurableRuntime):
    """Runs agents.

    ::

        with Runtime() as runtime:
            counter = runtime.spawn(Counter, 10, name="counter")

    It runs from its construction on. The end of the ``with`` block, or of the ``async with`` block, stops it: drained after a
    normal end, at once after an exception. A forked child of the process has a stopped copy of it, because threads are not
    inherited. Several runtimes may run in one process; they share only the interpreter. All methods may be called from any
    thread.

    `name` begins the name of the node and of its threads; the node adds a random part, so that its name is new with every
    start. `dispatcher`, `supervision` and `mailbox` are the defaults of `spawn`. `transport` connects to other nodes. With
    `strict` every message and every answer goes through the codec, and over the transport if there is one, as if all agents
    were on other nodes.

    Times are in seconds: `link_patience`, the wait of a frame from another node for earlier frames; `node_timeout`, the silence
    after which another node is lost; `ask_timeout`, the default of asks (None: no limit); `stall_after`, the time for which an
    agent may hold its thread; `switch_interval`, to which the interpreter's own is lowered while the runtime runs;
    `stop_timeout`, the default of `stop`. Raises `InvalidSetting`.

    `store` keeps durable agents (see `entity`): a path, an address of `coterie.storage`, or an open database, which stays
    open. `durable` is their policy.

    `context` names the context variables whose values go with messages that leave the process; each is known by its name there,
    and its values are plain data. The trace context (`coterie.telemetry.traceparent`, or OpenTelemetry's) always goes along.
    """

    _stopping = True
    """True until it has been constructed, and once it has begun to stop."""
    _services: Services

    def __init__(
        self,
        name: str = "coterie",
        *,
        dispatcher: Dispatcher | None = None,
        supervision: Supervision | None = None,
        mailbox: MailboxPolicy | None = None,
        clock: Clock | None = None,
        transport: Transport | None = None,
        strict: bool = False,
        link_patience: float = 0.05,
        node_timeout: float = 10.0,
        ask_timeout: float | None = 30.0,
        stall_after: float = 5.0,
        switch_interval: float = 0.0005,
        stop_timeout: float = 10.0,
        dead_letters: int = 1_000,
        store: str | os.PathLike[str] | Database | None = None,
        durable: DurablePolicy | None = None,
        context: Iterable[ContextVar[Any]] = (),
    ) -> None:
        Address.parse(f"coterie://{(node := f'{name}-{secrets.token_hex(4)}')}/probe")
        check_options("Runtime", dispatcher, supervision, mailbox)
        check_number("Runtime.link_patience", link_patience)
        check_number("Runtime.ask_timeout", ask_timeout, optional=True)
        for what, time in ("node_timeout", node_timeout), ("stall_after", stall_after), ("switch_interval", switch_interval):
            check_number(f"Runtime.{what}", time, above=0)
        check_number("Runtime.stop_timeout", stop_timeout)
        check_number("Runtime.dead_letters", dead_letters, whole=True)
        self.name, self.stop_timeout = name, stop_timeout
        self._services = Services(
            self,
            node,
            dispatcher=dispatcher if dispatcher is not None else Leased(),
            supervision=supervision if supervision is not None else Supervision(),
            mailbox=mailbox if mailbox is not None else MailboxPolicy(),
            clock=clock_or_system("Runtime.clock", clock),
            transport=transport,
            strict=strict,
            link_patience=link_patience,
            node_timeout=node_timeout,
            ask_timeout=ask_timeout,
            stall_after=stall_after,
            dead_letters=dead_letters,
            context=context,
        )
        self._services.durable = open_durable(self._services, store, durable)
        self._stops = itertools.count()  # the first to take a number stops; `_stopped` is set when that is done
        self._stopping = False
        self._stopped = Signal()
        self._stopper: Thread | None = None
        self._report = StopReport(drained=False, stuck=())
        self._hooks = ProcessHooks(self, switch_interval)
        self._hooks.install()

    def __del__(self) -> None:
        if not self._stopping:
            self._hooks.owner_unused(self, lambda: self._begin_to_stop(drain=True, timeout=self.stop_timeout), self._stopped)

    def __repr__(self) -> str:
        return f"<Runtime {self.node}>"

    _repr_html_ = inspection.display

    # Agents.

    def find(self, name: str) -> AgentRef | None:
        """Return the living agent of that name, or None."""
        cell = self._services.registry.find(name)
        return cell.reference if cell is not None else None

    def agents(self) -> list[AgentRef]:
        """Return the living agents, oldest first."""
        return [cell.reference for cell in self._services.registry.cells()]

    def reference(self, address: Address | str) -> AgentRef:
        """Return a reference to the agent at an address, on any node. It need not exist. Raises `InvalidAddress`."""
        return self._services.reference(Address.parse(address) if isinstance(address, str) else address)

    # Messages.

    def publish(self, topic: str, message: Message) -> Publication:
        """Send a message to the agents that have subscribed to a topic, and return their number in this runtime.

        A transport that knows its nodes takes it to those too. Never blocks: at a full mailbox whose policy is to wait, the
        message waits in the background. Raises `InvalidMessage`, and `EncodeFailed` as `AgentRef.tell` does.
        """
        return self._services.publish(topic, message, self._current())

    def broadcast(self, message: Message) -> Publication:
        """Send a message to all living agents but the calling one, as `publish` does, and return their number here."""
        if not isinstance(message, Message):
            raise InvalidMessage(message, "all agents")
        sender = self._current()
        agents = [agent for agent in self.agents() if agent != sender]
        post_to_all(self._services.elsewhere(None), sender, message, MessagePriority.NORMAL)
        return post_to_all(agents, sender, message, MessagePriority.NORMAL)

    @property
    def dead_letters(self) -> DeadLetters:
        """The latest messages without a handler, oldest first, each with its reason. Readable after the stop too."""
        return self._services.dead_letters

    # Services.

    @calls_out
    def provide(self, service: T, kind: type[T] | None = None) -> T:
        """Make a service available to agents by ``context.use(kind)``, and return it. `kind` is by default its class.

        All agents share it, so it must be thread-safe. If it has a method `provided`, that is called with the runtime.
        """
        self._services.provided.add(service, kind if kind is not None else type(service))
        if isinstance(service, Provided):
            service.provided(self)
        return service

    @property
    def current(self) -> AgentRef | None:
        """The agent of this runtime whose code reads this property; None outside of agents."""
        return self._current()

    @property
    def node(self) -> str:
        """The name of this runtime among nodes, new with every start."""
        return self._services.node

    @property
    def clock(self) -> Clock:
        """The clock of the runtime's times."""
        return self._services.clock

    # Watching.

    def health(self) -> dict[str, AgentHealth]:
        """Return the health of agents by name: the living ones, and those that failed for good and were not replaced."""
        examine = self._services.health.examine
        failed = {health.name: health for health in self._services.registry.failures()}
        return failed | {cell.name: examine(cell) for cell in self._services.registry.cells()}

    def metrics(self) -> RuntimeMetrics:
        """Return the counts of messages, in total and by agent."""
        services = self._services
        totals, cells = services.registry.counts()
        agents = {cell.name: cell.outcomes.metrics() for cell in cells}
        for each in agents.values():
            totals = totals.plus(each)
        refused = services.refused
        statistics = services.node_link.link.statistics
        return RuntimeMetrics(
            totals=totals.plus(AgentMetrics(sent=refused, dead=refused)),
            agents=agents,
            spawned=services.registry.spawned,
            threads=sum(scheduler.threads for scheduler in services.schedulers())
            + services.blocking.threads
            + services.timers.threads,
            dead_letters={reason.name.lower(): count for reason, count in services.dead_letters.counts.items()},
            link={name: getattr(statistics, name) for name in statistics.__slots__},
            durable_active=services.durable.active if services.durable is not None else 0,
        )

    def pause(self, agent: AgentRef | str, timeout: float | None = 5.0) -> bool:
        """Pause an agent, and wait until its current message has ended. Return whether it has.

        After `timeout` seconds it returns False; the agent then pauses when the message has ended. Messages queue meanwhile.
        Raises `UnknownAgent`.
        """
        return inspection.pause(self._services.registry.resolve(agent, self.node)).wait(timeout)

    def metrics_of(self, agent: AgentRef | str) -> AgentMetrics:
        """Return the counts of one agent. Raises `UnknownAgent`."""
        return self._services.registry.resolve(agent, self.node).outcomes.metrics()

    def restart(self, agent: AgentRef | str) -> None:
        """Fail an agent as if a handler had raised, so that its supervision restarts it. Raises `UnknownAgent`."""
        inspection.restart(self._services.registry.resolve(agent, self.node))

    def resume(self, agent: AgentRef | str) -> None:
        """Resume a paused agent. Raises `UnknownAgent`."""
        inspection.resume(self._services.registry.resolve(agent, self.node))

    def inspect(self, agent: AgentRef | str, timeout: float = 1.0) -> Inspection:
        """Return the inner state of an agent: attributes, queue, current messages, and its stack if it is on a thread.

        The attributes are read on the agent's own thread; they are missing if that is not free within `timeout` seconds.
        Raises `UnknownAgent`.
        """
        return inspection.inspect(self._services.registry.resolve(agent, self.node), self._services.health.examine, timeout)

    # The end.

    def stop(self, *, drain: bool = True, timeout: float | None = None) -> StopReport | None:
        """Stop all agents, children before parents, end all threads, and return a report.

        From now on the runtime accepts no messages from outside. With `drain`, agents first handle the queued messages and the
        messages that follow from them, for at most `timeout` seconds (by default `stop_timeout` of the runtime); without, handlers
        are cancelled at their next await. Remaining messages become dead letters. An agent whose thread is stuck in user code is
        logged with its stack, and abandoned. Raises `InvalidSetting` for an invalid timeout.

        Safe to call twice: the second call waits for the first, also if that was interrupted, because the stop runs on a thread
        of its own. In an agent of this runtime it only begins the stop and returns None, because that agent must stop too. The
        same holds in a signal handler or a finalizer that interrupted a step of the runtime.
        """
        check_number("stop.timeout", timeout, optional=True)
        limit = self.stop_timeout if timeout is None else timeout
        if interrupted():
            defer(lambda: self._begin_to_stop(drain=drain, timeout=limit))
            return None
        self._begin_to_stop(drain=drain, timeout=limit)
        if self._current() is not None:
            return None
        if not self._stopped.wait(_QUIET_STOP):
            log_remaining(self.node, [cell.name for cell in self._services.registry.cells()])
            self._stopped.wait()
        return self._end_of_stop()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the runtime has stopped, or `timeout` seconds have passed; return whether it has."""
        return self._stopped.wait(timeout)

    def _begin_to_stop(self, *, drain: bool, timeout: float) -> None:
        self._stopping = True
        if next(self._stops):
            return

        def run() -> None:
            try:
                services = self._services
                shutdown = Shutdown(services.registry.cells, services.supervision_group, services.clock, services)
                self._report = shutdown.run(drain=drain, timeout=timeout)
            finally:
                self._hooks.uninstall()
                self._stopped.set()

        try:
            self._stopper = start_thread(run, f"{self.node}-stop")
        except RuntimeError:
            # The system has no thread left, or the interpreter is ending: the stop runs on this thread.
            run()

    def _end_of_stop(self) -> StopReport:
        """Clean up after a stop, and return its report."""
        if self._stopper is not None:
            self._stopper.join()
        self._hooks.let_go_of_interrupts()
        return self._report

    def stop_at_exit(self) -> str | None:
        """Stop at the end of the program; return the loss as text, or None. An interrupted stop is not waited for again."""
        if self._stopping:
            return None
        before = self.metrics().totals
        self.stop()
        return describe_loss(f"{self.node}, within {self.stop_timeout:g} s", before, self.metrics().totals, self._report)

    def after_fork_in_child(self) -> None:
        """Become a stopped copy in a forked process, which inherits no threads."""
        self._stopped = Signal()
        self._stopped.set()
        self._stops = itertools.count(1)
        self._stopping = True
        self._stopper = None
        self._services.after_fork_in_child()

    def _current(self) -> AgentRef | None:
        """Return the agent of this runtime whose code calls this, or None."""
        invocation = CURRENT.get()
        if invocation is None or cast("AgentCell", invocation.cell).address.node != self.node:
            return None
        return cast("AgentRef", invocation.cell.reference)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.stop(drain=ends_in_order(kind))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._begin_to_stop(drain=ends_in_order(kind), timeout=self.stop_timeout)
        # The agents may need this loop to finish.
        await self._services.loops.future(self._stopped)
        self._end_of_stop()

    def __deepcopy__(self, memo: object) -> Runtime:
        return self
