"""One exchange with a front end: the waiting events, then the answer to its message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Container, Sequence
from dataclasses import dataclass

from coterie.conversation import (
    AnyConversationEvent,
    Delivered,
    Operation,
    OperationChanged,
    OperationProgressed,
    ResultsAwaited,
    TextWritten,
    ToolCalled,
    ToolReturned,
    TurnBegan,
    TurnEnded,
)
from coterie.errors import ConversationClosed
from coterie.interop.threads import ClientThread
from coterie.models import Attachment, ToolDefinition


@dataclass(frozen=True)
class Delivery:
    """An event to send to a front end."""

    event: AnyConversationEvent
    own: bool
    """True for a part of the answer to this message; False for a waiting event or one of an operation."""


async def exchange(
    client: ClientThread,
    text: str | None,
    message: str | None = None,
    *,
    known: Container[int] = (),
    after: int | None = None,
    attachments: Sequence[Attachment] = (),
    tools: Sequence[ToolDefinition] = (),
) -> AsyncGenerator[Delivery, None]:
    """Send a message, if there is one, and yield the events for the front end until the end of the turn.

    Waiting events come first: results, and answers whose reader disconnected. `known` are the ids of events that the front
    end has, and `after` is the last of them if the front end names it. If the reader stops, the turn continues and unread
    events wait again. Raises as `Conversation.send`.
    """
    start = client.last_sent if after is None else after
    own: TurnBegan | None = None
    if text is not None:
        answering = client.chat.send(text, id=message, attachments=attachments, tools=tools)
        first = await anext(answering)
        assert isinstance(first, TurnBegan)
        own = first
        if own.id <= start:
            # The message was sent before: the front end asks again for events that it may have missed.
            yield Delivery(own, own=True)
            async for delivery in _again(answering):
                yield delivery
            return
    with client.answering(own):
        async for event in client.chat.events(after=start, follow=own is not None):
            mine = own is not None and _turn(event) == own.turn
            if mine or _is_due(client, event, known, trusted=after is not None):
                try:
                    yield Delivery(event, own=mine)
                except BaseException:
                    client.release(event.id)
                    raise
            over = mine and isinstance(event, TurnEnded | ResultsAwaited)
            if over or own is None:
                client.advance(event.id)
            if over:
                return
    if own is not None:
        # The service stops before the answer is whole. The message is kept, and is answered after the restart.
        raise ConversationClosed("/".join(client.chat.namespace))


async def _again(answering: AsyncIterator[AnyConversationEvent]) -> AsyncIterator[Delivery]:
    """Yield the events of a turn that was asked for before, until it ends or waits for the front end."""
    async for event in answering:
        yield Delivery(event, own=True)
        if isinstance(event, ResultsAwaited):
            return


async def rest_of(client: ClientThread, turn: int, after: int) -> AsyncGenerator[Delivery, None]:
    """Yield the events of a turn after `after`, until it ends, or waits for the front end again."""
    client.reading.add(turn)
    try:
        async for event in client.chat.events(after=after):
            mine = _turn(event) == turn
            if mine or isinstance(event, OperationChanged | OperationProgressed):
                yield Delivery(event, own=mine)
            if mine and isinstance(event, TurnEnded | ResultsAwaited):
                client.advance(event.id)
                return
    finally:
        client.reading.discard(turn)


async def outcomes_of(
    client: ClientThread, operations: Sequence[Operation], after: int, limit: float
) -> AsyncGenerator[Delivery, None]:
    """Yield the events after `after` until the outcomes of these operations are delivered, for at most `limit` seconds."""
    waiting = {each.number for each in operations if not each.delivered}
    events = client.chat.events(after=after)
    loop = asyncio.get_running_loop()
    until = loop.time() + limit
    while waiting:
        try:
            event = await asyncio.wait_for(anext(events), max(0.0, until - loop.time()))
        except (TimeoutError, StopAsyncIteration):
            return
        if isinstance(event, Delivered):
            waiting -= {each.number for each in event.operations}
        if _is_due(client, event, (), trusted=False):
            try:
                yield Delivery(event, own=False)
            except BaseException:
                client.release(event.id)
                raise


async def chain(first: Delivery | None, rest: AsyncIterator[Delivery]) -> AsyncIterator[Delivery]:
    """Yield the first, if there is one, and then the rest."""
    if first is not None:
        yield first
    async for each in rest:
        yield each


def _is_due(client: ClientThread, event: AnyConversationEvent, known: Container[int], *, trusted: bool) -> bool:
    """Return whether to send an event, and claim it if it has waited. `trusted`: the front end names its last event."""
    if isinstance(event, OperationChanged | OperationProgressed):
        return True
    if isinstance(event, TurnEnded):
        # A front end cannot tell whether an answer arrived whole; the server knows whether it was sent whole.
        return event.turn not in client.reading and client.claim(event.id)
    if not isinstance(event, Delivered) or client.listeners or event.id in known:
        return False
    return client.claim(event.id, again=trusted)


_OF_TURNS = TurnBegan | TextWritten | ToolCalled | ToolReturned | ResultsAwaited | TurnEnded


def _turn(event: AnyConversationEvent) -> int | None:
    if isinstance(event, TextWritten) and event.delivery:
        return None
    return event.turn if isinstance(event, _OF_TURNS) else None
