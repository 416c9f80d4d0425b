"""The events of one turn, and the answers of a conversation's agent, for front ends."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Generator, Sequence
from typing import Any, Generic, Self, TypeVar, cast

from coterie.conversation.events import (
    AnyConversationEvent,
    OperationChanged,
    OperationProgressed,
    TextWritten,
    TurnEnded,
    TurnOutcome,
)
from coterie.conversation.session.messages import MessageAccepted
from coterie.conversation.settings import ConversationSettings
from coterie.conversation.state import ConversationState
from coterie.errors import AgentStopped, ConversationClosed, ConversationError, HandlerFailed, NoResult, StorageError
from coterie.errors.conversation import InvalidText
from coterie.models import Attachment, ResultForm
from coterie.runtime import Reply

T = TypeVar("T")


class TurnStream(AsyncIterator[AnyConversationEvent]):
    """The events of one turn: ``async for event in chat.send("…")``. The turn continues if the reader stops.

    The message is sent when `Conversation.send` returns. The first read raises if it was not accepted:
    `ConversationFull`, `ConversationTaken`, `ConversationClosed`, `StorageError`. For one reader, which keeps `source` alive.
    """

    def __init__(self, source: object, state: ConversationState, reply: Reply[MessageAccepted]) -> None:
        self._source = source
        self._state = state
        self._reply = reply
        self._events: AsyncIterator[AnyConversationEvent] | None = None
        self._turn = 0
        self._over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyConversationEvent:
        if self._over:
            raise StopAsyncIteration
        if self._events is None:
            taken = await answer_of(self._reply, self._state)
            self._turn = taken.turn
            self._events = self._state.event_stream.read(taken.after, self._source)
        async for event in self._events:
            if self._is_of_it(event):
                self._over = isinstance(event, TurnEnded)
                return event
        self._over = True
        raise ConversationClosed(self._state.name)

    async def end(self) -> TurnEnded:
        """Read to the end, and return the last event of the turn. Raises the errors of reading, and `ConversationClosed`."""
        async for event in self:
            if isinstance(event, TurnEnded):
                return event
        raise ConversationClosed(self._state.name)

    async def answer(self) -> str:
        """Read to the end, and return the answer. Raises the errors of `end`."""
        return (await self.end()).text

    def _is_of_it(self, event: AnyConversationEvent) -> bool:
        match event:
            case OperationChanged():
                return event.operation.turn == self._turn
            case OperationProgressed():
                operation = self._state.live.get(event.operation)
                return operation is not None and operation.turn == self._turn
            case TextWritten():
                return event.turn == self._turn and not event.delivery
            case _:
                return getattr(event, "turn", None) == self._turn


class ResultStream(TurnStream, Generic[T]):
    """The events of a turn whose answer is a typed value: ``invoice = await chat.send("…", result=Invoice)``."""

    def __init__(
        self, source: object, state: ConversationState, reply: Reply[MessageAccepted], form: ResultForm, kind: object
    ) -> None:
        super().__init__(source, state, reply)
        self._form = form
        self._kind = kind

    def __await__(self) -> Generator[Any, None, T]:
        return self.value().__await__()

    async def value(self) -> T:
        """Read to the end, and return the value. Raises `NoResult` if the turn has none, and the errors of `end`."""
        ended = await self.end()
        if ended.outcome is not TurnOutcome.ANSWERED:
            raise NoResult(ended.turn, self._kind, ended.problem or str(ended.outcome))
        try:
            return cast("T", self._form.value(ended.text))
        except ValueError as error:
            raise NoResult(ended.turn, self._kind, str(error)) from error


async def answer_of(reply: Reply[T], state: ConversationState) -> T:
    """Return the answer of a conversation's agent. Raises the agent's own errors unchanged, and `ConversationClosed`."""
    try:
        return await reply
    except HandlerFailed as error:
        if isinstance(error.__cause__, ConversationError | StorageError | ValueError):
            raise error.__cause__ from None
        raise
    except AgentStopped as error:
        if isinstance(error.__cause__, ConversationError | StorageError):
            raise error.__cause__ from None
        raise ConversationClosed(state.name) from error


_MAX_ID_LENGTH = 200
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+")


def check_message(text: object, name: object, attachments: Sequence[object], settings: ConversationSettings) -> None:
    """Raise `InvalidText` for a message that cannot be sent."""
    _check_text(text, "the text", settings.longest)
    if name is not None:
        _check_text(name, "the id", _MAX_ID_LENGTH)
    size = 0
    for each in attachments:
        if not isinstance(each, Attachment) or not _MEDIA_TYPE.fullmatch(each.media_type):
            raise InvalidText("an attachment has no media type such as image/png")
        if bool(each.data) is bool(each.url):
            raise InvalidText(f"the attachment {each.name or each.media_type} needs either data or a url")
        size += len(each.data)
    if size > settings.longest_attachments:
        raise InvalidText(f"the attachments have {size} bytes, and at most {settings.longest_attachments} are allowed")


def _check_text(text: object, what: str, max_length: int) -> None:
    if not isinstance(text, str):
        raise InvalidText(f"{what} is a {type(text).__name__}, not a string")
    if not text.strip():
        raise InvalidText(f"{what} is empty")
    if len(text) > max_length:
        raise InvalidText(f"{what} has {len(text)} characters, and at most {max_length} are allowed")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidText(f"{what} contains an unpaired surrogate at index {error.start}: {error.reason}") from error
