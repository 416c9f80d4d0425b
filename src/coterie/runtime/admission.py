"""Waiting for room in a full mailbox: on a thread, on an event loop, or with nobody there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from coterie.errors import MailboxFull, WaitCycle
from coterie.runtime.activation import CURRENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from coterie.concurrency import Timer
    from coterie.messaging import PendingPut
    from coterie.runtime.activation import Activation
    from coterie.runtime.cell import AgentCell
    from coterie.runtime.services import Services


def block(services: Services, cell: AgentCell, pending: PendingPut) -> None:
    """Block this thread until the message is in, or the mailbox is closed, which refuses it.

    Raises `MailboxFull` when the time is up, and `WaitCycle` if the room waited for can only come from this agent. If
    something else is raised meanwhile, such as `KeyboardInterrupt`, the message is taken back.
    """
    activation = CURRENT.get()
    if activation is None or not activation.active:
        with _watched(services, cell, pending, None) as timer:
            pending.wait()
    else:
        waiting = activation if activation.blocks_agent else None
        with _watched(services, cell, pending, waiting) as timer, activation.cell.blocked():
            pending.wait()
    _check(cell, pending, timer)


async def suspend(services: Services, cell: AgentCell, pending: PendingPut) -> None:
    """Await that the message is in. Raises as `block` does; if cancelled, take the message back."""
    activation = CURRENT.get()
    exclusive = activation is not None and activation.active and activation.exclusive
    with _watched(services, cell, pending, activation if exclusive else None) as timer:
        await services.loops.future(pending)
    _check(cell, pending, timer)


@contextmanager
def _watched(services: Services, cell: AgentCell, pending: PendingPut, activation: Activation | None) -> Iterator[Timer | None]:
    """Limit a wait for room, and note it in the graph of waits if it keeps an agent from handling anything else."""
    if activation is not None:
        try:
            services.waits.enter(activation.cell, cell, pending)
        except WaitCycle:
            if pending.withdraw():
                raise
    timer = _limit(services, cell, pending)
    try:
        yield timer
    except BaseException:
        if timer is not None:
            timer.cancel()
        pending.withdraw()
        raise
    finally:
        if activation is not None:
            services.waits.leave(activation.cell, pending)


def attend(services: Services, cell: AgentCell, pending: PendingPut, rejected: Callable[[MailboxFull], object]) -> None:
    """Let the message wait by itself; call `rejected` when its time is up."""
    timer = _limit(services, cell, pending)

    def ended() -> None:
        try:
            _check(cell, pending, timer)
        except MailboxFull as full:
            rejected(full)

    pending.add_callback(ended)


def _limit(services: Services, cell: AgentCell, pending: PendingPut) -> Timer | None:
    """Take the message back when its patience, or its deadline, is over."""
    timeout = cell.mailbox.policy.timeout
    ends = [] if timeout is None else [services.clock.monotonic() + timeout]
    if pending.envelope.deadline is not None:
        ends.append(pending.envelope.deadline)
    return services.timers.call_at(min(ends), pending.withdraw) if ends else None


def _check(cell: AgentCell, pending: PendingPut, timer: Timer | None) -> None:
    """Raise `MailboxFull` for a message that was taken back for want of room, unless its own time was over first."""
    if timer is not None:
        timer.cancel()
    if not pending.withdrawn:
        return
    if pending.expired:
        cell.outcomes.expire_outside(pending.envelope)
        return
    policy = cell.mailbox.policy
    kind = type(pending.envelope.message).__qualname__
    raise MailboxFull(cell.name, kind, policy.capacity, f"and no room came within {policy.timeout or 0:g} s")
