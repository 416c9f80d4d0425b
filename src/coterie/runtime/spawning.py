"""The start of agents: one, or many in one call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from coterie.concurrency import Rank, new_lock
from coterie.concurrency.collections import RareCollections
from coterie.concurrency.frames import refuse_if_interrupted
from coterie.errors import DefinitionError, RuntimeStopped, SpawnError
from coterie.kernel import Address, Codec, Countdown
from coterie.messaging import MailboxPolicy
from coterie.runtime.cells.cell import AgentCell
from coterie.runtime.cells.cell_services import CellServices
from coterie.runtime.cells.supervision_group import SupervisionGroup
from coterie.runtime.definition.agent import Agent
from coterie.runtime.definition.arguments import arguments_of_each
from coterie.runtime.definition.context_owner import SpawnOptions
from coterie.runtime.definition.spec import AgentSpec, check_options
from coterie.runtime.definition.supervision import Supervision
from coterie.runtime.dispatchers.base import Dispatcher
from coterie.runtime.references.reference import AgentRef
from coterie.runtime.registry import Registry

C = TypeVar("C", bound=AgentCell)

_TOGETHER = 256
"""Agents that are added to the tables in one step."""


class SpawningServices(CellServices[AgentCell], Protocol):
    """The parts of a runtime that starting agents needs."""

    @property
    def codec(self) -> Codec:
        """The codec, which learns the messages of new classes."""
        ...

    @property
    def registry(self) -> Registry:
        """The registry of the agents."""
        ...

    @property
    def dispatcher(self) -> Dispatcher:
        """The default dispatcher."""
        ...

    @property
    def mailbox(self) -> MailboxPolicy:
        """The default policy of mailboxes."""
        ...

    @property
    def supervision_group(self) -> SupervisionGroup:
        """The agents without a parent."""
        ...

    @property
    def stopping(self) -> bool:
        """True once messages from outside are refused."""
        ...


class Spawning:
    """Starts the agents of one runtime. Safe from any thread: `_lock` guards the groups of children."""

    def __init__(self, services: SpawningServices) -> None:
        self._services = services
        self._lock = new_lock(Rank.RECORDS)
        self._starting: dict[object, None] = {}
        self.closed = False
        """True once no agent is started any more."""

    def spawn(
        self,
        kind: type[Agent],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: SpawnOptions,
        parent: AgentCell | None,
    ) -> AgentRef:
        """Start an agent; see `Runtime.spawn`."""
        refuse_if_interrupted("spawn")
        name, services = options.name, self._services
        check_options("spawn", options.dispatcher, options.supervision, options.mailbox)
        if self.closed or (services.stopping and parent is None):
            raise self._refusal()
        if name is not None and not Address.is_name(name):
            raise DefinitionError(f"name={name!r}", "it cannot name an agent", "use text without '#' and control characters")
        spec = AgentSpec(kind, args, kwargs, options.dispatcher or services.dispatcher, options.supervision)
        self._show_to_codec(spec)
        starting = object()
        self._starting[starting] = None
        try:
            # The stop sets `closed` before it looks for those that are starting: one of the two always sees the other.
            if self._is_closed():
                raise self._refusal()
            return self._start(spec, name, parent, options.mailbox, AgentCell).reference
        finally:
            del self._starting[starting]

    def spawn_many(self, kind: type[Agent], each: Any, options: SpawnOptions) -> list[AgentRef]:
        """Start many agents; see `Runtime.spawn_many`."""
        refuse_if_interrupted("spawn_many")
        services = self._services
        check_options("spawn_many", options.dispatcher, options.supervision, options.mailbox)
        dispatcher = options.dispatcher or services.dispatcher
        arguments = arguments_of_each("spawn_many.each", each)
        started: list[AgentCell] = []
        with RareCollections():
            specs = list(_specs(kind, arguments, dispatcher, options.supervision))
            try:
                for begin in range(0, len(specs), _TOGETHER):
                    starting = object()
                    self._starting[starting] = None
                    try:
                        if self._is_closed() or services.stopping:
                            raise self._refusal()
                        self._show_to_codec(specs[0])
                        self._start_together(specs[begin : begin + _TOGETHER], options.mailbox or services.mailbox, started)
                    finally:
                        del self._starting[starting]
            except BaseException:
                for cell in started:
                    cell.stop(drain=False)
                raise
        return [cell.reference for cell in started]

    def start(self, spec: AgentSpec, name: str, mailbox: MailboxPolicy | None, make: Callable[..., C]) -> C:
        """Start an agent whose cell `make` makes from what `AgentCell` takes. Raises `RuntimeStopped`, `SpawnError`."""
        starting = object()
        self._starting[starting] = None
        try:
            if self._is_closed():
                raise RuntimeStopped(self._services.node, "activates no more agents")
            return self._start(spec, name, None, mailbox, make)
        finally:
            del self._starting[starting]

    def close(self, countdown: Countdown) -> None:
        """Start no more agents, and wait for those that other threads are starting: microseconds, if these get a processor."""
        self.closed = True
        pause = threading.Event()
        while self._starting and not countdown.over:
            pause.wait(0.001)

    def _is_closed(self) -> bool:
        return self.closed

    def _refusal(self) -> RuntimeStopped:
        return RuntimeStopped(self._services.node, "starts no more agents")

    def _start(
        self,
        spec: AgentSpec,
        name: str | None,
        parent: AgentCell | None,
        mailbox: MailboxPolicy | None,
        make: Callable[..., C],
    ) -> C:
        services = self._services
        default = spec.kind.__name__.lower()
        if parent is None:
            name, number = services.registry.reserve(name, default)
        else:
            name, number = services.registry.reserve(name, f"{parent.name}/{default}", parent.address.number)
        group = services.supervision_group if parent is None else self._children_of(parent)
        try:
            cell = make(services, Address(services.node, name, number), spec, group, mailbox or services.mailbox)
            self._enter(group, cell)
            cell.executor.wake()
            if self.closed or (parent is not None and parent.life.ended):
                # Its parent, or the stop of the runtime, may have looked before this one was added: one always sees the other.
                cell.stop(drain=False)
        except BaseException as error:
            self._withdraw(group, name, number)
            if not isinstance(error, RuntimeError):
                raise
            raise _failure(name, error) from error
        return cell

    def _start_together(self, specs: list[AgentSpec], mailbox: MailboxPolicy, started: list[AgentCell]) -> None:
        """Start agents of one class without a parent, and add each to `started`. If it raises, the rest is not started."""
        services, group = self._services, self._services.supervision_group
        names = services.registry.reserve_many(specs[0].kind.__name__.lower(), len(specs))
        before = len(started)
        try:
            cells = [
                AgentCell(services, Address(services.node, name, number), spec, group, mailbox)
                for spec, (name, number) in zip(specs, names, strict=True)
            ]
            self._enter(group, *cells)
            for cell in cells:
                cell.executor.wake()
                started.append(cell)
        except BaseException as error:
            left = names[len(started) - before :]
            for name, number in left:
                self._withdraw(group, name, number)
            if not isinstance(error, RuntimeError):
                raise
            raise _failure(left[0][0], error) from error
        if self.closed:
            # As above.
            raise self._refusal()

    def _enter(self, group: SupervisionGroup, *cells: AgentCell) -> None:
        """Enter agents in the tables, ready to be built in their first turn."""
        services = self._services
        for cell in cells:
            cell.prepare()
        services.registry.add(*cells)
        for topic in cells[0].spec.kind.subscribes_to:
            for cell in cells:
                services.registry.subscribe(topic, cell)
        group.add(*cells)
        if services.stopping:
            for cell in cells:
                cell.mailbox.refuse_outsiders()

    def _withdraw(self, group: SupervisionGroup, name: str, number: int) -> None:
        self._services.registry.withdraw(name, number)
        group.remove(number)

    def _children_of(self, parent: AgentCell) -> SupervisionGroup:
        with self._lock:
            if parent.children is None:
                parent.children = SupervisionGroup(parent.spec.kind.supervision or Supervision(), parent)
            return parent.children

    def _show_to_codec(self, spec: AgentSpec) -> None:
        services = self._services
        if services.handler_tables.of(spec.kind) is None:
            for kind in spec.handlers:
                services.codec.register(kind)
            services.handler_tables.add(spec.kind)


def _failure(name: str, error: RuntimeError) -> SpawnError:
    return SpawnError(f"{name} cannot start: {error}; stop agents, or use the dispatcher Leased")


def _specs(
    kind: type[Agent], each: list[tuple[Any, ...]], dispatcher: Dispatcher, supervision: Supervision | None
) -> Iterator[AgentSpec]:
    """Yield the specification of each agent. Those without arguments and context variables share one, which never changes."""
    bare: AgentSpec | None = None
    for args in each:
        if args or bare is None:
            spec = AgentSpec(kind, args, {}, dispatcher, supervision)
            if not args and spec.variables is None:
                bare = spec
            yield spec
        else:
            yield bare


class SpawningParts(Protocol):
    """The parts of a runtime, as far as it starts agents."""

    @property
    def spawning(self) -> Spawning:
        """Starts the agents."""
        ...


class SpawningRuntime:
    """The calls of a `Runtime` that start agents. Safe from any thread."""

    _services: SpawningParts

    def spawn(
        self,
        agent: type[Agent],
        *args: Any,
        name: str | None = None,
        dispatcher: Dispatcher | None = None,
        supervision: Supervision | None = None,
        mailbox: MailboxPolicy | None = None,
        **kwargs: Any,
    ) -> AgentRef:
        """Start an agent and return its reference at once; its constructor runs on its own thread.

        `args` and the other `kwargs` go to the constructor. They are copied, so that a rebuilt agent starts as the first did and
        shares no data with the caller; functions, mocks, and objects that cannot be copied, such as a lock or a queue, are passed
        unchanged. Locks and queues of asyncio, which serve one event loop, are refused. `name` must be unique among the living
        agents; the default is the class's name in lower case, and a number.

        A constructor that raises ends the agent: asks then end with `AgentStopped`, whose cause is the error, and watchers get
        `AgentDown`. Raises `NameTaken`, `DefinitionError` for a value that is not an agent class, `SpawnError` if the system has
        no thread left, and `RuntimeStopped`.
        """
        return self._services.spawning.spawn(agent, args, kwargs, SpawnOptions(name, dispatcher, supervision, mailbox), None)

    def spawn_many(
        self,
        agent: type[Agent],
        each: Iterable[Sequence[Any]] | int,
        *,
        dispatcher: Dispatcher | None = None,
        supervision: Supervision | None = None,
        mailbox: MailboxPolicy | None = None,
    ) -> list[AgentRef]:
        """Start many agents of one class, and return their references in order: one for each sequence of arguments in `each`.

        A number starts so many without arguments. It takes about half of the time of as many calls of `spawn`. If one cannot be
        started, those before it are stopped. Ctrl-C takes effect at the end of the call. Raises the errors of `spawn`, and
        `InvalidSetting`.

        During the call the interpreter makes full collections of garbage rarely, in the whole process, because each would look at
        all agents again; those of young objects go on.
        """
        return self._services.spawning.spawn_many(agent, each, SpawnOptions(None, dispatcher, supervision, mailbox))
