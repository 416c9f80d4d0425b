"""One exchange: what has waited for a front end, then the answer to what it says."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Container
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
from coterie.interop.threads import ClientThread


@dataclass(frozen=True)
class Delivery:
    """An event that a front end is to be told."""

    event: Event
    own: bool
    """Whether it is part of the answer to what was just said; else it has waited, or is about an operation."""


async def exchange(
    client: ClientThread, text: str | None, message: str | None = None, *, known: Container[int] = (), after: int | None = None
) -> AsyncGenerator[Delivery, None]:
    """Say something, or nothing, and yield what the front end is to be told, to the end of the turn.

    First comes what has waited: results, and answers whose reader went away. `known` are the ids of events that the front
    end has, and `after` is the last of them, if it says so itself. Who stops reading stops nothing, and what was not read
    waits again. Raises what `Conversation.send` does.
    """
    start = client.told if after is None else after
    own: TurnBegan | None = None
    if text is not None:
        answering = client.chat.send(text, id=message)
        first = await anext(answering)
        assert isinstance(first, TurnBegan)
        own = first
        if own.id <= start:
            # It was said before: the front end asks once more for what it may have missed.
            yield Delivery(own, own=True)
            async for event in answering:
                yield Delivery(event, own=True)
            return
    with client.answering(own):
        async for event in client.chat.events(after=start, follow=own is not None):
            mine = own is not None and _turn(event) == own.turn
            if mine or _is_told(client, event, known, trusted=after is not None):
                try:
                    yield Delivery(event, own=mine)
                except BaseException:
                    client.release(event.id)
                    raise
            over = mine and isinstance(event, TurnEnded)
            if over or own is None:
                client.advance(event.id)
            if over:
                return


def _is_told(client: ClientThread, event: Event, known: Container[int], *, trusted: bool) -> bool:
    """Return whether an event is to be told, and claim it if it has waited. `trusted`: the front end says what it has."""
    if isinstance(event, OperationChanged | OperationProgressed):
        return True
    if isinstance(event, TurnEnded):
        # Whether an answer arrived whole, no front end can say; whether it was sent whole, we know.
        return event.turn not in client.reading and client.claim(event.id)
    if not isinstance(event, Delivered) or client.listeners or event.id in known:
        return False
    return client.claim(event.id, again=trusted)


def _turn(event: Event) -> int | None:
    if isinstance(event, TextWritten) and event.delivery:
        return None
    return event.turn if isinstance(event, TurnBegan | TextWritten | ToolCalled | ToolReturned | TurnEnded) else None
