"""A connection over which another member sends its frames."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable

_LENGTH = struct.Struct("!I")
_READ = 262_144
_TURN = 16
"""Reads of one connection before the others have their turn."""


class IncomingLink:
    """Reads the batches of one member. For the thread of the links alone, but for the construction."""

    def __init__(
        self,
        runtime: str,
        connection: socket.socket,
        largest: int,
        take: Callable[[str, memoryview], None],
        ended: Callable[[IncomingLink, str], None],
    ) -> None:
        self.runtime = runtime
        self.connection = connection
        self._largest = largest
        self._take = take
        self._ended = ended
        self._rest = bytearray()
        connection.settimeout(0)

    def read(self, _: int) -> None:
        """Take what has arrived."""
        connection = self.connection
        for _ in range(_TURN):
            try:
                data = connection.recv(_READ)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            except OSError as error:
                self._ended(self, error.strerror or str(error))
                return
            if not data:
                self._ended(self, "it has closed the connection")
                return
            if not self._split(data):
                self._ended(self, "it has sent more at once than is allowed")
                return
            # What an encrypted connection has read ahead does not show at the socket.
            if not (isinstance(connection, ssl.SSLSocket) and connection.pending()):
                return

    def _split(self, data: bytes) -> bool:
        """Hand the complete batches over, and keep the rest. Return False for one that is too large."""
        rest = self._rest
        if rest:
            rest += data
        at = 0
        with memoryview(rest or data) as view:
            size = len(view)
            while at + 4 <= size:
                (length,) = _LENGTH.unpack_from(view, at)
                if length > self._largest:
                    return False
                end = at + 4 + length
                if end > size:
                    break
                with view[at + 4 : end] as batch:
                    self._take(self.runtime, batch)
                at = end
            if not rest and at < size:
                self._rest = bytearray(view[at:])
        if rest and at:
            del rest[:at]
        return True
