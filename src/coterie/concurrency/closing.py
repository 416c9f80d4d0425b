"""``async with`` for objects that are made for ``with``."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from coterie.concurrency.completion import Signal
from coterie.concurrency.threads import start_thread


class AsyncContext:
    """Adds ``async with`` to a class that has ``with``. The end of the block runs on a helper thread, not on the event loop."""

    __slots__ = ()

    async def __aenter__(self) -> Self:
        owner: Any = self
        entered: Self = owner.__enter__()
        return entered

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        owner: Any = self
        ended = Signal()
        failures: list[BaseException] = []

        def end() -> None:
            try:
                owner.__exit__(kind, error, trace)
            except BaseException as failure:  # noqa: BLE001 - the task that leaves the block raises it
                failures.append(failure)
            finally:
                ended.set()

        start_thread(end, f"end of {type(self).__name__}")
        await ended
        if failures:
            raise failures[0]
