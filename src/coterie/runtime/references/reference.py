"""References to agents, and the endpoint that a reference sends through."""

from __future__ import annotations

from asyncio import events
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, Protocol, TypeVar

from coterie.concurrency import Completion
from coterie.errors import AskCancelled, CodecError, DeliveryError, InvalidMessage, InvalidSetting, MailboxFull
from coterie.kernel import Address, check_instance, check_number
from coterie.messaging import Message, MessagePriority, Reason, Request, Stream
from coterie.messaging.envelope import DurableDelivery, Envelope, Reference
from coterie.messaging.pending_put import PendingPut
from coterie.runtime.references import mailbox_room
from coterie.runtime.references.invocation import CURRENT, carried
from coterie.runtime.references.local_agent import LocalAgent
from coterie.runtime.references.reference_services import DEFAULT, ReferenceServices, Timeout
from coterie.runtime.references.reply import Addressee, Reply
from coterie.runtime.references.reply_stream import ItemBuffer, ReplyStream

R = TypeVar("R")

_NORMAL = MessagePriority.NORMAL
_FOREVER = float("inf")
_LONGEST_KEY = 256


class Endpoint(Addressee, Protocol):
    """The endpoint that a reference delivers to. Safe from any thread. One for each agent and runtime."""

    @property
    def local(self) -> LocalAgent | None:
        """The agent itself if it lives in this runtime."""
        ...

    @property
    def is_alive(self) -> bool:
        """True until the agent has ended, as far as is known here."""
        ...

    @property
    def is_durable(self) -> bool:
        """True for a durable agent. It stores its changes, and may record its answers."""
        ...

    @property
    def deliver(self) -> Callable[[Envelope], PendingPut | None]:
        """The function that delivers an envelope.

        It never blocks: for a full mailbox whose policy is to wait it returns a `PendingPut`.
        An envelope for an agent that does not exist becomes a dead letter, and the ask it belongs to ends. The function
        raises `MailboxFull`, and `EncodeFailed` for a message that cannot be encoded but must cross a wire.
        """
        ...

    def stop(self, *, drain: bool, kill_after: float | None = None) -> Completion:
        """Begin to stop the agent; give it up if it has not ended `kill_after` seconds later.

        The returned completion is done when the agent has ended.
        """
        ...

    def watch(self, watcher: AgentRef) -> None:
        """Notify `watcher` when the agent is restarted and when it has ended; at once if it has."""
        ...

    def unwatch(self, watcher: AgentRef) -> None:
        """Notify `watcher` no longer."""
        ...


