"""Agents, and the context of an agent: the class that users subclass, and its access to the runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import copy_context
from typing import Any, ClassVar, ParamSpec, Protocol, TypeVar

from coterie.errors import DefinitionError, NotInAgent
from coterie.kernel import Address, Clock
from coterie.messaging import MailboxPolicy, Message, MessagePriority
from coterie.messaging.dead_letters import DeadLetters
from coterie.messaging.envelope import Envelope
from coterie.runtime.definition.context_owner import ContextOwner, LiveAgent, SpawnOptions
from coterie.runtime.definition.durable_context import DurableContext
from coterie.runtime.definition.handlers import Handler, UnresolvedType, check_handlers, handlers_of
from coterie.runtime.definition.supervision import Supervision
from coterie.runtime.dispatchers.base import Dispatcher
from coterie.runtime.references.agent_timer import AgentTimer, Rhythm
from coterie.runtime.references.invocation import CURRENT, Invocation
from coterie.runtime.references.logs import AgentLog
from coterie.runtime.references.publication import Publication
from coterie.runtime.references.reference import AgentRef, unwatch, watch

P = ParamSpec("P")
T = TypeVar("T")


class Agent:
    """The base of all agents: state, and handlers for messages, all on a thread of its own.

    ::

        class Counter(Agent):
            def __init__(self, start: int = 0) -> None:
                self.count = start

            @on
            def add(self, message: Add) -> int:
                self.count += message.amount
                return self.count

    The constructor, the hooks and the handlers run on the agent's thread, one at a time: the agent's own state needs no
    lock. A handler may be ``def`` or ``async def``, and so may the hooks `on_start`, `on_stop` and
    `on_failure`. A synchronous handler runs outside of the agent's event loop, and may block: that delays only
    the agent itself.

    A handler that raises fails its agent, which is then rebuilt from its spawn arguments (see `Supervision`) and keeps
    its address and its mailbox. To keep state too, define both::

        def snapshot(self) -> object: ...
        def restore(self, state) -> None: ...

    `snapshot` is called after every handled message and returns plain data, which is copied; a rebuilt agent gets the
    latest by `restore`, after its constructor and before `on_start`.
    """

    supervision: ClassVar[Supervision | None] = None
    """How the agent's children are supervised, unless they are spawned with a policy of their own."""
    subscribes_to: ClassVar[Sequence[str]] = ()
    """Topics that its agents are subscribed to from their spawn on. One that subscribes in `on_start` misses earlier ones."""
    records_spans: ClassVar[bool] = True
    """Whether each handled message is a span while a `Tracing` is open."""
    stored_name: ClassVar[str] = ""
    """The name under which durable agents of the class are stored; the name of the class unless set."""
    state_version: ClassVar[int] = 1
    """The version of the state that `snapshot` returns. `upgrade(old_version, state)` turns an older one into this."""

    _coterie_context: Context | None = None
    __coterie_handlers__: ClassVar[Mapping[type[Message], Handler] | None] = {}
    __coterie_facts__: ClassVar[tuple[Mapping[type[Message], Handler], Mapping[type[Message], Any], bool]]
    """What `AgentSpec` has found out about the class. Each class has its own, from its first spawn on."""
    __coterie_checked__: ClassVar[bool] = True
    """Whether the answers of all handlers have been checked."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        where = f"{cls.__module__}.{cls.__qualname__}"
        if hasattr(cls, "snapshot") is not hasattr(cls, "restore"):
            raise DefinitionError(where, "it has only one of snapshot and restore", "define both or neither")
        if cls.supervision is not None and not isinstance(cls.supervision, Supervision):
            raise DefinitionError(where, f"supervision = {cls.supervision!r}", "set it to a Supervision")
        topics = cls.subscribes_to
        if not isinstance(topics, tuple | list) or not all(isinstance(topic, str) for topic in topics):
            raise DefinitionError(where, f"subscribes_to = {topics!r}", 'give names of topics, such as ("news",)')
        try:
            cls.__coterie_handlers__ = handlers_of(cls)
            cls.__coterie_checked__ = check_handlers(cls.__coterie_handlers__)
        except UnresolvedType:
            # A message class may be defined further down. `spawn` tries again.
            cls.__coterie_handlers__ = None
            cls.__coterie_checked__ = False

    @classmethod
    def __coterie_table__(cls) -> Mapping[type[Message], Handler]:
        """Return the handlers of the class by message type. Raises `DefinitionError`."""
        if cls.__coterie_handlers__ is None:
            cls.__coterie_handlers__ = handlers_of(cls)
        if not cls.__coterie_checked__:
            cls.__coterie_checked__ = True
            try:
                check_handlers(cls.__coterie_handlers__)
            except DefinitionError:
                cls.__coterie_checked__ = False
                raise
        return cls.__coterie_handlers__

    @property
    def context(self) -> Context:
        """The agent's access to its runtime: its reference, sender, children, timers, topics and tasks.

        Raises `NotInAgent` on an instance that was not spawned.
        """
        context = self._coterie_context
        if context is None:
            raise NotInAgent(f"the context of {type(self).__qualname__}")
        return context

    def on_start(self) -> Awaitable[None] | None:
        """Prepare this incarnation before its first message. May be ``async``. If it raises, the agent has failed."""
        return None

    def on_stop(self) -> Awaitable[None] | None:
        """Clean up after the last message of this incarnation, after a stop or a failure. May be ``async``; returns nothing."""
        return None

    def on_failure(self, error: BaseException) -> Awaitable[None] | None:  # noqa: ARG002 - for overriding
        """Handle the error that ended this incarnation, before `on_stop`. May be ``async``. Its own exception is only logged."""
        return None


class AgentRuntime(Protocol):
    """The runtime of an agent, as `Context.runtime` gives it: a `Runtime`."""

    @property
    def name(self) -> str:
        """The name that the runtime was given."""
        ...

    @property
    def node(self) -> str:
        """The name of the runtime among nodes."""
        ...

    @property
    def clock(self) -> Clock:
        """The clock of the runtime."""
        ...

    def health(self) -> Mapping[str, object]:
        """Return the health of each agent, by name; see `Runtime.health`."""
        ...

    @property
    def current(self) -> AgentRef | None:
        """The agent of this runtime whose code calls this."""
        ...

    @property
    def dead_letters(self) -> DeadLetters:
        """The latest messages that no handler got."""
        ...

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
        """Start an agent without a parent; see `Runtime.spawn`."""
        ...

    def entity(self, agent: type[Agent], key: str) -> AgentRef:
        """Return a reference to a durable agent; see `Runtime.entity`."""
        ...

    def find(self, name: str) -> AgentRef | None:
        """Return the living agent of a name, or None."""
        ...

    def agents(self) -> list[AgentRef]:
        """Return the living agents, oldest first."""
        ...

    def reference(self, address: Address | str) -> AgentRef:
        """Return a reference to an address; see `Runtime.reference`."""
        ...

    def publish(self, topic: str, message: Message) -> Publication:
        """Send a message to the subscribers of a topic; see `Runtime.publish`."""
        ...

    def broadcast(self, message: Message) -> Publication:
        """Send a message to all living agents but the caller; see `Runtime.broadcast`."""
        ...

    def stop(self, *, drain: bool = True, timeout: float | None = None) -> object:
        """Begin to stop the runtime; see `Runtime.stop`."""
        ...


class Context(DurableContext):
    """An agent's access to its runtime, as `self.context`. Only for the agent's thread, unless a method says otherwise."""

    __slots__ = ("_cell",)

    def __init__(self, cell: ContextOwner) -> None:
        self._cell: ContextOwner = cell

    @property
    def self_ref(self) -> AgentRef:
        """The agent's own reference, to send to others."""
        return self._cell.reference

    @property
    def sender(self) -> AgentRef | None:
        """The sender of the current message; None if that is not an agent, and in hooks and background tasks."""
        envelope = self._in_hand(CURRENT.get())
        sender: Any = envelope.sender if envelope is not None else None
        return sender  # type: ignore[no-any-return] # only references are ever put there

    @property
    def deadline(self) -> float | None:
        """The time, on `runtime.clock.monotonic()`, after which the current message has expired; None without a limit.

        It is the end of the asker's timeout, or of the message's `ttl`. From any thread.
        """
        envelope = self._in_hand(CURRENT.get())
        return envelope.deadline if envelope is not None else None

    @property
    def cancelled(self) -> bool:
        """True if the current work has become useless: the ask has ended, its time is over, or the agent must end at once.

        An ``async`` handler is cancelled then. A ``def`` handler or hook that takes long, or a function that it gave to
        `run_blocking`, should look at this now and then, and return. From any thread.
        """
        if self._cell.ending:
            return True
        envelope = self._in_hand(CURRENT.get())
        if envelope is None:
            return False
        overdue = envelope.deadline is not None and envelope.deadline <= self._cell.services.clock.monotonic()
        return overdue or (envelope.reply is not None and envelope.reply.done)

    @property
    def stopping(self) -> bool:
        """True once the agent, or its runtime, has begun to stop: then send no further messages to itself. From any thread."""
        return self._cell.stopping

    @property
    def runtime(self) -> AgentRuntime:
        """The runtime that the agent lives in."""
        runtime: AgentRuntime = self._cell.services.runtime
        return runtime

    @property
    def log(self) -> AgentLog:
        """A log whose entries carry the agent's name. From any thread."""
        return self._cell.log

    def stash(self) -> None:
        """Postpone the current message until `unstash_all`. It keeps its sender, its asker and its deadline.

        The handler then returns, and its result is ignored. A rebuilt agent gets its postponed messages again. At the end of the
        agent they become dead letters. Raises `MailboxFull` if the postponed messages reach the capacity of the mailbox, and
        `NotInAgent` without a current message.
        """
        invocation = CURRENT.get()
        self._cell.stash.add(invocation if self._in_hand(invocation) is not None else None)

    def unstash_all(self) -> None:
        """Put the postponed messages back into the mailbox, in their order and before all others."""
        self._cell.stash.put_back()

    def use(self, service: type[T]) -> T:
        """Return the service that was given to `runtime.provide` under this type, or a subclass of it. From any thread.

        Raises `ServiceMissing`.
        """
        return self._cell.services.use(service)

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
        """Start an agent as a child of this one, and return its reference; see `Runtime.spawn`.

        A child stops before its parent does, and whenever its parent fails; a rebuilt parent spawns its children anew.
        Without a name it gets its parent's, its class's and a number.
        """
        return self._cell.spawn_child(agent, args, kwargs, SpawnOptions(name, dispatcher, supervision, mailbox))

    def watch(self, agent: AgentRef) -> None:
        """Subscribe to `AgentRestarted` and `AgentDown` of an agent; the latter comes at once if it has ended."""
        watch(agent, self._cell.reference)

    def unwatch(self, agent: AgentRef) -> None:
        """Stop watching an agent."""
        unwatch(agent, self._cell.reference)

    def after(self, seconds: float, message: Message, *, priority: MessagePriority = MessagePriority.NORMAL) -> AgentTimer:
        """Send this agent a message in `seconds` seconds, and return its timer.

        The message is not sent if the timer is cancelled, or if this incarnation of the agent ends before. Raises
        `InvalidSetting` and `InvalidMessage`.
        """
        return AgentTimer(self._cell, self._incarnation("a timer").timers, message, priority, seconds, repeat=False)

    def every(
        self,
        seconds: float,
        message: Message,
        *,
        priority: MessagePriority = MessagePriority.NORMAL,
        rhythm: Rhythm = "fixed-rate",
    ) -> AgentTimer:
        """Send this agent a message every `seconds` seconds, and return the timer.

        It ends when it is cancelled, or when this incarnation of the agent ends. At most one message waits in the mailbox;
        messages that become due meanwhile are skipped, and counted in the timer's `missed`. With `rhythm="fixed-delay"` the
        seconds count from the end of the handler of the last message. Raises `InvalidSetting` and `InvalidMessage`.
        """
        timers = self._incarnation("a timer").timers
        return AgentTimer(self._cell, timers, message, priority, seconds, repeat=True, rhythm=rhythm)

    def publish(self, topic: str, message: Message) -> Publication:
        """Send a message to the agents that have subscribed to a topic, and return their number."""
        return self._cell.services.publish(topic, message, self._cell.reference)

    def subscribe(self, topic: str) -> None:
        """Subscribe to the messages of a topic, until the agent ends."""
        self._cell.subscribe(topic)

    def unsubscribe(self, topic: str) -> None:
        """Unsubscribe from a topic."""
        self._cell.unsubscribe(topic)

    def create_task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine on the agent's loop beside its handlers, and return its task.

                It is cancelled when this incarnation of the agent ends. A task that raises fails the agent as a handler does, with the
        same exceptions: errors of asks, and those that the handler which makes the task declares with `raises`, are only
        logged. Asks and awaits of a task delay no handler.
        """
        try:
            incarnation = self._incarnation("a task")
        except NotInAgent:
            work.close()
            raise
        return incarnation.create_task(work)

    def run_blocking(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """Call a blocking function on a thread of the runtime's pool, and return an awaitable of its result or exception.

        The pool starts threads as they are needed. The function must not touch the agent. If the await is cancelled, a
        call that has begun goes on, and its outcome is dropped. Raises `ThreadsHeld` while such calls hold too many threads.
        """
        variables = copy_context()

        def call() -> T:
            try:
                return variables.run(function, *args, **kwargs)
            except StopIteration as error:
                # A future of asyncio cannot carry it, so the await would never end.
                raise RuntimeError("the blocking call raised StopIteration") from error

        # The pool names calls that do not return.
        call.__qualname__ = str(getattr(function, "__qualname__", type(function).__qualname__))
        future = self._cell.services.blocking.submit(call)
        return asyncio.wrap_future(future, loop=self._cell.loop())

    def measure_waits(self) -> Callable[[], float]:
        """Return a function that returns the seconds for which this agent has waited for a thread, counted from the first such call.

        A time limit for the agent's work adds them. The function is safe from any thread.
        """
        return self._cell.executor.measure_waits()

    def _in_hand(self, invocation: Invocation | None) -> Envelope | None:
        if invocation is None or invocation.cell.reference is not self._cell.reference:
            return None
        return invocation.envelope

    def _incarnation(self, what: str) -> LiveAgent:
        incarnation = self._cell.incarnation
        if incarnation is None:
            raise NotInAgent(f"{what} of {self._cell.name}")
        return incarnation
