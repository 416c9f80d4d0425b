"""The end of a memory store: by `close`, by the end of the program, or because it was dropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from coterie.concurrency import SwitchInterval, Timers
from coterie.concurrency.exits import ExitOrder, end_dropped, register_exit_handler, unregister_exit_handler
from coterie.errors import CoterieError, describe
from coterie.kernel import Countdown


class _Closable(Protocol):
    """The records of a store."""

    @property
    def forked(self) -> bool:
        """True if they belong to the parent of this process."""
        ...

    def close(self, stop_users: Callable[[Countdown], object]) -> None:
        """Write all and close; see `RecordStore.close`."""
        ...

    def forget(self) -> bool:
        """Mark a forked copy as closed. Return whether it was open."""
        ...


class _Workers(Protocol):
    def close(self, timeout: float) -> None:
        """Finish the queued jobs and end the threads."""
        ...


class MemoryEnd:
    """Ends the parts of a store. It does not refer to the store itself, so that a dropped store is noticed."""

    def __init__(self, name: str, records: _Closable, timers: Timers, workers: _Workers, interval: SwitchInterval) -> None:
        self._name = name
        self._records = records
        self._timers = timers
        self._workers = workers
        self._interval = interval
        self._open = True
        register_exit_handler(self, ExitOrder.MEMORY)

    def close(self, stop_reads: Callable[[], object] = lambda: None) -> None:
        """Write everything that is left and end all threads; `stop_reads` is called once no change is accepted any more."""
        self._open = False
        unregister_exit_handler(self)
        if not self._records.forked:
            self._records.close(lambda countdown: self._stop(stop_reads, countdown))
        elif self._records.forget():
            # Everything belongs to the parent process.
            self._interval.release()

    def finish_at_exit(self) -> str | None:
        """Close the store. Return the loss as text; None without a loss."""
        try:
            self.close()
        except CoterieError as error:
            return f"{self._name}: {describe(error)}"
        return None

    def dropped(self) -> None:
        """Close the store, which was dropped, without making the caller wait. Does nothing if it is closed."""
        if self._open and not self._records.forked:
            end_dropped(self._name, self.close)

    def _stop(self, stop_reads: Callable[[], object], countdown: Countdown) -> None:
        stop_reads()
        self._timers.close()
        self._interval.release()
        self._workers.close(countdown.left() or 0.0)
