"""A small HTTP server of OpenAI's chat completions."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from coterie.concurrency import Rank, new_lock
from coterie.errors import describe
from coterie.kernel import SystemClock
from coterie.models.gateway.loop import EventLoopThread
from coterie.testing.models.responses import Served, ServedReply, chunk, error, head, whole

Script = Sequence[Served] | Callable[[Mapping[str, Any]], Served]


class ModelServer:
    """Serves chat completions on a free port of this machine, with the faults of a script.

    ::

        with ModelServer([Served.rate_limited(2), Served(break_after=3)]) as server:
            gateway = ModelGateway("openai:any", base_url=server.url)

    It supports streams, tool calls and JSON schemas, and counts requests. The script is a list, for requests in their order of
    arrival and with correct answers after its end, or a function of the request's JSON, called on the server's thread. The
    server uses asyncio alone, so that it can break off, hang or send invalid data at any point; one loop on one thread serves
    hundreds of requests at once. Safe from any thread; `_lock` guards the counts.
    """

    def __init__(self, script: Script = ()) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._script: Script = script
        self._received: list[dict[str, Any]] = []
        self._headers: list[dict[str, str]] = []
        self._running = self._most = self._left = self._served = 0
        self._thread = EventLoopThread(SystemClock(), "model-server")
        self._connections: set[asyncio.Task[None]] = set()
        try:
            self._server = self._thread.run(self._listen(0), 10.0)
            self._port: int = self._server.sockets[0].getsockname()[1]
        except BaseException:
            self._thread.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Its URL, for `base_url`."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The JSON of all requests, in order of arrival."""
        with self._lock:
            return list(self._received)

    @property
    def headers(self) -> list[dict[str, str]]:
        """The headers of all requests, with names in lower case."""
        with self._lock:
            return list(self._headers)

    @property
    def answered(self) -> int:
        """The number of requests answered to the end, errors included."""
        return self._served

    @property
    def running(self) -> int:
        """The number of requests in progress."""
        return self._running

    @property
    def most_at_once(self) -> int:
        """The maximum number of requests in progress at once."""
        return self._most

    @property
    def left(self) -> int:
        """The number of clients that disconnected before the end of their answer."""
        return self._left

    def play(self, script: Script) -> None:
        """Use another script from the next request on."""
        with self._lock:
            self._script = script
            self._received, self._headers = [], []
            self._most = self._left = self._served = 0

    def stop(self) -> None:
        """Refuse new connections and cut open ones, like a server that is down, until `start`."""
        self._thread.run(self._cut(), 10.0)

    def start(self) -> None:
        """Accept connections again, on the same port."""
        self._server = self._thread.run(self._listen(self._port), 10.0)

    def close(self) -> None:
        """Cut all connections, and stop the thread."""
        with contextlib.suppress(RuntimeError):  # it has been closed
            self._thread.run(self._cut(), 10.0)
        self._thread.stop()

    async def _listen(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._connected, "127.0.0.1", port, backlog=512)

    async def _cut(self) -> None:
        self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=5.0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = asyncio.current_task()
        assert own is not None
        self._connections.add(own)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            self._connections.discard(own)
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read a request and answer it; return whether to keep the connection."""
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if not lines[0].startswith("POST") or "/chat/completions" not in lines[0]:
            models = {"object": "list", "data": [{"id": "served", "object": "model"}]}
            writer.write(whole(200 if "/models" in lines[0] else 404, json.dumps(models).encode()))
            await writer.drain()
            return True
        try:
            request = json.loads(body)
        except ValueError:
            writer.write(whole(400, error(Served(error="the body is no JSON"))))
            await writer.drain()
            return True
        served, number = self._arrived(request, headers)
        ticket = _Ticket()
        answering = asyncio.ensure_future(self._answer(ServedReply(request, served, number), served, ticket, writer))
        # A client sends nothing during an answer: a read ends when it disconnects.
        watching = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait((answering, watching), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                with self._lock:
                    self._left += ticket.open
                return False
            return answering.result()
        finally:
            for task in (answering, watching):
                task.cancel()
            await asyncio.wait((answering, watching))
            self._end(ticket, answered=False)

    def _end(self, ticket: _Ticket, *, answered: bool = True) -> None:
        """Count the end of a request, before its client can see it."""
        with self._lock:
            if ticket.open:
                ticket.open = False
                self._running -= 1
                self._served += answered

    def _arrived(self, request: dict[str, Any], headers: dict[str, str]) -> tuple[Served, int]:
        with self._lock:
            number = len(self._received)
            self._received.append(request)
            self._headers.append(headers)
            self._running += 1
            self._most = max(self._most, self._running)
            script = self._script
        if callable(script):
            try:
                return script(request), number
            except Exception as error:  # noqa: BLE001 - the client gets it as an error of the server
                return Served(status=500, error=f"the script raised {describe(error)}"), number
        return script[number] if number < len(script) else Served(), number

    async def _answer(self, reply: ServedReply, served: Served, ticket: _Ticket, writer: asyncio.StreamWriter) -> bool:
        """Answer a request; return whether the answer was complete."""
        if served.delay:
            await asyncio.sleep(served.delay)
        if served.hang and served.break_after is None:
            await asyncio.Event().wait()
        if served.status >= 400:
            data = whole(served.status, error(served) if served.body is None else served.body.encode(), served.headers)
        elif reply.streamed:
            return await self._stream(reply, served, ticket, writer)
        elif served.break_after is not None:
            return False
        else:
            data = whole(200, reply.body() if served.body is None else served.body.encode(), served.headers)
        self._end(ticket)
        writer.write(data)
        await writer.drain()
        return True

    async def _stream(self, reply: ServedReply, served: Served, ticket: _Ticket, writer: asyncio.StreamWriter) -> bool:
        """Write a stream; return whether it was complete."""
        form = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked", **served.headers}
        writer.write(head(200, form))
        pieces = list(reply.pieces())
        for number, piece in enumerate(pieces):
            if served.break_after == number:
                await writer.drain()
                if served.hang:
                    await asyncio.Event().wait()
                return False
            if number == len(pieces) - 1:
                self._end(ticket)
            wrong = served.body is not None and number == 1
            writer.write(chunk(f"data: {served.body}\n\n".encode() if wrong else piece))
            await writer.drain()
            if served.pace:
                await asyncio.sleep(served.pace)
        writer.write(chunk(b""))
        await writer.drain()
        return True


class _Ticket:
    """A request in progress."""

    __slots__ = ("open",)

    def __init__(self) -> None:
        self.open = True