class AgentRef:
    """A reference to one agent, here or on another node.

    Safe from any thread and any event loop, inside of agents and outside; equal to every other reference to the same
    agent; survives encoding. References to an agent stay valid when it is restarted. References to a stopped agent never reach
    a new agent of the same name, which has another address.
    """

    __slots__ = ("_deliver", "_endpoint", "_services", "address", "name")

    def __init__(self, address: Address, services: ReferenceServices, endpoint: Endpoint) -> None:
        self.address: Address = address
        """Where the agent is."""
        self.name: str = address.name
        """Its name, unique among the living agents of its runtime."""
        self._services = services
        self._endpoint = endpoint
        self._deliver = endpoint.deliver

    def tell(self, message: Message, *, priority: MessagePriority = MessagePriority.NORMAL, ttl: float | None = None) -> None:
        """Send a message without waiting for an answer.

        `ttl` is the number of seconds after which the message expires and is not handled any more. A message that
        cannot be delivered, because the agent has stopped, becomes a dead letter.

        Blocks this thread while the mailbox is full, if its policy is to wait, or while too much waits for its node; on an event
        loop use `offer`.
        Raises `MailboxFull` by its policy, `InvalidMessage`, `InvalidSetting`, `EncodeFailed` for a message that must cross a
        wire and cannot be encoded, and `WaitCycle` if only the calling agent could make room.
        """
        if not isinstance(message, Message):
            raise InvalidMessage(message, self.name)
        if priority is not _NORMAL:
            check_instance("priority", priority, MessagePriority, "a MessagePriority")
        invocation = CURRENT.get()
        if invocation is None:
            sender = None
        elif invocation.outbox is None:
            sender = invocation.cell.reference
        else:
            invocation.outbox.tell(self, message, priority, ttl)
            return
        context = copy_context()
        pending = self._deliver(
            Envelope(
                message,
                sender,
                None,
                None if ttl is None else self._deadline("ttl", ttl),
                priority,
                context=context if len(context) > (invocation is not None) else None,
            )
        )
        if pending is not None:
            self._block(pending)

    async def offer(
        self, message: Message, *, priority: MessagePriority = MessagePriority.NORMAL, ttl: float | None = None
    ) -> None:
        """Send a message as `tell` does, but await room in a full mailbox rather than block the thread.

        If the await is cancelled the message is withdrawn, unless the mailbox has it already. Raises the errors of `tell`.
        """
        if not isinstance(message, Message):
            raise InvalidMessage(message, self.name)
        if priority is not _NORMAL:
            check_instance("priority", priority, MessagePriority, "a MessagePriority")
        invocation = CURRENT.get()
        if invocation is not None and invocation.outbox is not None:
            invocation.outbox.tell(self, message, priority, ttl)
            return
        sender = None if invocation is None else invocation.cell.reference
        deadline = None if ttl is None else self._deadline("ttl", ttl)
        envelope = Envelope(message, sender, None, deadline, priority, context=carried())
        pending = self._deliver(envelope)
        if pending is None:
            return
        owner = self._endpoint.local
        if owner is not None:
            await mailbox_room.suspend(self._services, owner, pending)
        else:
            await self._services.loops.future(pending)

    def post(self, message: Message, *, priority: MessagePriority = MessagePriority.NORMAL) -> None:
        """Send a message without blocking: at a full mailbox whose policy is to wait, the message waits in the background.

        A message that cannot be delivered, or is refused, becomes a dead letter. Raises `InvalidMessage`, and `EncodeFailed` as
        `tell` does.
        """
        if not isinstance(message, Message):
            raise InvalidMessage(message, self.name)
        invocation = CURRENT.get()
        if invocation is not None and invocation.outbox is not None:
            invocation.outbox.tell(self, message, priority, None)
            return
        post(self, None if invocation is None else invocation.cell.reference, message, priority)

    def handles(self, kind: type[Message]) -> bool:
        """Return whether the agent has a handler for messages of a type. For another node: whether it may have."""
        local = self._endpoint.local
        return local is None or local.handles(kind)

    def ask(
        self,
        message: Request[R],
        *,
        timeout: Timeout = DEFAULT,
        priority: MessagePriority = MessagePriority.NORMAL,
        idempotency_key: str | None = None,
    ) -> Reply[R]:
        """Send a request and return its reply, which always ends.

        `timeout` is in seconds; the default is that of the runtime (30 s unless set), and None sets no limit. At its end, an
        ``async`` handler that still works on the request is cancelled.

        `idempotency_key` is for durable agents: asked again with the same key, also by another process, they give the
        recorded answer and do nothing.

        Blocks only as `tell` does; on the thread of a running event loop the request waits for room in the background.
        Raises `InvalidMessage`, `InvalidSetting`, and `EncodeFailed` for a request that must cross a wire and cannot be
        encoded; every other failure is an outcome of the reply.

        A `TimeoutError` of `asyncio.timeout` around the await of the reply counts as an error of the ask too; `timeout`
        tells more.
        """
        if not isinstance(message, Message):
            raise InvalidMessage(message, self.name)
        if priority is not _NORMAL:
            check_instance("priority", priority, MessagePriority, "a MessagePriority")
        if isinstance(message, Stream):
            raise InvalidMessage(message, self.name, "send it by stream(), which returns its items")
        services = self._services
        limit = services.ask_timeout if timeout is DEFAULT else timeout
        invocation = CURRENT.get()
        reply: Reply[R] = Reply(services, self._endpoint, limit)
        envelope = Envelope(
            message,
            None if invocation is None else invocation.cell.reference,
            reply,
            None if limit is None else self._deadline("timeout", limit),
            priority,
            context=carried(),
            delivery=None if idempotency_key is None else self._idempotent(idempotency_key),
        )
        reply.expects(envelope)
        try:
            pending = self._deliver(envelope)
            if pending is not None:
                if events._get_running_loop() is None:  # noqa: SLF001 - what asyncio.get_running_loop calls, without its exception
                    self._block(pending)
                else:
                    self._attend(pending, reply)
        except DeliveryError as error:
            reply.fail(error)
        except CodecError as error:
            reply.fail(AskCancelled(self.name, type(message).__qualname__, str(error)))
            raise
        return reply

    def stream(
        self,
        message: Stream[R],
        *,
        timeout: Timeout = DEFAULT,
        within: float | None = None,
        ahead: int = 16,
        priority: MessagePriority = MessagePriority.NORMAL,
    ) -> ReplyStream[R]:
        """Send a request for a stream, and return the stream of its items, which always ends.

        ::

            async for token in agent.stream(Tokens(prompt="...")):
                ...

        `timeout` limits the seconds of each wait for an item; the default is that of asks, None sets no limit. `within` limits
        the whole stream, and is the deadline that the handler sees. At `ahead` unread items the handler is held back.

        Never blocks: at a full mailbox the request waits in the background. Raises `InvalidMessage`, `InvalidSetting` and
        `EncodeFailed` as `ask` does; every other failure ends the stream.
        """
        if not isinstance(message, Stream):
            raise InvalidMessage(message, self.name, "stream() sends an instance of a subclass of Stream")
        check_instance("priority", priority, MessagePriority, "a MessagePriority")
        services = self._services
        limit = services.ask_timeout if timeout is DEFAULT else timeout
        check_number("timeout", limit, optional=True)
        deadline = None if within is None else self._deadline("within", within)
        buffer = ItemBuffer(services, self._endpoint, limit, within, ahead)
        invocation = CURRENT.get()
        sender = None if invocation is None else invocation.cell.reference
        envelope = Envelope(message, sender, buffer, deadline, priority, context=carried())
        buffer.send_request(envelope, self._deliver, self._attend)
        return ReplyStream(buffer)

    def stop(self, *, drain: bool = True) -> Reply[None]:
        """Stop the agent, and return a reply that ends when it has ended.

        Its mailbox closes at once. With `drain` it handles the queued messages; without, its handlers are cancelled at their
        next await, and queued messages become dead letters. Its children stop before it. Stopping twice is harmless.
        """
        return self._stop(self._endpoint.stop(drain=drain))

    def kill(self, *, timeout: float = 1.0) -> Reply[None]:
        """Stop the agent as `stop(drain=False)` does; if it has not ended `timeout` seconds later, go on without it.

        Then its name is free, its watchers get `AgentDown`, and its messages become dead letters, though its thread is stuck in
        its code. That code is not interrupted: if it returns, it finds the agent ended.
        """
        check_number("kill.timeout", timeout)
        return self._stop(self._endpoint.stop(drain=False, kill_after=timeout))

    @property
    def is_alive(self) -> bool:
        """True until the agent has ended. For an agent on another node: as far as is known."""
        return self._endpoint.is_alive

    def _stop(self, ended: Completion) -> Reply[None]:
        """Return a reply that ends when the agent has."""
        services = self._services
        # Another node may never answer; here, ending is only a matter of time.
        limit = None if self._endpoint.local is not None else services.ask_timeout
        reply: Reply[None] = Reply(services, self._endpoint, limit)
        if limit is not None:
            services.timers.call_later(limit, reply.expire)

        def end() -> None:
            error: BaseException | None = getattr(ended, "error", None)
            if error is not None:
                reply.fail(error)
            else:
                reply.succeed(None)

        ended.add_callback(end)
        return reply

    def _idempotent(self, key: Any) -> DurableDelivery:
        if not self._endpoint.is_durable:
            raise InvalidSetting(
                "ask.idempotency_key", key, f"None, since {self.name} is not a durable agent and records no answers"
            )
        if not isinstance(key, str) or not 0 < len(key) <= _LONGEST_KEY:
            raise InvalidSetting("ask.idempotency_key", key, f"text of 1 to {_LONGEST_KEY} characters")
        return DurableDelivery(idempotency_key=key)

    def _deadline(self, what: str, seconds: float) -> float:
        if seconds.__class__ is not float or not 0 <= seconds < _FOREVER:
            check_number(what, seconds, optional=True)
        return self._services.clock.monotonic() + seconds

    def _block(self, pending: PendingPut) -> None:
        """Block this thread until the message is in."""
        owner = self._endpoint.local
        if owner is not None:
            mailbox_room.block(self._services, owner, pending)
        else:
            mailbox_room.block_for_node(self._services, self.name, pending)

    def _attend(self, pending: PendingPut, reply: Reply[Any] | ItemBuffer) -> None:
        """Let the request wait by itself, and end its reply if it does not get in."""
        owner = self._endpoint.local
        if owner is not None:
            mailbox_room.attend(self._services, owner, pending, reply.fail)
            reply.add_callback(pending.withdraw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AgentRef) and other.address == self.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __repr__(self) -> str:
        return f"<AgentRef {self.address}>"

    def __copy__(self) -> AgentRef:
        return self

    def __deepcopy__(self, memo: object) -> AgentRef:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(f"{self!r} cannot be pickled: send it in a message, or keep str(ref.address)")


