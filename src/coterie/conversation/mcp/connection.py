"""The connection to an MCP server: it lives on an event loop of its own, and is made anew when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any

import httpx2
import mcp_types
from mcp import Client, MCPError
from mcp.shared.dispatcher import ProgressFnT
from pydantic import ValidationError

from coterie.concurrency import Signal
from coterie.conversation.mcp.policy import McpToolPolicy
from coterie.conversation.mcp.tools import ListedTool, make_tool, result_text, with_hints
from coterie.conversation.mcp.transports import ServerSettings, transport_of, watched
from coterie.conversation.operations.operation import Effect
from coterie.conversation.tools.context import ToolContext
from coterie.conversation.tools.tool import Tool
from coterie.errors import CoterieError, OperationStopped, OutcomeUnknown, ToolFailed, describe
from coterie.errors.conversation import ToolServerUnavailable
from coterie.kernel import SystemClock
from coterie.models.gateway.loop import EventLoopThread

_log = logging.getLogger("coterie.conversation.mcp")

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 30.0
"""Seconds before another attempt to connect; the delay doubles with each that fails."""
_PAGES = 100
_MAX_TOOLS = 1_000
"""Limits of a list of tools, so that a server cannot send one without an end."""
_CLOSING = 8.0
"""Seconds that the program of a server has to end."""
_LONGEST_PROBLEM = 300
"""Characters of an error of the library in one of ours."""
_LOST = (mcp_types.CONNECTION_CLOSED,)


class _Link:
    """One connection, from its start to its end. Only its loop uses it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.ended = asyncio.Event()
        self.over = asyncio.Event()
        """Set after everything of it has been released, and `refused` is known."""
        self.open_calls = 0
        self.refused = False
        """Whether the server could not be reached any more."""


