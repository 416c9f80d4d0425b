"""What one holds of an agent: a reference, never the agent itself."""

from __future__ import annotations

from asyncio import events
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from coterie.errors import AskCancelled, CodecError, DeliveryError, InvalidMessage
from coterie.kernel import check_instance, check_number
from coterie.messaging import Envelope, Message, MessagePriority, Request
from coterie.runtime import admission
from coterie.runtime.activation import CURRENT
from coterie.runtime.handlers import nearest
from coterie.runtime.reply import Reply

if TYPE_CHECKING:
    from coterie.kernel import Address
    from coterie.messaging import PendingPut
    from coterie.runtime.port import Port
    from coterie.runtime.services import Services

R = TypeVar("R")

_NORMAL = MessagePriority.NORMAL
_FOREVER = float("inf")


class _Default(Enum):
    DEFAULT = "the runtime's"


DEFAULT: Final = _Default.DEFAULT
"""Stands for the ask timeout of the runtime."""

Timeout = float | None | Literal[_Default.DEFAULT]


class AgentRef:
    """A reference to one agent, here or on another node.

    Safe from any thread and any event loop, inside of agents and outside; equal to every other reference to the same
    agent; survives encoding. An agent that is restarted keeps its references. One that has stopped is never replaced
    behind them: a new agent of that name has another address.
    """

    __slots__ = ("_admit", "_port", "_services", "address", "name")

    def __init__(self, address: Address, services: Services, port: Port) -> None:
        self.address: Address = address
        """Where the agent is."""
        self.name: str = address.name
        """Its name, unique among the living agents of its runtime."""
        self._services = services
        self._port = port
        self._admit = port.admit

    def tell(self, message: Message, *, priority: MessagePriority = MessagePriority.NORMAL, ttl: float | None = None) -> None:
        """Send a message and go on.

        `ttl` is the number of seconds after which the message is worthless: it is then not handled any more. What
        cannot be delivered, because the agent has stopped, becomes a dead letter.

        Blocks this thread while the mailbox is full, if its policy is to wait; on an event loop use `offer`.
        Raises `MailboxFull` as its policy says, `InvalidMessage`, `InvalidSetting`, `EncodeFailed` for what has no form
        on a wire it must cross, and `WaitCycle` if the room waited for could only come from this very agent.
        """
        if not isinstance(message, Message):
            raise InvalidMessage(message, self.name)
        if priority is not _NORMAL:
            check_instance("priority", priority, MessagePriority, "a MessagePriority")
        activation = CURRENT.get()
        pending = self._admit(
            Envelope(
                message,
                None if activation is None else activation.cell.reference,
                None,
                None if ttl is None else self._deadline("ttl", ttl),
                priority,
            )
        )
        if pending is not None:
            self._block(pending)

    async def offer(
        self, message: Message, *, priority: MessagePriority = MessagePriority.NORMAL, ttl: float | None = None
    ) -> None:
        """Send a message as `tell` does, but await room in a full mailbox rather than block the thread.

        If the await is cancelled the message is taken back, unless it is in already.
        """
        if not isinstance(message, Message):
            raise InvalidMessage(message, self.name)
        if priority is not _NORMAL:
            check_instance("priority", priority, MessagePriority, "a MessagePriority")
        activation = CURRENT.get()
        sender = None if activation is None else activation.cell.reference
        deadline = None if ttl is None else self._deadline("ttl", ttl)
        envelope = Envelope(message, sender, None, deadline, priority)
        pending = self._admit(envelope)
        cell = self._port.cell
        if pending is not None and cell is not None:
            await admission.suspend(self._services, cell, pending)

    def post(self, message: Message, *, priority: MessagePriority = MessagePriority.NORMAL) -> None:
        """Send a message without ever blocking: for a full mailbox that is to wait for, it waits by itself.

        What cannot be delivered, or is refused, becomes a dead letter. Raises `InvalidMessage`, and `EncodeFailed` as
        `tell` does.
        """
        if not isinstance(message, Message):
            raise InvalidMessage(message, self.name)
        activation = CURRENT.get()
        self._services.post(self, message, None if activation is None else activation.cell.reference, priority)

    def handles(self, kind: type[Message]) -> bool:
        """Return whether the agent has a handler for messages of a type. For another node: whether it may have."""
        cell = self._port.cell
        return cell is None or nearest(cell.recipe.handlers, kind) is not None

    def ask(
        self, message: Request[R], *, timeout: Timeout = DEFAULT, priority: MessagePriority = MessagePriority.NORMAL
    ) -> Reply[R]:
        """Send a request and return its reply, which always ends.

        `timeout` is in seconds; without it the runtime's holds (30 s unless set), and None sets no limit. When it is
        over, an ``async`` handler that still works on the request is cancelled.

        Blocks only as `tell` does; on the thread of a running event loop the request waits for room by itself.
        Raises `InvalidMessage`, `InvalidSetting`, and `EncodeFailed` for a request that has no form on a wire it must
        cross; every other failure is an outcome of the reply.

        Let `timeout` end a slow ask, rather than `asyncio.timeout` around it: what that raises is an error of the
        handler's own, and fails the agent.
        """
        if not isinstance(message, Message):
            raise InvalidMessage(message, self.name)
        if priority is not _NORMAL:
            check_instance("priority", priority, MessagePriority, "a MessagePriority")
        services = self._services
        limit = services.ask_timeout if timeout is DEFAULT else timeout
        activation = CURRENT.get()
        reply: Reply[R] = Reply(services, self._port, limit)
        envelope = Envelope(
            message,
            None if activation is None else activation.cell.reference,
            reply,
            None if limit is None else self._deadline("timeout", limit),
            priority,
        )
        reply.expects(envelope)
        try:
            pending = self._admit(envelope)
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

    def stop(self, *, drain: bool = True) -> Reply[None]:
        """Stop the agent, and return a reply that ends when it has ended.

        Its mailbox closes at once. With `drain` it handles what is queued; without, it gives up what it is doing at the
        next await, and what is queued becomes dead letters. Its children stop before it. To stop twice is harmless.
        """
        services = self._services
        # Another node may never answer; here, ending is only a matter of time.
        limit = None if self._port.cell is not None else services.ask_timeout
        reply: Reply[None] = Reply(services, self._port, limit)
        if limit is not None:
            services.timers.call_later(limit, reply.expire)
        self._port.stop(drain=drain).add_callback(lambda: reply.succeed(None))
        return reply

    @property
    def is_alive(self) -> bool:
        """Whether the agent lives: it has not ended, whatever it is doing. For another node: as far as is known."""
        return self._port.is_alive

    def _deadline(self, what: str, seconds: float) -> float:
        if seconds.__class__ is not float or not 0 <= seconds < _FOREVER:
            check_number(what, seconds, optional=True)
        return self._services.clock.monotonic() + seconds

    def _block(self, pending: PendingPut) -> None:
        """Block this thread until the message is in."""
        cell = self._port.cell
        if cell is not None:
            admission.block(self._services, cell, pending)

    def _attend(self, pending: PendingPut, reply: Reply[Any]) -> None:
        """Let the request wait by itself, and end its reply if it does not get in."""
        cell = self._port.cell
        if cell is not None:
            admission.attend(self._services, cell, pending, reply.fail)

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
