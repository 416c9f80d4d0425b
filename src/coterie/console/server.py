"""The console of a process: a server on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn

from coterie.concurrency import Signal, Thread, start_thread
from coterie.console.application import ConsoleApplication
from coterie.console.audit import AuditLog
from coterie.console.commands import RunCommands
from coterie.console.options import ConsoleOptions
from coterie.console.routes import routes
from coterie.console.sources import Sources
from coterie.errors import InvalidSetting
from coterie.errors.orchestrator import ServerFailed
from coterie.kernel import Clock, SystemClock
from coterie.kernel.access import AccessToken

_VARIABLE = "COTERIE_TOKEN"
_LOOK = 0.2
"""Seconds between two looks whether somebody looks on."""
_PATIENCE = 5.0
"""Seconds for the start of the server, and for its end."""


class Console:
    """Serves the console of this process, until it is closed.

    ::

        with Console(runs=["runs"]) as console:
            console.show(runtime)
            print(console.link)

    It serves from its construction on, on a thread of its own. `runs` are folders of runs, and folders in which such folders
    are. `token` is by default that of the environment variable ``COTERIE_TOKEN``, or a new one; its holder sees all and may do
    all. `users` are tokens that each show one user's own conversations and memories only. Everything that was shown stays
    until `hide` or `close`. Safe from any thread. Raises `InvalidSetting`, and `ServerFailed` for an address that is taken.
    """

    def __init__(
        self,
        runs: Iterable[Path | str] = (),
        *,
        options: ConsoleOptions | None = None,
        token: AccessToken | None = None,
        users: Mapping[str, AccessToken] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._options = options if options is not None else ConsoleOptions()
        self._token = token if token is not None else AccessToken.of(os.environ, _VARIABLE)
        if self._options.expose and self._token.generated:
            need = f"one of your own in the environment variable {_VARIABLE}, when other machines are let in"
            raise InvalidSetting("token", "", need)
        self._clock = clock if clock is not None else SystemClock()
        self._sources = Sources(map(Path, runs))
        self._commands = RunCommands(self._clock)
        audit = AuditLog(self._options.audit)
        made = routes(self._sources, self._clock, self._options, audit.entries, self._commands)
        self._close_pages = made.close
        self._application = ConsoleApplication(self._sources, made.pages, made.actions, self._options, self._clock, audit)
        listener, self._address = _listen(self._options)
        asgi = self._application.asgi(self._token, users or {}, listener.getsockname()[1])
        config = uvicorn.Config(
            asgi, access_log=False, log_config=None, server_header=False, lifespan="on", timeout_graceful_shutdown=1, ws="none"
        )
        self._server = _Server(config, self._application)
        self._listener = listener
        self._thread: Thread = start_thread(lambda: self._server.run(sockets=[listener]), "coterie-console", part="console")
        self._server.ready.wait(_PATIENCE)

    @property
    def address(self) -> str:
        """The address, such as ``http://127.0.0.1:8790``."""
        return self._address

    def link(self, path: str = "/") -> str:
        """Return the link to a page, with the token: show it to the operator only."""
        return f"{self._address}{path}?token={self._token.reveal()}"

    def show(self, thing: Any, name: str = "") -> str:
        """Show a part of this process: a runtime, simulation, host of conversations, memory, or meetings. Return its name.

        The simulation of a run with a folder gets the name of the folder, which joins the two. Raises `InvalidSetting`.
        """
        return self._sources.add(thing, name)

    def hide(self, thing: Any) -> None:
        """Show a part no longer."""
        self._sources.remove(thing)

    @property
    def viewers(self) -> int:
        """The number of pages that are open and visible now."""
        return self._application.viewers

    def wait(self, alone: float | None = None) -> None:
        """Block until the console is closed, or no page was open for `alone` seconds, if given."""
        since = self._clock.monotonic()
        while not self._server.ended.wait(_LOOK):
            if self.viewers:
                since = self._clock.monotonic()
            elif alone is not None and self._clock.monotonic() - since >= alone:
                return

    def close(self) -> None:
        """Stop serving. Open pages say so, and find a console that is started again at the same address."""
        self._server.stop()
        self._thread.join(_PATIENCE)
        self._listener.close()
        self._commands.close()
        self._close_pages()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()


class _Server(uvicorn.Server):
    """Sets `ready` after startup, and ends the streams of pages before it waits for open requests."""

    def __init__(self, config: uvicorn.Config, application: ConsoleApplication) -> None:
        super().__init__(config)
        self._application = application
        self._loop: asyncio.AbstractEventLoop | None = None
        self.ready, self.ended = Signal(), Signal()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._application.closing is not None:
            self._application.closing.set()
        await super().shutdown(sockets)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            self.ready.set()
            self.ended.set()

    def stop(self) -> None:
        """Begin to stop. From any thread."""
        self.should_exit = True
        if self._loop is not None and self._application.closing is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                self._loop.call_soon_threadsafe(self._application.closing.set)


def _listen(options: ConsoleOptions) -> tuple[socket.socket, str]:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((options.host, options.port))
    except OSError as error:
        listener.close()
        raise ServerFailed(options.host, options.port, error) from error
    host = f"[{options.host}]" if family is socket.AF_INET6 else options.host
    return listener, f"http://{host}:{listener.getsockname()[1]}"