class McpConnection:
    """Keeps a server connected, and calls its tools.

    Safe from any thread: the loop alone changes state, and values that other threads read are replaced whole.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._thread = EventLoopThread(SystemClock(), f"mcp-{settings.name}")
        self._first = Signal()
        self._link: _Link | None = None
        self._linked: asyncio.Event | None = None
        self._stale: asyncio.Event | None = None
        self._serving: asyncio.Task[None] | None = None
        self._attempt: asyncio.Timeout | None = None
        """The time limit of the present attempt to connect."""
        self._closing: asyncio.Event | None = None
        self._problem = "it was not connected yet"
        self._schemas: dict[str, Any] = {}
        self._listed: frozenset[str] = frozenset()
        self.tools: tuple[Tool, ...] = ()
        """All tools that the server has had."""
        self.problems: tuple[str, ...] = ()

    @property
    def connected(self) -> bool:
        """Whether the server is connected."""
        return self._link is not None

    def open(self, *, required: bool) -> None:
        """Connect, and wait for the list of tools. Raises `ToolServerUnavailable` if `required`."""
        self._thread.call(self._start)
        self._first.wait(self._settings.connect_timeout)
        if required and self._link is None:
            raise ToolServerUnavailable(self._settings.name, self._problem, self._remedy())

    def close(self) -> None:
        """End the connection and its thread."""
        with contextlib.suppress(RuntimeError, TimeoutError):  # it has ended already, or does not end in time
            self._thread.run(self._stop(), _CLOSING)
        self._thread.stop()

    def _remedy(self) -> str:
        if self._settings.url is not None:
            return "see that it runs, and that the address and the headers are right"
        return "see that the command works in a shell; what it writes to its standard error is in `log`, if that is given"

    # On the loop.

    def _start(self) -> None:
        self._linked, self._stale, self._closing = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._serving = asyncio.get_running_loop().create_task(self._serve())

    async def _stop(self) -> None:
        if self._serving is None or self._closing is None:
            return
        self._closing.set()
        if self._link is not None:
            self._link.ended.set()
        elif self._attempt is not None:
            # The end of an attempt is awaited. To cancel its task a second time would leave the server's program running.
            with contextlib.suppress(RuntimeError):  # it is over, or ends already
                self._attempt.reschedule(asyncio.get_running_loop().time())
        await asyncio.wait({self._serving}, timeout=_CLOSING - 1.0)

    async def _serve(self) -> None:
        assert self._closing is not None
        delay = _FIRST_DELAY
        while not self._closing.is_set():
            try:
                await self._connect_once()
                delay = _FIRST_DELAY
            except Exception as error:  # noqa: BLE001 - whatever a server or a library raises, the next attempt may succeed
                self._problem = " ".join(describe(_innermost(error)).split())[:_LONGEST_PROBLEM]
                if not self._closing.is_set():
                    _log.warning("the server %s is not connected: %s", self._settings.name, self._problem)
            self._first.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._closing.wait()
            delay = min(_LONGEST_DELAY, 2 * delay)

    async def _connect_once(self) -> None:
        assert self._linked is not None
        assert self._stale is not None
        link: _Link | None = None
        ended = asyncio.Event()
        try:
            async with contextlib.AsyncExitStack() as stack:
                client = Client(watched(transport_of(self._settings), ended), message_handler=self._heard, cache=None)
                async with asyncio.timeout(self._settings.connect_timeout) as self._attempt:
                    await stack.enter_async_context(client)
                    await self._relist(client)
                link = _Link(client)
                link.ended = ended
                self._link = link
                self._linked.set()
                self._first.set()
                await self._while_connected(link)
        except BaseException as error:
            if link is not None:
                link.refused = _holds(error, httpx2.ConnectError)
            raise
        finally:
            self._link = None
            self._linked.clear()
            if link is not None:
                self._problem = "the connection has ended"
                link.over.set()

    async def _while_connected(self, link: _Link) -> None:
        """Return when the connection has ended; read the list of tools again when the server says that it has changed."""
        assert self._stale is not None
        listening = asyncio.create_task(self._listen(link.client))
        try:
            while not link.ended.is_set():
                self._stale.clear()
                ended, stale = asyncio.create_task(link.ended.wait()), asyncio.create_task(self._stale.wait())
                try:
                    await asyncio.wait({ended, stale}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    ended.cancel()
                    stale.cancel()
                if self._stale.is_set() and not link.ended.is_set():
                    await self._relist_contained(link.client)
        finally:
            listening.cancel()

    async def _relist_contained(self, client: Client) -> None:
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                await self._relist(client)
        except Exception as error:  # noqa: BLE001 - the tools stay as they were
            self.problems = (f"its list of tools could not be read again: {describe(_innermost(error))}",)
            _log.warning("the server %s: %s", self._settings.name, self.problems[0])

    async def _listen(self, client: Client) -> None:
        """Hear of changed tools on connections of the newer protocol, on which servers tell only those that ask."""
        assert self._stale is not None
        changes = client.server_capabilities.tools
        if changes is None or not changes.list_changed:
            return
        try:
            async with client.listen(tools_list_changed=True) as events:
                async for _ in events:
                    self._stale.set()
        except Exception as error:  # noqa: BLE001 - an older server tells by itself, and others need not tell
            _log.debug("the server %s does not tell of changes: %s", self._settings.name, describe(error))

    async def _heard(self, message: Any) -> None:
        if isinstance(message, mcp_types.ToolListChangedNotification) and self._stale is not None:
            self._stale.set()
        elif isinstance(message, Exception):
            _log.warning("the server %s sent what is not MCP: %s", self._settings.name, describe(message)[:500])

    # The list of tools.

    async def _relist(self, client: Client) -> None:
        listed: list[Any] = []
        cursor: str | None = None
        for _ in range(_PAGES):
            page = await client.list_tools(cursor=cursor)
            listed += page.tools
            cursor = page.next_cursor
            if cursor is None or len(listed) > _MAX_TOOLS:
                break
        self._take(listed[:_MAX_TOOLS])

    def _take(self, listed: list[Any]) -> None:
        """Make tools from a list. A tool whose definition has not changed stays the same object."""
        tools = {each.name: each for each in self.tools}
        problems: list[str] = []
        names: set[str] = set()
        for each in listed:
            definition = (each.description, each.input_schema, each.annotations)
            own = self._settings.policies.get(each.name)
            policy = own if own is not None else self._settings.policy
            if policy.hidden or each.name in names:
                continue
            before = self._schemas.get(each.name)
            if before is None or before[0] != definition:
                if own is None and self._settings.trusted:
                    policy = with_hints(policy, each)
                try:
                    made = self._make(each, policy)
                except (CoterieError, ValueError, TypeError) as error:
                    problems.append(str(error))
                    continue
                self._schemas[each.name] = (definition, made.name)
                tools[made.name] = made
            names.add(each.name)
        missing = self._settings.policies.keys() - {each.name for each in listed}
        problems += [f"it has no tool {name!r}, which has a policy" for name in sorted(missing)]
        for each in problems:
            _log.warning("the server %s: %s", self._settings.name, each)
        self.problems = tuple(problems)
        self._listed = frozenset(names)
        self.tools = tuple(tools.values())

    def _make(self, listed: ListedTool, policy: McpToolPolicy) -> Tool:
        name = listed.name

        async def call(context: ToolContext, arguments: Mapping[str, Any]) -> str:
            return await self._call(name, policy, context, arguments)

        return make_tool(self._settings.name, listed, policy, self._settings.prefix, call, lambda: name in self._listed)

    # Calls, from the threads of tools.

    async def _call(self, name: str, policy: McpToolPolicy, context: ToolContext, arguments: Mapping[str, Any]) -> str:
        sent = _Sent()
        try:
            future = asyncio.run_coroutine_threadsafe(self._call_here(name, context, dict(arguments), sent), self._thread.loop)
        except RuntimeError as error:
            raise ToolServerUnavailable(self._settings.name, "it was closed", "open it again") from error
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError as error:
            # The cancelled future has cancelled the call, and the server was told.
            if sent.done and policy.effect == Effect.WRITE and not policy.stops_cleanly:
                told = "it was told to stop, and may have done it"
                raise OutcomeUnknown(f"the server {self._settings.name} does not tell what became of it; {told}") from error
            raise

    async def _call_here(self, name: str, context: ToolContext, arguments: dict[str, Any], sent: _Sent) -> str:
        while True:
            link = await self._connected()
            alone = link.open_calls == 0
            link.open_calls += 1
            sent.done = True
            try:
                result = await link.client.call_tool(name, arguments, progress_callback=_progress_to(context))
            except MCPError as error:
                if error.code not in _LOST:
                    if error.code == mcp_types.INVALID_REQUEST and "terminated" in error.message:
                        # The server has started anew and does not know this session, so it did nothing.
                        link.ended.set()
                        await link.over.wait()
                        continue
                    raise ToolFailed(error.message) from error
                link.ended.set()
                await link.over.wait()
                if alone and link.refused:
                    sent.done = False
                    continue
                raise OutcomeUnknown(f"the connection to the server {self._settings.name} broke during the call") from error
            except (ValidationError, RuntimeError, ValueError) as error:
                reason = describe(error).splitlines()[0][:300]
                raise OutcomeUnknown(f"the server {self._settings.name} answered nonsense: {reason}") from error
            finally:
                link.open_calls -= 1
            text = result_text(result)
            if result.is_error:
                raise ToolFailed(text or "it failed, and the server did not say why")
            return text

    async def _connected(self) -> _Link:
        """Return the connection, after a wait for a new one if it has ended. Raises `ToolServerUnavailable`."""
        assert self._linked is not None
        if self._link is None or self._link.ended.is_set():
            try:
                async with asyncio.timeout(self._settings.connect_timeout):
                    while self._link is None or self._link.ended.is_set():
                        await asyncio.sleep(0.01)
                        await self._linked.wait()
            except TimeoutError:
                raise ToolServerUnavailable(self._settings.name, self._problem, "it is tried again by itself") from None
        return self._link


class _Sent:
    """Whether a call may have reached the server. The loop writes it, the tool's thread reads it."""

    done = False


def _progress_to(context: ToolContext) -> ProgressFnT:
    async def report(progress: float, total: float | None, message: str | None) -> None:
        fraction = progress / total if total else progress if 0 <= progress <= 1 else 0.0
        with contextlib.suppress(OperationStopped):  # the call is being cancelled
            context.progress(min(1.0, max(0.0, fraction)), message or "")

    return report


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error


def _holds(error: BaseException, kind: type[BaseException]) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_holds(each, kind) for each in error.exceptions)
    return isinstance(error, kind)
