"""The tools of a front end: offered to the model in one turn, called by it, and run by the front end itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from coterie.conversation.entries import ToolCallsEntry, ToolResultEntry, UserMessageEntry
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
        self._expected: dict[str, int] = {}
        """The turns of calls that an earlier process made, whose results may come before the turn goes on."""
        self._early: dict[str, tuple[str, bool]] = {}

    def expect(self) -> None:
        """Take results for the calls that an earlier process made, from now on."""
        for said in self._session_log.questions():
            for call in unanswered_calls(self._session_log, said):
                self._expected[call.id] = said.turn

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
        result = (plain_text(content)[: self._session_log.host.settings.longest_result], failed)
        future = self._awaited.get(call)
        if future is not None and not future.done():
            future.set_result(result)
            return self._turn
        turn = self._expected.pop(call, 0)
        if turn:
            self._early[call] = result
        return turn

    async def go_on(self, said: UserMessageEntry, ends: Sequence[asyncio.Event]) -> None:
        """Wait for the results of calls that an earlier process made in this turn, if there are some."""
        if calls := unanswered_calls(self._session_log, said):
            await self.run(said.turn, calls, ends)

    async def run(self, turn: int, calls: Sequence[ToolCall], ends: Sequence[asyncio.Event]) -> None:
        """Wait for the results of calls, for `settings.frontend_timeout` or until one of `ends` is set, and record them."""
        loop = asyncio.get_running_loop()
        self._turn = turn
        self._awaited = {call.id: loop.create_future() for call in calls}
        for call in calls:
            self._expected.pop(call.id, None)
            if call.id in self._early:
                self._awaited[call.id].set_result(self._early.pop(call.id))
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


def unanswered_calls(session_log: SessionLog, said: UserMessageEntry) -> list[ToolCall]:
    """Return the calls of the front end's own tools in the answer to a message that have no result in the log."""
    theirs = {each.name for each in said.tools} - session_log.tools.keys()
    if not theirs:
        return []
    mine = [each for each in session_log.entries() if getattr(each, "turn", 0) == said.turn]
    heard = {each.call for each in mine if isinstance(each, ToolResultEntry)}
    called = [call for each in mine if isinstance(each, ToolCallsEntry) for call in each.calls]
    return [call for call in called if call.name in theirs and call.id not in heard]
