"""Waiting for room in a full mailbox, or to another node: on a thread, on an event loop, or without a waiting caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from coterie.concurrency import Timer, Timers
from coterie.errors import MailboxFull, WaitCycle
from coterie.kernel import Clock
from coterie.messaging.envelope import Envelope
from coterie.messaging.mailbox import Mailbox
from coterie.messaging.pending_put import PendingPut
from coterie.runtime.dispatchers.loops import LoopInboxes
from coterie.runtime.references.invocation import CURRENT, Invocation
from coterie.runtime.references.waits import Waiter, WaitGraph

_POSTS, _ASKS = 100, 1_000
"""Messages, and asks, that may wait outside a full mailbox, at least, without a thread or task that waits for room."""


class WaitServices(Protocol):
    """The parts of a runtime that waiting needs."""

    @property
    def clock(self) -> Clock:
        """The runtime's clock."""
        ...

    @property
    def timers(self) -> Timers:
        """The runtime's timers, on that clock."""
        ...

    @property
    def waits(self) -> WaitGraph:
        """The graph of the agents that wait for one another."""
        ...

    @property
    def loops(self) -> LoopInboxes:
        """The inboxes of the event loops on which outcomes are awaited."""
        ...


class MailboxOwner(Waiter, Protocol):
    """The agent of this runtime whose mailbox is full."""

    @property
    def mailbox(self) -> Mailbox:
        """Its mailbox."""
        ...

    def expire_outside(self, envelope: Envelope) -> None:
        """End a message whose time was over before there was room for it."""
        ...


def block(services: WaitServices, owner: MailboxOwner, pending: PendingPut) -> None:
    """Block this thread until the message is in, or the mailbox is closed, which refuses it.

    Raises `MailboxFull` when the time is up, and `WaitCycle` if only this agent could make the room it would wait for.
    If something else is raised meanwhile, such as `KeyboardInterrupt`, the message is withdrawn.
    """
    what = f"a tell of {type(pending.envelope.message).__qualname__} to {owner.name}, whose mailbox is full,"
    services.loops.warn_if_blocked(what, "await ref.offer(message), or use ref.post(message)")
    invocation = CURRENT.get()
    if invocation is None or not invocation.active:
        with _watched(services, owner, pending, None) as timer:
            pending.wait()
    else:
        waiting = invocation if invocation.blocks_agent else None
        with _watched(services, owner, pending, waiting) as timer, invocation.cell.blocked():
            pending.wait()
    _check(owner, pending, timer)


def block_for_node(services: WaitServices, name: str, pending: PendingPut) -> None:
    """Block this thread until the transport to another node has room; it ends the wait in any case."""
    what = f"a tell of {type(pending.envelope.message).__qualname__} to {name}, whose node takes messages slowly,"
    services.loops.warn_if_blocked(what, "await ref.offer(message), or use ref.post(message)")
    invocation = CURRENT.get()
    if invocation is None or not invocation.active:
        pending.wait()
    else:
        with invocation.cell.blocked():
            pending.wait()


async def suspend(services: WaitServices, owner: MailboxOwner, pending: PendingPut) -> None:
    """Await until the message is in. Raises as `block` does; withdraws the message if the await is cancelled."""
    invocation = CURRENT.get()
    exclusive = invocation is not None and invocation.active and invocation.exclusive
    with _watched(services, owner, pending, invocation if exclusive else None) as timer:
        await services.loops.future(pending)
    _check(owner, pending, timer)


@contextmanager
def _watched(
    services: WaitServices, owner: MailboxOwner, pending: PendingPut, invocation: Invocation | None
) -> Iterator[Timer | None]:
    """Limit a wait for room, and add it to the wait graph if it keeps an agent from handling anything else."""
    if invocation is not None:
        try:
            services.waits.enter(invocation.cell, owner, pending, invocation)
        except WaitCycle:
            if pending.withdraw():
                raise
    timer = _limit(services, owner, pending)
    try:
        yield timer
    except BaseException:
        if timer is not None:
            timer.cancel()
        pending.withdraw()
        raise
    finally:
        if invocation is not None:
            services.waits.leave(invocation.cell, pending)


def attend(services: WaitServices, owner: MailboxOwner, pending: PendingPut, rejected: Callable[[MailboxFull], object]) -> bool:
    """Let the message wait without blocking the caller; call `rejected` when its time is up.

    As many may wait as the mailbox holds, but at least a hundred, or a thousand of asks, which have an asker that waits for
    them. Return False, and call `rejected` at once, for one that is more.
    """
    capacity = owner.mailbox.policy.capacity
    most = max(capacity, _POSTS if pending.envelope.reply is None else _ASKS)
    if owner.mailbox.waiting > most and pending.withdraw():
        rejected(_full(owner, pending, "and as many messages wait for room as may"))
        return False
    timer = _limit(services, owner, pending)

    def ended() -> None:
        try:
            _check(owner, pending, timer)
        except MailboxFull as full:
            rejected(full)

    pending.add_callback(ended)
    return True


def _limit(services: WaitServices, owner: MailboxOwner, pending: PendingPut) -> Timer | None:
    """Withdraw the message when the timeout of the policy, or its own deadline, is over."""
    timeout = owner.mailbox.policy.timeout
    ends = [] if timeout is None else [services.clock.monotonic() + timeout]
    if pending.envelope.deadline is not None:
        ends.append(pending.envelope.deadline)
    return services.timers.call_at(min(ends), pending.withdraw) if ends else None


def _check(owner: MailboxOwner, pending: PendingPut, timer: Timer | None) -> None:
    """Raise `MailboxFull` for a message that was withdrawn for want of room, unless its own time was over first."""
    if timer is not None:
        timer.cancel()
    if not pending.withdrawn:
        return
    if pending.expired:
        owner.expire_outside(pending.envelope)
        return
    raise _full(owner, pending, f"and no room came within {owner.mailbox.policy.timeout or 0:g} s")


def _full(owner: MailboxOwner, pending: PendingPut, why: str) -> MailboxFull:
    return MailboxFull(owner.name, type(pending.envelope.message).__qualname__, owner.mailbox.policy.capacity, why)
