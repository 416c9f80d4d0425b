"""The memory of the user in one conversation: what is recalled for a turn, and what is written down at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from coterie.conversation.entries import DeliveredEntry, TurnEndedEntry, UserMessageEntry
from coterie.conversation.memories import SUMMARY_INSTRUCTIONS
from coterie.conversation.sanitize import check_reply, text_of_piece
from coterie.conversation.session.session_log import SessionLog
from coterie.errors import describe
from coterie.models import ModelReply, ModelRequest, TextMessage
from coterie.runtime.references.logs import AgentLog

_DONE = "coterie/summarised"
"""The note that has the latest turn of a summary."""
_MOST = 100_000
"""Characters of a conversation that the model of a summary gets at most, the latest."""


class Remembering:
    """Recalls and writes the memories of a conversation's user. Only the conversation's thread uses it.

    `blocking` runs a function on a thread of its own.
    """

    def __init__(self, session_log: SessionLog, blocking: Callable[[Callable[[], Any]], Awaitable[Any]], log: AgentLog) -> None:
        self._session_log = session_log
        self._memories = session_log.host.memories
        self._user = session_log.state.user
        self._blocking = blocking
        self._log = log

    async def recall(self, question: str) -> str:
        """Return what a model is told of the user in a turn, or an empty text."""
        memories = self._memories
        if memories is None or not self._user:
            return ""
        return str(await self._blocking(lambda: memories.instructions(self._user, question)))

    async def summarise(self) -> int:
        """Have a model write down what is worth to remember of the turns since the last time; return the number of memories.

        A model that fails is logged; the next time takes its turns too.
        """
        memories, answered = self._memories, self._session_log.answered
        done = int(self._session_log.state.values.get(_DONE, 0))
        if memories is None or not memories.summarises or not self._user or answered <= done:
            return 0
        request = ModelRequest(
            instructions=SUMMARY_INSTRUCTIONS,
            exchanges=(TextMessage("user", self._said(done)),),
            agent=self._session_log.state.name,
            step=f"memory {answered}",
        )
        try:
            async with asyncio.timeout(self._session_log.host.settings.model_timeout):
                with self._session_log.requests.recorded(
                    self._session_log.state.model_of(self._session_log.role).name, request
                ):
                    text = await self._ask(request)
            count = int(await self._blocking(lambda: memories.learn(self._user, text)))
        except Exception as error:  # noqa: BLE001 - whatever a model or a memory raises, the conversation goes on
            self._log.warning("nothing is remembered of the latest turns: %s", describe(error))
            return 0
        await self._session_log.state.note(_DONE, answered)
        return count

    def _said(self, done: int) -> str:
        lines = []
        for entry in self._session_log.entries():
            match entry:
                case UserMessageEntry() if entry.turn > done:
                    lines.append(f"user: {entry.text}")
                case TurnEndedEntry() if entry.turn > done:
                    lines.append(f"assistant: {entry.whole}")
                case DeliveredEntry():
                    lines.append(f"assistant: {entry.text}")
                case _:
                    continue
        return "\n".join(lines)[-_MOST:]

    async def _ask(self, request: ModelRequest) -> str:
        parts: list[str] = []
        stream: Any = self._session_log.state.model_of(self._session_log.role).stream(request)
        try:
            async for piece in stream:
                if isinstance(piece, ModelReply):
                    return check_reply(piece).text or "".join(parts)
                parts.append(text_of_piece(piece))
        finally:
            if (close := getattr(stream, "aclose", None)) is not None:
                await close()
        return "".join(parts)
