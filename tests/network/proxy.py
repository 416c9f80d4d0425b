"""A TCP proxy that a test can cut and silence."""

import contextlib
import selectors
import socket
import threading

from coterie.concurrency import start_thread
from tests.network.nodes import free_address


class Proxy:
    """Forwards connections to an address. `_lock` guards the table of pairs; the thread of the proxy forwards."""

    def __init__(self, target: str, address: str = "") -> None:
        self.address = address or free_address()
        self.silent = False
        """True to take all bytes and forward none."""
        self.accepted = 0
        host, port = target.split(":")
        self._target = host, int(port)
        self._listener = socket.create_server((self.address.split(":")[0], int(self.address.split(":")[1])))
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._thread = start_thread(self._run, "proxy")

    def cut(self) -> None:
        """Close all connections. New ones can be made."""
        with self._lock:
            for each in list(self._pairs):
                self._drop(each)

    def close(self) -> None:
        self._closed = True
        self._thread.join(10)
        self.cut()
        self._selector.close()
        self._listener.close()

    def _run(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select(0.02):
                assert isinstance(key.fileobj, socket.socket)
                with self._lock:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj in self._pairs:
                        self._forward(key.fileobj)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection(self._target, timeout=5)
        except OSError:
            near.close()
            return
        self.accepted += 1
        for one, other in ((near, far), (far, near)):
            self._pairs[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _forward(self, source: socket.socket) -> None:
        try:
            data = source.recv(65536)
            if data and not self.silent:
                self._pairs[source].sendall(data)
        except OSError:
            data = b""
        if not data:
            self._drop(source)

    def _drop(self, source: socket.socket) -> None:
        for each in (source, self._pairs.get(source)):
            if each is not None and self._pairs.pop(each, None) is not None:
                self._selector.unregister(each)
                with contextlib.suppress(OSError):
                    each.close()
