"""One thread that waits for the input and output of all event loops that rest."""

from __future__ import annotations

import logging
import os
import select
from collections.abc import Callable

from coterie.concurrency import Rank, Thread, new_lock, start_thread

_log = logging.getLogger(__name__)


class Poller:
    """Watches the selectors of resting loops, one file descriptor each, nested in an epoll of its own.

    A descriptor is watched once each time it is armed; when something is there, its `arrived` is called, on the
    poller's thread, which is started with the first descriptor. Safe from any thread: `_lock` guards the start and the
    end, the kernel guards the epoll, and `_arrived` is a dict whose single operations are atomic.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = new_lock(Rank.RECORDS)
        self._epoll: select.epoll | None = None
        self._arrived: dict[int, Callable[[], None]] = {}
        self._alarm = -1
        self._thread: Thread | None = None
        self._closed = False

    @staticmethod
    def supported() -> bool:
        """Return whether this platform has epoll and eventfd (Linux)."""
        return hasattr(select, "epoll") and hasattr(os, "eventfd")

    def add(self, descriptor: int, arrived: Callable[[], None]) -> None:
        """Know a descriptor from now on; it is not watched until it is armed."""
        with self._lock:
            epoll = self._epoll
            if epoll is None:
                epoll = self._epoll = select.epoll()
                self._alarm = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                epoll.register(self._alarm, select.EPOLLIN)
                self._thread = start_thread(self._run, f"{self._name}-poller", part=self._name)
        self._arrived[descriptor] = arrived
        epoll.register(descriptor, select.EPOLLONESHOT)

    def arm(self, descriptor: int) -> None:
        """Watch a descriptor until something is there."""
        if self._epoll is not None:
            self._epoll.modify(descriptor, select.EPOLLIN | select.EPOLLONESHOT)

    def remove(self, descriptor: int) -> None:
        """Forget a descriptor. Call this before it is closed."""
        if self._arrived.pop(descriptor, None) is not None and self._epoll is not None:
            self._epoll.unregister(descriptor)

    @property
    def threads(self) -> int:
        """The number of its threads: 0 before the first descriptor, then 1."""
        return int(self._thread is not None)

    def close(self, timeout: float) -> None:
        """Watch nothing more, and end the thread."""
        with self._lock:
            self._closed = True
            thread, epoll = self._thread, self._epoll
            self._thread = None
        if thread is None or epoll is None:
            return
        os.eventfd_write(self._alarm, 1)
        thread.join(timeout)
        if not thread.is_alive():
            epoll.close()
            os.close(self._alarm)

    def _run(self) -> None:
        epoll = self._epoll
        assert epoll is not None
        while not self._closed:
            for descriptor, _ in epoll.poll():
                arrived = self._arrived.get(descriptor)
                if arrived is not None:
                    try:
                        arrived()
                    except Exception:  # noqa: BLE001 - it is logged, and others go on
                        _log.exception("the poller could not wake an event loop")
