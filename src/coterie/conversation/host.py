"""The host of conversations: the store, the runtime, and the table of open conversations. Below `Conversation`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import msgspec

from coterie.concurrency import Rank, Signal, new_lock
from coterie.conversation.activator import Activator
from coterie.conversation.endings import EndingConversation, end_all, end_all_blocking
from coterie.conversation.forgetting import ForgetReport, forget_user, namespaces_of
from coterie.conversation.history import HistoryPolicy
from coterie.conversation.host_end import HostEnd
from coterie.conversation.journal import Journal, key_of, namespace_of
from coterie.conversation.memories import UserMemories
from coterie.conversation.operations.operation import OperationState
from coterie.conversation.roles import AssistantDesk, AssistantRole, ModelLimit, Team
from coterie.conversation.sent_requests import SentRequest
from coterie.conversation.session.monitor import AwaitMonitored, MonitoredSessions, MonitorSession, SessionMonitor
from coterie.conversation.session.session import Session
from coterie.conversation.settings import ConversationSettings
from coterie.conversation.state import ConversationServices, ConversationState
from coterie.conversation.stored import ConversationReading
from coterie.conversation.telemetry import ConversationCollector, ConversationMetrics
from coterie.conversation.tools.source import ToolSource
from coterie.conversation.tools.tool import Tool
from coterie.errors import ConversationClosed, DeliveryError, InvalidSetting, ModelError, describe
from coterie.errors.conversation import InvalidNamespace
from coterie.kernel import Clock, check_instance, clock_or_system
from coterie.models import Model, ModelCollector, ModelGateway, ModelRequest, TextMessage
from coterie.runtime import AgentRef, Runtime, RuntimeCollector
from coterie.storage import Database, open_database
from coterie.telemetry import MetricsCollector, ProcessThreadsCollector, StorageCollector

H = TypeVar("H", bound="ConversationHandle")

_STALL = 3600.0
"""Seconds that a tool may hold its thread, on the host's own runtime, before it counts as stalled: tools run long."""
_STOP = 2.0
"""Seconds that the host's own runtime waits for tools to stop when it is closed."""


class ConversationHandle(Protocol):
    """A front end's handle of one conversation, as the host needs it. The host holds it weakly while its agent rests."""

    state: ConversationState
    activator: Activator


