"""Waiting for room in a full mailbox: on a thread, on an event loop, or with nobody there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from coterie.errors import MailboxFull, WaitCycle
from coterie.runtime.activation import CURRENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from coterie.concurrency import Timer
    from coterie.messaging import Ticket
    from coterie.runtime.cell import AgentCell
    from coterie.runtime.services import Services


def block(services: Services, cell: AgentCell, ticket: Ticket) -> None:
    """Block this thread until the message is in, or the mailbox is closed, which refuses it.

    Raises `MailboxFull` when the time is up, and `WaitCycle` if the room waited for can only come from this agent.
    """
    activation = CURRENT.get()
    if activation is None or not activation.active:
        timer = _limit(services, cell, ticket)
        ticket.wait()
    else:
        if activation.exclusive:
            try:
                services.waits.enter(activation.cell, cell, ticket)
            except WaitCycle:
                if ticket.withdraw():
                    raise
                return
        timer = _limit(services, cell, ticket)
        try:
            with activation.cell.blocked():
                ticket.wait()
        finally:
            if activation.exclusive:
                services.waits.leave(activation.cell, ticket)
    _check(cell, ticket, timer)


async def suspend(services: Services, cell: AgentCell, ticket: Ticket) -> None:
    """Await that the message is in. Raises as `block` does; if cancelled, take the message back."""
    timer = _limit(services, cell, ticket)
    try:
        await services.loops.future(ticket)
    except asyncio.CancelledError:
        if timer is not None:
            timer.cancel()
        ticket.withdraw()
        raise
    _check(cell, ticket, timer)


def attend(services: Services, cell: AgentCell, ticket: Ticket, rejected: Callable[[MailboxFull], object]) -> None:
    """Let the message wait by itself; call `rejected` when its time is up."""
    timer = _limit(services, cell, ticket)

    def ended() -> None:
        try:
            _check(cell, ticket, timer)
        except MailboxFull as full:
            rejected(full)

    ticket.add_callback(ended)


def _limit(services: Services, cell: AgentCell, ticket: Ticket) -> Timer | None:
    """Take the message back when its patience, or its deadline, is over."""
    timeout = cell.mailbox.policy.timeout
    ends = [] if timeout is None else [services.clock.monotonic() + timeout]
    if ticket.envelope.deadline is not None:
        ends.append(ticket.envelope.deadline)
    return services.timers.call_at(min(ends), ticket.withdraw) if ends else None


def _check(cell: AgentCell, ticket: Ticket, timer: Timer | None) -> None:
    if timer is not None:
        timer.cancel()
    if ticket.withdrawn:
        policy = cell.mailbox.policy
        kind = type(ticket.envelope.message).__qualname__
        raise MailboxFull(cell.name, kind, policy.capacity, f"and no room came within {policy.timeout or 0:g} s")
