"""What a front end holds of one conversation."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Any, Self

from coterie.conversation.conversations import Conversations
from coterie.conversation.events import Event, TurnEnded
from coterie.conversation.operations.operation import CancelAnswer, Operation, OperationState
from coterie.conversation.settings import ConversationSettings
from coterie.conversation.tools.tool import Tool
from coterie.kernel import Clock
from coterie.models import Model, Spoken
from coterie.runtime import Runtime
from coterie.storage import Database


class TurnStream(AsyncIterator[Event]):
    """The events of one turn: ``async for event in chat.send("…")``. Who stops reading stops nothing.

    The message is under way as soon as `Conversation.send` has returned.
    """

    async def __anext__(self) -> Event:
        raise NotImplementedError

    async def answer(self) -> str:
        """Read to the end, and return what was said."""
        raise NotImplementedError

    async def end(self) -> TurnEnded:
        """Read to the end, and return how the turn ended."""
        raise NotImplementedError


class Conversation:
    """A conversation with one user, kept under a namespace, that goes on while tools run.

    ::

        async with Conversation(model, tools=[close_contract], store="chats.db", namespace=("customer", "42")) as chat:
            async for event in chat.send("close my contract"):
                ...

    All methods may be called from any thread and any event loop.
    """

    def __init__(
        self,
        model: Model,
        tools: Iterable[Tool] = (),
        *,
        store: Database | str | os.PathLike[str] | None = None,
        namespace: str | Iterable[str] = ("default",),
        user: str = "",
        provide: Iterable[Any] = (),
        settings: ConversationSettings | None = None,
        runtime: Runtime | None = None,
        clock: Clock | None = None,
    ) -> None:
        raise NotImplementedError

    @property
    def namespace(self) -> tuple[str, ...]:
        """Under which it is kept."""
        raise NotImplementedError

    def send(self, text: str, *, id: str | None = None) -> TurnStream:  # noqa: A002 - what it is
        """Say something as the user, and return the events of its turn, from the first on.

        Turns are answered one after the other, in the order of the calls. `id` is the front end's own name for the
        message: one that was taken in before is not answered again; its turn's events are returned.

        Raises `InvalidText`, `ConversationClosed`; what else befalls it is raised while the events are read
        (`ConversationFull`, `ConversationTaken`, `StorageError`).
        """
        raise NotImplementedError

    def events(self, after: int | None = None) -> AsyncIterator[Event]:
        """Return all events of the conversation from now on, or those behind the one of that id, without an end.

        0 begins at the beginning. What came long ago is told from the log, without the pieces of texts.
        """
        raise NotImplementedError

    async def cancel(self, operation: Operation | str | int) -> CancelAnswer:
        """Ask an operation to stop, and return what came of it. Raises `UnknownOperation`."""
        raise NotImplementedError

    def operations(self, *, unfinished: bool = False) -> tuple[Operation, ...]:
        """Return the operations, oldest first; those that wait in the order in which they will begin."""
        raise NotImplementedError

    async def reorder(self, operation: Operation | str | int, place: int = 0) -> tuple[Operation, ...]:
        """Put a queued operation at a place among those that wait, counted from 0, and return the queue.

        Raises `UnknownOperation`, and `TransitionRefused` if it does not wait.
        """
        raise NotImplementedError

    async def resolve(self, operation: Operation | str | int, state: OperationState | str, detail: str = "") -> Operation:
        """Say what became of an operation whose outcome is unknown: ``succeeded``, ``failed``, or ``queued`` to run it again.

        Raises `UnknownOperation`, and `TransitionRefused` if its outcome is known.
        """
        raise NotImplementedError

    def transcript(self) -> tuple[Spoken, ...]:
        """Return what was said, oldest first: each question with its answer, and the deliveries."""
        raise NotImplementedError

    async def settle(self) -> None:
        """Return when nothing is being said and no operation runs or waits, and all is delivered."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """End what runs here, as a crash would but in order: what is unfinished is taken up when it is opened again."""
        raise NotImplementedError

    def close(self) -> None:
        """Do as `aclose`, and block this thread meanwhile."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.aclose()