# For the runtime, which sends in the name of others. Reference and endpoint are two sides of one thing.


def post(
    reference: AgentRef, sender: Reference | None, message: Message, priority: MessagePriority, ttl: float | None = None
) -> bool:
    """Send a message as `AgentRef.post` does, in the name of a sender. Return False if its mailbox refused it at once."""
    services = reference._services  # noqa: SLF001 - same module
    deadline = None if ttl is None else services.clock.monotonic() + ttl
    envelope = Envelope(message, sender, None, deadline, priority, context=carried())

    def rejected(error: MailboxFull) -> None:
        services.dead_letter(envelope, reference.address, Reason.FULL, str(error))

    try:
        pending = reference._deliver(envelope)  # noqa: SLF001 - same module
    except MailboxFull as error:
        rejected(error)
        return False
    owner = reference._endpoint.local  # noqa: SLF001 - same module
    if pending is not None and owner is not None:
        return mailbox_room.attend(services, owner, pending, rejected)
    return True


def is_ready(reference: AgentRef) -> bool:
    """Return whether an agent takes messages now. For an agent on another node: whether it is alive, as far as is known."""
    local = reference._endpoint.local  # noqa: SLF001 - same module
    return reference.is_alive and (local is None or local.life.ready)


def watch(reference: AgentRef, watcher: AgentRef) -> None:
    """Send `AgentRestarted` and `AgentDown` about an agent to `watcher`; the latter at once if the agent has ended."""
    reference._endpoint.watch(watcher)  # noqa: SLF001 - same module


def unwatch(reference: AgentRef, watcher: AgentRef) -> None:
    """Send `watcher` no more about an agent."""
    reference._endpoint.unwatch(watcher)  # noqa: SLF001 - same module
