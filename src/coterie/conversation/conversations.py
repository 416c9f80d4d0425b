"""Many conversations in one process."""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from coterie.conversation.settings import ConversationSettings
from coterie.conversation.telemetry import ConversationMetrics
from coterie.conversation.tools.tool import Tool
from coterie.kernel import Clock
from coterie.models import Model
from coterie.runtime import Runtime
from coterie.storage import Database

if TYPE_CHECKING:
    from coterie.conversation.conversation import Conversation


class Conversations:
    """Holds conversations by their namespaces: one model, one set of tools, one store, thousands of users.

    ::

        with Conversations(model, tools=[…], store="chats.db") as conversations:
            chat = conversations.open(("customer", "42"))

    Each conversation is an agent, and so is each running operation, on `runtime`, or on one of its own. `store` is a path,
    an address of PostgreSQL, or an open database, which then stays open; without one, all is forgotten at the end.
    `provide` is what tools get by ``context.use(kind)``. Safe from any thread.
    """

    def __init__(
        self,
        model: Model,
        tools: Iterable[Tool] = (),
        *,
        store: Database | str | os.PathLike[str] | None = None,
        provide: Iterable[Any] = (),
        settings: ConversationSettings | None = None,
        runtime: Runtime | None = None,
        clock: Clock | None = None,
    ) -> None:
        raise NotImplementedError

    def open(self, namespace: str | Iterable[str], *, user: str = "") -> Conversation:
        """Return the conversation of a namespace, as it was left. While it is open this is the same one.

        Raises `InvalidNamespace` and `ConversationClosed`.
        """
        raise NotImplementedError

    def namespaces(self) -> tuple[tuple[str, ...], ...]:
        """Return the namespaces that anything is kept of."""
        raise NotImplementedError

    def metrics(self) -> ConversationMetrics:
        """Return what has been done, by tool. Taking it holds up nobody."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close all conversations. What is unfinished is taken up when they are opened again."""
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
