"""Many conversations in one process."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import msgspec

from coterie.concurrency import Rank, Signal, new_lock
from coterie.conversation.history.journal import Journal, key_of, namespace_of, parts_of
from coterie.conversation.host import Host
from coterie.conversation.operations.operation import OperationState
from coterie.conversation.port import Port
from coterie.conversation.session.session import Session
from coterie.conversation.session.watcher import Look, Roll, Watcher
from coterie.conversation.settings import ConversationSettings
from coterie.conversation.telemetry import ConversationMetrics
from coterie.conversation.tools.tool import Tool
from coterie.errors import ConversationClosed, InvalidNamespace, InvalidSetting
from coterie.kernel import Clock, check_instance, clock_or_system
from coterie.models import Model
from coterie.runtime import AgentRef, Runtime
from coterie.storage import Database, open_database

if TYPE_CHECKING:
    from coterie.conversation.conversation import Conversation

_STALL = 3600.0
"""Seconds that a tool may hold its thread, on a runtime of our own, before it counts as stalled: tools are long."""
_STOP = 2.0
"""Seconds that our own runtime waits for tools to stop when it is closed."""


class Conversations:
    """Holds conversations by their namespaces: one model, one set of tools, one store, thousands of users.

    ::

        with Conversations(model, tools=[…], store="chats.db") as conversations:
            chat = conversations.open(("customer", "42"))

    Each conversation is an agent, and so is each running operation, on `runtime`, or on one of its own. `store` is a path,
    an address of PostgreSQL, or an open database, which then stays open; without one, all is forgotten at the end.
    `provide` is what tools get by ``context.use(kind)``. `clock` is for a runtime of its own; with `runtime` it is that
    one's. Safe from any thread; `_lock` guards the tables. Raises `InvalidSetting`, `DefinitionError` for two tools of one
    name, and what the database raises when it is opened.
    """

    def __init__(
        self,
        model: Model,
        tools: Iterable[Tool] = (),
        *,
        store: Database | str | os.PathLike[str] | None = None,
        provide: Iterable[Any] = (),
        settings: ConversationSettings | None = None,
        runtime: Runtime | None = None,
        clock: Clock | None = None,
    ) -> None:
        if not callable(getattr(model, "stream", None)):
            raise InvalidSetting("model", model, "a model, with ask and stream")
        check_instance("settings", settings, (ConversationSettings, type(None)), "ConversationSettings, or None")
        check_instance("runtime", runtime, (Runtime, type(None)), "a Runtime, or None")
        when = clock_or_system("clock", clock)
        tools = list(tools)
        with contextlib.ExitStack() as undo:
            self._folder = Path(tempfile.mkdtemp(prefix="coterie-conversations-")) if store is None else None
            if self._folder is not None:
                undo.callback(shutil.rmtree, self._folder, ignore_errors=True)
            place = self._folder / "conversations.db" if self._folder is not None else store
            self._owns_database = isinstance(place, str | os.PathLike)
            database: Any = open_database(place) if isinstance(place, str | os.PathLike) else place
            if self._owns_database:
                undo.callback(database.close)
            self._database: Database = database
            self._owns_runtime = runtime is None
            self._runtime = (
                runtime if runtime is not None else Runtime("chat", clock=when, stall_after=_STALL, stop_timeout=_STOP)
            )
            if self._owns_runtime:
                undo.callback(self._runtime.stop, drain=False)
            journal = Journal(database, self._runtime.clock)
            self._host = Host(
                model,
                tools,
                journal,
                settings if settings is not None else ConversationSettings(),
                provide,
                self._runtime.clock,
            )
            self._roll = Roll()
            self._watcher = self._runtime.spawn(Watcher, self._roll)
            undo.pop_all()
        self._lock = new_lock(Rank.CONVERSATIONS)
        self._open: dict[str, tuple[Port, AgentRef, Conversation]] = {}
        self._opening: dict[str, Signal] = {}
        self._closed = False

    def open(self, namespace: str | Iterable[str], *, user: str = "") -> Conversation:
        """Return the conversation of a namespace, as it was left. While it is open this is the same one.

        Raises `InvalidNamespace` and `ConversationClosed`.
        """
        from coterie.conversation.conversation import Conversation  # noqa: PLC0415 - the two know each other

        parts = namespace_of(namespace)
        key = key_of(parts)
        if not isinstance(user, str):
            raise InvalidNamespace(user, "the user is no text")
        while True:
            with self._lock:
                if self._closed:
                    raise ConversationClosed("/".join(parts))
                there = self._open.get(key)
                if there is not None and there[1].is_alive:
                    return there[2]
                opening = self._opening.get(key)
                if opening is None:
                    opened = self._opening[key] = Signal()
                    break
            opening.wait()
        # One at a time for each namespace, for an opening takes the conversation over from the one before.
        try:
            port = Port(self._host, parts, user)
            ref = self._runtime.spawn(Session, port)
            self._roll.add(ref, port)
            self._watcher.tell(Look(agent=ref))
            chat = Conversation.attach(self, port, ref)
            in_time = self._keep(key, port, ref, chat)
        finally:
            with self._lock:
                del self._opening[key]
            opened.set()
        if not in_time:
            ref.stop(drain=False)
            raise ConversationClosed(port.name)
        return chat

    def _keep(self, key: str, port: Port, ref: AgentRef, chat: Conversation) -> bool:
        """Keep what was opened; return False if the host was closed meanwhile."""
        with self._lock:
            if not self._closed:
                self._open[key] = (port, ref, chat)
            return not self._closed

    @property
    def settings(self) -> ConversationSettings:
        """How they behave."""
        return self._host.settings

    def namespaces(self) -> tuple[tuple[str, ...], ...]:
        """Return the namespaces that anything is kept of."""
        return tuple(parts_of(key) for key in self._host.journal.namespaces())

    def metrics(self) -> ConversationMetrics:
        """Return what has been done, by tool. Taking it holds up nobody."""
        with self._lock:
            ports = [port for port, _, _ in self._open.values()]
        states = [each.state for port in ports for each in port.live.values()]
        return msgspec.structs.replace(
            self._host.telemetry.snapshot(),
            conversations=len(ports),
            running=sum(state in (OperationState.RUNNING, OperationState.CANCELLING) for state in states),
            queued=states.count(OperationState.QUEUED),
        )

    async def aclose(self) -> None:
        """Close all conversations. What is unfinished is taken up when they are opened again."""
        refs = self._begin_to_close()
        for ref in refs:
            await ref.stop(drain=False)
        if self._owns_runtime:
            async with self._runtime:
                self._runtime.stop_timeout = _STOP
        self._let_go()

    def close(self) -> None:
        """Do as `aclose`, and block this thread meanwhile."""
        replies = [ref.stop(drain=False) for ref in self._begin_to_close()]
        for reply in replies:
            reply.result()
        if self._owns_runtime:
            self._runtime.stop(drain=False)
        self._let_go()

    def close_one(self, port: Port) -> AgentRef | None:
        """Take a conversation out; return its agent, which the caller stops, or None if it is out already."""
        with self._lock:
            there = self._open.get(port.key)
            if there is None or there[0] is not port:
                return None
            del self._open[port.key]
        port.feed.close()
        return there[1]

    def _begin_to_close(self) -> list[AgentRef]:
        with self._lock:
            self._closed = True
            there, self._open = list(self._open.values()), {}
        for port, _, _ in there:
            port.feed.close()
        return [*(ref for _, ref, _ in there), self._watcher]

    def _let_go(self) -> None:
        if self._owns_database:
            self._database.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.aclose()
