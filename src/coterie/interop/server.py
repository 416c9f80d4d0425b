"""Run the server in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

import uvicorn
from starlette.applications import Starlette

from coterie.errors.orchestrator import ServerFailed
from coterie.interop.options import ServingOptions

_LOOK = 0.1
"""Seconds between two looks whether a second interrupt has come."""


def serve(application: Starlette, options: ServingOptions, *, ready: Callable[[str], None] = lambda _: None) -> None:
    """Serve an application, on an event loop of the server, until the process is interrupted.

    `ready` is called with the address once the server accepts connections. After SIGINT or SIGTERM the server accepts no
    more connections and drains the conversations (`Conversations.drain`): running work has `settings.shutdown_grace`
    seconds. Requests have `options.drain` seconds more to end. A second SIGINT ends it at once. SIGTERM ends the process
    with `SystemExit(143)`, so that ``with`` blocks around the call are left, unless the program has a handler of its own.
    Raises `ServerFailed` if the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((options.host, options.port))
    except OSError as error:
        listener.close()
        raise ServerFailed(options.host, options.port, error) from error
    port = listener.getsockname()[1]
    host = f"[{options.host}]" if family is socket.AF_INET6 else options.host
    settings = application.state.server.conversations.settings
    config = uvicorn.Config(
        application,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=math.ceil(settings.shutdown_grace + settings.cancel_grace + max(1.0, options.drain)),
        lifespan="on",
    )
    server = _Server(config, application, lambda: ready(f"http://{host}:{port}"))
    with listener, _leaving_blocks_after_sigterm():
        server.run(sockets=[listener])


@contextlib.contextmanager
def _leaving_blocks_after_sigterm() -> Iterator[None]:
    """Turn SIGTERM into an exception in the main thread. The server raises the signal again when it has stopped."""
    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or before is not signal.SIG_DFL:
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Server(uvicorn.Server):
    """Calls `ready` after startup; drains the conversations, and then ends endless streams, at shutdown."""

    def __init__(self, config: uvicorn.Config, application: Starlette, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._application = application
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        draining = asyncio.create_task(self._drain())
        await super().shutdown(sockets)
        await draining

    async def _drain(self) -> None:
        state = self._application.state.server
        draining = asyncio.create_task(state.conversations.drain())
        try:
            while not draining.done() and not self.force_exit:
                await asyncio.wait({draining}, timeout=_LOOK)
        finally:
            draining.cancel()
            state.closing.set()