class ConversationHost(ConversationReading):
    """Opens the store and the runtime, and keeps at most one handle for each namespace.

    `Conversations` is the public form for many conversations; a single `Conversation` makes a host for itself. Safe from any
    thread; `_lock` guards the tables. Raises `InvalidSetting`, `DefinitionError` for two tools of one name, and the errors
    of opening the database.
    """

    def __init__(
        self,
        model: Model,
        tools: Iterable[Tool | ToolSource] = (),
        *,
        store: Database | str | os.PathLike[str] | None = None,
        provide: Iterable[Any] = (),
        team: Iterable[AssistantRole] | None = None,
        memory: UserMemories | None = None,
        settings: ConversationSettings | None = None,
        runtime: Runtime | None = None,
        clock: Clock | None = None,
    ) -> None:
        if not callable(getattr(model, "stream", None)):
            raise InvalidSetting("model", model, "a model with a method stream")
        check_instance("settings", settings, (ConversationSettings, type(None)), "ConversationSettings, or None")
        check_instance("memory", memory, (UserMemories, type(None)), "UserMemories, or None")
        check_instance("runtime", runtime, (Runtime, type(None)), "a Runtime, or None")
        when = clock_or_system("clock", clock)
        tools = list(tools)
        assistants = Team(team) if team is not None else None
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
            self._host = ConversationServices(
                model,
                tools,
                journal,
                settings if settings is not None else ConversationSettings(),
                (*provide, AssistantDesk(_desk(weakref.ref(self)))),
                self._runtime.clock,
                assistants,
                memory,
            )
            self._monitored = MonitoredSessions()
            self._monitor = self._runtime.spawn(SessionMonitor, self._monitored)
            undo.pop_all()
        self._lock = new_lock(Rank.CONVERSATIONS)
        self._open: dict[str, ConversationHandle] = {}
        self._resting: weakref.WeakValueDictionary[str, ConversationHandle] = weakref.WeakValueDictionary()
        self._opening: dict[str, Signal] = {}
        self._closed = False
        self._draining = False
        self._end = HostEnd(
            self._host.settings,
            self._monitored,
            self._monitor,
            runtime=self._runtime if self._owns_runtime else None,
            database=database if self._owns_database else None,
            folder=self._folder,
            clock=self._runtime.clock,
        )
        weakref.finalize(self, self._end.dropped).atexit = False

    def attach(
        self,
        namespace: str | Iterable[str],
        make: Callable[[ConversationState, Activator], H],
        *,
        user: str = "",
        team: Team | None = None,
        limit: ModelLimit | None = None,
    ) -> ConversationHandle:
        """Return the open handle of a namespace, or else the one that `make` returns, with its agent started.

        `team` are its assistants instead of those of the host, and `limit` bounds their models.

        Raises `InvalidNamespace` and `ConversationClosed`.
        """
        parts = namespace_of(namespace)
        key = key_of(parts)
        if not isinstance(user, str):
            raise InvalidNamespace(user, "the user is not a string")
        while True:
            with self._lock:
                if self._closed or self._draining:
                    raise ConversationClosed("/".join(parts))
                there = self._open.get(key)
                if there is not None and there.activator.is_alive:
                    return there
                resting = self._resting.get(key)
                if resting is not None and resting.activator.is_alive:
                    return resting
                opening = self._opening.get(key)
                if opening is None:
                    opened = self._opening[key] = Signal()
                    break
            opening.wait()
        # One at a time for each namespace, because opening takes the conversation over from its previous owner.
        try:
            state = ConversationState(self._host, parts, user, team=team, limit=limit)
            known: Callable[[], ConversationHandle | None]
            # The agents of conversations do not keep a host alive that no other code refers to.
            host = weakref.ref(self)
            activator = Activator(
                state.name, lambda: _begin(host(), state, known), lambda agent: _passivated(host(), agent, state, known)
            )
            chat = make(state, activator)
            known = weakref.ref(chat)
            state.rest = activator.rest
            activator.open()
        finally:
            with self._lock:
                del self._opening[key]
            opened.set()
        return chat

    @abstractmethod
    def open_with(self, team: Team, namespace: tuple[str, ...], user: str, limit: ModelLimit | None) -> object:
        """Return a conversation with other assistants than those of the host."""

    def begin(self, state: ConversationState, known: Callable[[], ConversationHandle | None]) -> AgentRef:
        """Start the agent of a conversation."""
        chat = known()
        assert chat is not None
        with self._lock:
            if self._closed or self._draining:
                raise ConversationClosed(state.name)
            self._resting.pop(state.key, None)
            self._open[state.key] = chat
        agent = self._runtime.spawn(Session, state)
        self._monitored.add(agent, state)
        self._monitor.tell(MonitorSession(agent=agent))
        return agent

    def passivated(self, agent: AgentRef, state: ConversationState, known: Callable[[], ConversationHandle | None]) -> None:
        """Handle the passivation of a conversation: keep a weak reference, so that a handle in use can activate it again."""
        self._monitored.take(agent)
        chat = known()
        with self._lock:
            self._open.pop(state.key, None)
            if chat is not None:
                self._resting[state.key] = chat

    @property
    def settings(self) -> ConversationSettings:
        """The settings of all conversations."""
        return self._host.settings

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The tools of the assistant that speaks first, by name."""
        team = self._host.team
        return self._host.tools_of(team.first if team is not None else None)

    @property
    def runtime(self) -> Runtime:
        """The runtime of its conversations and operations, to be observed."""
        return self._runtime

    def known(self, namespace: str | Iterable[str]) -> ConversationHandle | None:
        """Return the handle of a namespace, or None if it is not open. Raises `InvalidNamespace`."""
        key = key_of(namespace_of(namespace))
        with self._lock:
            return self._open.get(key) or self._resting.get(key)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Journal]:
        """Lend the journal."""
        yield self._host.journal

    def prompt_limits(self) -> tuple[HistoryPolicy, int]:
        """Return the policy of prompts, and the tokens of the model's window."""
        return self.settings.history, self._host.window

    def live_requests(self, namespace: str | Iterable[str]) -> tuple[SentRequest, ...]:
        """Return the requests of an open conversation that are in memory."""
        chat = self.known(namespace)
        return chat.state.requests if chat is not None else ()

    def metrics(self) -> ConversationMetrics:
        """Return the counts of this moment, by tool. It blocks no conversation."""
        with self._lock:
            sessions = [chat.state for chat in self._open.values()]
        states = [each.state for state in sessions for each in state.live.values()]
        return msgspec.structs.replace(
            self._host.telemetry.snapshot(),
            conversations=len(sessions),
            running=sum(state in (OperationState.RUNNING, OperationState.CANCELLING) for state in states),
            queued=states.count(OperationState.QUEUED),
        )

    def collectors(self) -> list[MetricsCollector[Any]]:
        """Return the collectors of metrics of the conversations, and of their runtime, database, model and process.

        Raises `ExtraMissing` without `prometheus-client`.
        """
        parts: list[MetricsCollector[Any]] = [ConversationCollector(self), RuntimeCollector(self._runtime)]
        if isinstance(self._host.model, ModelGateway):
            parts.append(ModelCollector(self._host.model))
        return [*parts, StorageCollector(self._database), ProcessThreadsCollector()]

    async def ask_model(self, instructions: str, exchanges: Iterable[TextMessage]) -> str:
        """Return the model's answer beside all conversations: it has no tools, and nothing is recorded.

        The model may say nothing for `settings.model_timeout` seconds. Raises `ModelError`.
        """
        request = ModelRequest(instructions=instructions, exchanges=tuple(exchanges), agent="aside", step="aside")
        try:
            return await self._host.complete(request)
        except TimeoutError as error:
            raise ModelError(f"{self._host.model.name} failed: {describe(error)}") from error

    async def forget(self, user: str, *, recordings: Iterable[str | os.PathLike[str]] = ()) -> ForgetReport:
        """Delete all conversations, operations and memories of a user, and return a report; see `forget_user`.

        The user's open conversations are closed first; opened again they are new and empty.
        """
        stored = {key_of(each) for each in await asyncio.to_thread(namespaces_of, self._host.journal, user)}
        with self._lock:
            there = (*self._open.values(), *self._resting.values())
            mine = [each for each in there if each.state.user == user or each.state.key in stored]
        await end_all([ending for each in mine for ending in self.end_one(each)], 0.0)
        memories = self._host.memories
        memory = memories.memory if memories is not None else None
        return await asyncio.to_thread(forget_user, self._database, user, memory=memory, recordings=tuple(recordings))

    async def drain(self, grace: float | None = None) -> None:
        """Stop the work of all conversations in an orderly way, as before a deploy; the host stays open.

        New messages are refused meanwhile (`ConversationClosed`), and queued operations do not start. Running turns and
        operations have `grace` seconds to end by themselves, `settings.shutdown_grace` unless given; then operations are
        cancelled, and the outcome of each is recorded. Queued operations and unanswered messages continue when their
        conversation is opened again.
        """
        ending = self._begin_to_drain()
        try:
            await end_all(ending, self.settings.shutdown_grace if grace is None else grace)
        finally:
            self._draining = False

    async def aclose(self) -> None:
        """Close all conversations, as `drain(0)` does. Unfinished work resumes when they are opened again."""
        self._closed = True
        await self.drain(0.0)
        # A notice of an agent that it starts to watch while it stops would be a dead letter.
        with contextlib.suppress(DeliveryError):  # it has ended if its runtime has
            await self._monitor.ask(AwaitMonitored())
        await self._monitor.stop()
        if self._owns_runtime:
            async with self._runtime:
                self._runtime.stop_timeout = _STOP
        self._end.release()

    def close(self) -> None:
        """Do the same as `aclose`, and block this thread."""
        self._closed = True
        end_all_blocking(self._begin_to_drain(), 0.0)
        with contextlib.suppress(DeliveryError):
            self._monitor.ask(AwaitMonitored()).result()
        self._monitor.stop().result()
        if self._owns_runtime:
            self._runtime.stop(drain=False)
        self._end.release()

    def end_one(self, chat: ConversationHandle) -> list[EndingConversation]:
        """Remove a conversation; return it, for the caller to end."""
        agent = chat.activator.close()
        key = chat.state.key
        with self._lock:
            if self._open.get(key) is chat:
                del self._open[key]
            if self._resting.get(key) is chat:
                del self._resting[key]
        return [EndingConversation(chat.state, agent)]

    def _begin_to_drain(self) -> list[EndingConversation]:
        with self._lock:
            self._draining = True
            there = [*self._open.values(), *self._resting.values()]
            self._open.clear()
            self._resting.clear()
        return [EndingConversation(chat.state, chat.activator.close()) for chat in there]

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


def _desk(
    known: Callable[[], ConversationHost | None],
) -> Callable[[AssistantRole, tuple[str, ...], str, ModelLimit | None], object]:
    """Return the function that opens a conversation with one assistant of a host, which it does not keep alive."""

    def open_one(role: AssistantRole, namespace: tuple[str, ...], user: str, limit: ModelLimit | None) -> object:
        host = known()
        if host is None:
            raise ConversationClosed("/".join(namespace))
        return host.open_with(Team([role]), namespace, user, limit)

    return open_one


def _begin(host: ConversationHost | None, state: ConversationState, known: Callable[[], ConversationHandle | None]) -> AgentRef:
    if host is None:
        raise ConversationClosed(state.name)
    return host.begin(state, known)


def _passivated(
    host: ConversationHost | None,
    agent: AgentRef,
    state: ConversationState,
    known: Callable[[], ConversationHandle | None],
) -> None:
    if host is not None:
        host.passivated(agent, state, known)
