"""The leases of one conversation's operations on resources that it shares with other processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from coterie.conversation.operations.arbiter import reach_of
from coterie.conversation.operations.leases import LEASE, LeaseTable
from coterie.conversation.operations.operation import Operation

_LOOK = 0.2
"""Seconds between two requests for resources that others have."""
_MARGIN = 2.0
"""Seconds before the end of a lease from which on nothing is started with it."""


class OperationLeases:
    """Takes leases for the operations that may start in this process, renews them, and gives them up.

    Without a table, nothing is shared, and all may start. Only the conversation's thread uses it. `spawn` runs an asynchronous
    function as a task, `granted` is called when an operation has got its leases, and `lost` with the number of an operation
    that runs and whose lease has expired, because this process could not renew it in time.
    """

    def __init__(
        self,
        table: LeaseTable | None,
        holder: str,
        user: str,
        spawn: Callable[..., object],
        granted: Callable[[], None],
        lost: Callable[[int], None],
    ) -> None:
        self._table = table
        self._holder = holder
        self._user = user
        self._spawn = spawn
        self._granted = granted
        self._lost = lost
        self._needed: set[int] = set()
        self._requested: set[int] = set()
        self._held: dict[int, float] = {}
        """The time up to which an operation may start with its leases, in seconds of the loop."""
        self._renewing = False

    def keep(self, operations: Iterable[Operation]) -> None:
        """Give up the leases of all operations but these."""
        if self._table is None:
            return
        self._needed = {each.number for each in operations}
        for number in (self._held.keys() | self._requested) - self._needed:
            self._held.pop(number, None)
            self._requested.discard(number)
            self._table.release(self._holder, number)

    def admit(self, holding: Iterable[Operation], ready: Sequence[Operation]) -> list[Operation]:
        """Return the operations of `ready` that have their leases, and request those of the others, and of `holding`."""
        table = self._table
        if table is None:
            return list(ready)
        now = asyncio.get_running_loop().time()
        for each in (*holding, *ready):
            reach = reach_of(each, self._user)
            if reach is not None and each.number not in self._held and each.number not in self._requested:
                self._requested.add(each.number)
                self._spawn(self._acquire, table, reach, each)
        return [each for each in ready if reach_of(each, self._user) is None or self._held.get(each.number, 0.0) > now]

    def close(self) -> None:
        """Withdraw the requests. The leases of operations that still run expire."""
        if self._table is not None:
            for number in self._requested:
                self._table.release(self._holder, number)
            self._requested.clear()

    async def _acquire(self, table: LeaseTable, reach: Sequence[str], operation: Operation) -> None:
        loop, number = asyncio.get_running_loop(), operation.number
        while number in self._requested:
            asked = loop.time()
            if await table.acquire(self._holder, reach, operation):
                break
            await asyncio.sleep(_LOOK)
        if number not in self._requested:
            # It was withdrawn meanwhile, perhaps before the last request.
            table.release(self._holder, number)
            return
        self._requested.discard(number)
        self._held[number] = asked + LEASE - _MARGIN
        if not self._renewing:
            self._renewing = True
            self._spawn(self._renew, table)
        self._granted()

    async def _renew(self, table: LeaseTable) -> None:
        loop = asyncio.get_running_loop()
        while self._held:
            await asyncio.sleep(LEASE / 3)
            asked, numbers = loop.time(), tuple(self._held)
            alive = await table.renew(self._holder, numbers) if numbers else set()
            for number in numbers:
                if number in alive and number in self._held:
                    self._held[number] = asked + LEASE - _MARGIN
                elif self._held.pop(number, None) is not None:
                    self._lost(number)
        self._renewing = False
