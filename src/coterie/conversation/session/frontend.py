"""The tools of a front end: offered to the model in one turn, called by it, and run by the front end itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from coterie.conversation.entries import ToolResultEntry
from coterie.conversation.events import ResultsAwaited
from coterie.conversation.sanitize import plain_text
from coterie.conversation.session.session_log import SessionLog
from coterie.models import ToolCall, ToolDefinition

_NONE = "The front end gave no result, and it is not known whether it did something."


class FrontendTools:
    """The front end's tools of each turn, and the calls whose results are awaited. Only the conversation's thread uses it."""

    def __init__(self, session_log: SessionLog) -> None:
        self._session_log = session_log
        self._offered: dict[int, tuple[ToolDefinition, ...]] = {}
        self._awaited: dict[str, asyncio.Future[tuple[str, bool]]] = {}
        self._turn = 0

    def offer(self, turn: int, tools: tuple[ToolDefinition, ...]) -> None:
        """Offer tools in a turn."""
        if tools:
            self._offered[turn] = tools

    def tools(self, turn: int, taken: Iterable[str]) -> tuple[ToolDefinition, ...]:
        """Return the tools of a turn. The names in `taken` belong to other tools."""
        names = set(taken)
        return tuple(each for each in self._offered.get(turn, ()) if each.name not in names)

    def forget(self, turn: int) -> None:
        """Forget the tools of a turn that has ended."""
        self._offered.pop(turn, None)

    def supply(self, call: str, content: str, *, failed: bool) -> int:
        """Take a result; return the turn that waits for it, or 0 if none does."""
        future = self._awaited.get(call)
        if future is None or future.done():
            return 0
        future.set_result((plain_text(content)[: self._session_log.host.settings.longest_result], failed))
        return self._turn

    async def run(self, turn: int, calls: Sequence[ToolCall], ends: Sequence[asyncio.Event]) -> None:
        """Wait for the results of calls, for `settings.frontend_timeout` or until one of `ends` is set, and record them."""
        loop = asyncio.get_running_loop()
        self._turn = turn
        self._awaited = {call.id: loop.create_future() for call in calls}
        self._session_log.announce(ResultsAwaited, turn=turn, calls=tuple(self._awaited))
        whole: asyncio.Future[object] = asyncio.ensure_future(asyncio.wait(self._awaited.values()))
        ended: list[asyncio.Future[object]] = [asyncio.ensure_future(each.wait()) for each in ends]
        try:
            limit = self._session_log.host.settings.frontend_timeout
            await asyncio.wait({whole, *ended}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            results: Mapping[str, tuple[str, bool]] = {
                call: future.result() if future.done() else (_NONE, True) for call, future in self._awaited.items()
            }
        finally:
            self._awaited = {}
            for each in (whole, *ended):
                each.cancel()
        entries = [
            ToolResultEntry(turn=turn, call=call.id, tool=call.name, content=results[call.id][0], failed=results[call.id][1])
            for call in calls
        ]
        await self._session_log.record(*entries)
