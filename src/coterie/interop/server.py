"""Run the server in the foreground."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

from coterie.errors.orchestrator import ServerFailed
from coterie.interop.options import ServingOptions


def serve(application: Starlette, options: ServingOptions, *, ready: Callable[[str], None] = lambda _: None) -> None:
    """Serve an application, on an event loop of the server, until the process is interrupted.

    `ready` is called with the address once the server accepts connections. After the interrupt, running requests have
    `options.drain` seconds to end. Raises `ServerFailed` if the address cannot be bound.
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
    config = uvicorn.Config(
        application,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=max(1, round(options.drain)),
        lifespan="on",
    )
    server = _Server(config, application, lambda: ready(f"http://{host}:{port}"))
    with listener:
        server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """Calls `ready` after startup, and ends endless streams at shutdown."""

    def __init__(self, config: uvicorn.Config, application: Starlette, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._application = application
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._application.state.server.closing.set()
        await super().shutdown(sockets)
