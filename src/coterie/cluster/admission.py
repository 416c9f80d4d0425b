"""The admission of members that connect: strangers are kept out, and keep no place that a member needs."""

from __future__ import annotations

import itertools
import logging
import socket
from collections import OrderedDict
from collections.abc import Callable

from coterie.cluster.introduction import admit
from coterie.cluster.link_keys import LinkKeys
from coterie.cluster.link_thread import READ, LinkThread
from coterie.concurrency import Rank, new_lock, start_thread
from coterie.errors import describe
from coterie.kernel import SystemClock

_log = logging.getLogger(__name__)

_AT_ONCE = 64
_REST = 1.0
"""Seconds without new connections after the system had no room for one."""
_QUIET = 60.0
"""Seconds in which the same refusal is logged once."""
_REFUSALS = 1_000
"""Refusals that are remembered."""

_clock = SystemClock()


class Admissions:
    """Takes the connections of a listener, and lets those of members in. Each introduces itself on a thread of its own.

    So many may do so at once; one more ends the oldest: a member takes milliseconds, and what stays for long is none. `key_of`
    and `has_ended` are those of `admit`; `entered` is called, on any thread, with the runtime of a member and its connection.

    The thread of the links calls `accept` and `look`. `_lock` guards `_waiting` and `_refusals`.
    """

    def __init__(
        self,
        node: str,
        keys: LinkKeys,
        thread: LinkThread,
        listener: socket.socket,
        key_of: Callable[[str], bytes | None],
        has_ended: Callable[[str], bool],
        entered: Callable[[str, socket.socket], None],
    ) -> None:
        self._node = node
        self._keys = keys
        self._thread = thread
        self._listener = listener
        self._key_of = key_of
        self._has_ended = has_ended
        self._entered = entered
        self._lock = new_lock(Rank.RECORDS)
        self._waiting: OrderedDict[int, socket.socket] = OrderedDict()
        """The connections that are being introduced, oldest first: copies of them, which stay when the connection is encrypted."""
        self._numbers = itertools.count()
        self._refusals: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        """For each refusal, by the host and the problem, the time at which it was logged, and how often it came since."""
        self._rests_until: float | None = None

    def start(self) -> None:
        """Take connections from now on."""
        self._thread.watch(self._listener, READ, self.accept)

    def accept(self, _: int) -> None:
        """Take one connection."""
        try:
            connection, address = self._listener.accept()
            try:
                copy = connection.dup()
            except BaseException:
                connection.close()
                raise
        except (BlockingIOError, ConnectionError):
            return  # It has left already.
        except OSError as error:
            # The system has no descriptor left. The listener stays readable, so it is not looked at for a while.
            self._refuse("any host", describe(error))
            self._end_oldest()
            self._thread.unwatch(self._listener)
            self._rests_until = _clock.monotonic() + _REST
            return
        host, number = str(address[0]), next(self._numbers)
        if len(self._waiting) >= _AT_ONCE:
            self._end_oldest()
        with self._lock:
            self._waiting[number] = copy
        try:
            start_thread(lambda: self._admit(connection, number, host), f"{self._node}-admits")
        except RuntimeError as error:
            self._leave(number)
            connection.close()
            self._refuse(host, describe(error))

    def look(self, now: float) -> None:
        """Take connections again after a rest."""
        if self._rests_until is not None and now >= self._rests_until:
            self._rests_until = None
            self.start()

    def _admit(self, connection: socket.socket, number: int, host: str) -> None:
        """Let a member in. On a thread of its own."""
        try:
            entered, runtime = admit(connection, self._keys, self._node, self._key_of, self._has_ended)
        except Exception as error:  # noqa: BLE001 - whatever a stranger sends, it is not let in
            self._refuse(host, describe(error))
            return
        finally:
            self._leave(number)
        self._entered(runtime, entered)

    def _leave(self, number: int) -> None:
        with self._lock:
            copy = self._waiting.pop(number, None)
        if copy is not None:
            copy.close()

    def _end_oldest(self) -> None:
        """End the introduction that has begun first; its thread closes the connection."""
        with self._lock:
            oldest = self._waiting.popitem(last=False)[1] if self._waiting else None
        if oldest is not None:
            try:
                oldest.shutdown(socket.SHUT_RDWR)
            except OSError as error:
                _log.debug("a connection was closed already: %s", error)
            oldest.close()

    def _refuse(self, host: str, problem: str) -> None:
        """Log a refusal, and the same one again after a while with its count: strangers must not fill the log."""
        now = _clock.monotonic()
        with self._lock:
            at, count = self._refusals.pop((host, problem), (now - _QUIET, 0))
            logs = now - at >= _QUIET
            self._refusals[host, problem] = (now, 0) if logs else (at, count + 1)
            if len(self._refusals) > _REFUSALS:
                self._refusals.popitem(last=False)
        if logs:
            more = f" ({count:,} more times in the meantime)" if count else ""
            _log.warning("a connection from %s was refused: %s%s", host, problem, more)
