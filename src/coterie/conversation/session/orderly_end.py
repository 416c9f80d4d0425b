"""The orderly end of a session: running work gets time, the rest is stopped, and what became of each is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from coterie.conversation.session.scheduler import OperationScheduler


class OrderlyEnd:
    """Ends the work of a session before its agent is stopped. Only the conversation's thread uses it.

    `busy` returns whether a turn or a delivery is going on. An operation whose attempt does not stop within
    `settings.cancel_grace` keeps its state in the ledger, as after a crash.
    """

    def __init__(self, scheduler: OperationScheduler, busy: Callable[[], bool]) -> None:
        self._scheduler = scheduler
        self._busy = busy
        self._news = asyncio.Event()
        self.begun = False
        """Whether no new turn starts any more."""
        self.halting = False
        """Whether no delivery starts any more: what became of operations from now on is told at the next opening."""

    def notify(self) -> None:
        """Look again whether all has ended: a turn, a delivery or an attempt has."""
        self._news.set()

    async def run(self, grace: float) -> None:
        """Wait up to `grace` seconds for what runs, then stop it, and return when the outcome of each is recorded."""
        self.begun = self._scheduler.draining = True
        self._scheduler.mark_draining()
        await self._wait(grace, lambda: self._busy() or self._scheduler.runs)
        self.halting = True
        self._scheduler.attempts.halt()
        await self._wait(self._scheduler.host.settings.cancel_grace, lambda: self._scheduler.runs)

    async def _wait(self, seconds: float, going_on: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while going_on() and (left := until - loop.time()) > 0:
            self._news.clear()
            try:
                async with asyncio.timeout(left):
                    await self._news.wait()
            except TimeoutError:
                return
