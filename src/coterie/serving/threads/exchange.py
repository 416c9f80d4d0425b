"""One exchange: what has waited for a front end, then the answer to what it says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Container
from dataclasses import dataclass

from coterie.conversation import (
    Delivered,
    Event,
    OperationChanged,
    OperationProgressed,
    TextWritten,
    ToolCalled,
    ToolReturned,
    TurnBegan,
    TurnEnded,
)
from coterie.serving.threads.threads import Seat


@dataclass(frozen=True)
class Told:
    """An event that a front end is to be told."""

    event: Event
    own: bool
    """Whether it is part of the answer to what was just said; else it has waited, or is about an operation."""


async def exchange(
    seat: Seat, text: str | None, message: str | None = None, *, known: Container[int] = (), after: int | None = None
) -> AsyncIterator[Told]:
    """Say something, or nothing, and yield what the front end is to be told, to the end of the turn.

    First comes what has waited: results, and answers whose reader went away. `known` are the ids of events that the front
    end has, and `after` is the last of them, if it says so itself. Who stops reading stops nothing, and what was not read
    waits again. Raises what `Conversation.send` does.
    """
    start = seat.told if after is None else after
    own: TurnBegan | None = None
    if text is not None:
        answering = seat.chat.send(text, id=message)
        first = await anext(answering)
        assert isinstance(first, TurnBegan)
        own = first
        if own.id <= start:
            # It was said before: the front end asks once more for what it may have missed.
            yield Told(own, own=True)
            async for event in answering:
                yield Told(event, own=True)
            return
    end = own.id if own is not None else seat.chat.last_event
    if own is not None:
        seat.reading.add(own.turn)
    try:
        async for told in _until(seat, own, start, end, known, trusted=after is not None):
            yield told
    finally:
        if own is not None:
            seat.reading.discard(own.turn)


async def _until(
    seat: Seat, own: TurnBegan | None, start: int, end: int, known: Container[int], *, trusted: bool
) -> AsyncIterator[Told]:
    """Yield what is to be told, to the end of the turn, or up to an event. `trusted`: the front end says what it has."""
    if own is None and start >= end:
        return
    async for event in seat.chat.events(after=start):
        if own is None and event.id > end:
            return
        mine = own is not None and _turn(event) == own.turn
        if mine or isinstance(event, OperationChanged | OperationProgressed):
            yield Told(event, own=mine)
        elif _waits(seat, event, known, trusted=trusted):
            try:
                yield Told(event, own=False)
            except BaseException:
                seat.disclaim(event.id)
                raise
        if (isinstance(event, TurnEnded) and mine) or (own is None and event.id >= end):
            seat.advance(event.id)
            return


def _waits(seat: Seat, event: Event, known: Container[int], *, trusted: bool) -> bool:
    """Return whether an event has waited to be told, and is now claimed for that."""
    if isinstance(event, TurnEnded):
        # Whether an answer arrived whole, no front end can say; whether it was sent whole, we know.
        return event.turn not in seat.reading and seat.claim(event.id)
    if not isinstance(event, Delivered) or seat.listeners or event.id in known:
        return False
    return seat.claim(event.id, again=trusted)


def _turn(event: Event) -> int | None:
    if isinstance(event, TextWritten) and event.delivery:
        return None
    return event.turn if isinstance(event, TurnBegan | TextWritten | ToolCalled | ToolReturned | TurnEnded) else None
