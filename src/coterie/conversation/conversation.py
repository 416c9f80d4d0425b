"""The front end's handle of one conversation, and the host of many."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import msgspec

from coterie.conversation.activator import Activator
from coterie.conversation.endings import end_all, end_all_blocking
from coterie.conversation.entries import PARTS, DeliveredEntry, TurnEndedEntry, UserMessageEntry
from coterie.conversation.events import AnyConversationEvent, TextWritten
from coterie.conversation.host import ConversationHost
from coterie.conversation.memories import UserMemories
from coterie.conversation.operation_requests import OperationRequests
from coterie.conversation.operations.machine import queue
from coterie.conversation.operations.operation import Operation
from coterie.conversation.roles import AssistantRole, ModelLimit, Team
from coterie.conversation.sent_requests import SentRequest
from coterie.conversation.session.messages import (
    AwaitOutcome,
    AwaitReady,
    CallTool,
    SendMessage,
    StopTurn,
    SupplyResult,
    WaitUntilIdle,
    WriteMemories,
)
from coterie.conversation.settings import ConversationSettings
from coterie.conversation.state import ConversationState
from coterie.conversation.tools.source import ToolSource
from coterie.conversation.tools.tool import Tool
from coterie.conversation.transcript import TranscriptPage, attachment_of, read_page, text_place
from coterie.conversation.turn_stream import ResultStream, TurnStream, answer_of, check_message
from coterie.errors import (
    ConversationClosed,
)
from coterie.errors.storage import StorageClosed
from coterie.kernel import Clock, check_number
from coterie.models import Attachment, Model, ResultForm, TextMessage, ToolDefinition
from coterie.runtime import Runtime
from coterie.storage import Database

T = TypeVar("T")


class Conversation(OperationRequests):
    """A conversation with one user, stored under a namespace, that continues while tools run.

    ::

        async with Conversation(model, tools=[close_contract], store="chats.db", namespace=("customer", "42")) as chat:
            async for event in chat.send("close my contract"):
                ...

    The constructor makes a host for this conversation alone and takes the options of `Conversations`, the host of many.
    Methods are safe from any thread and any event loop. Raises the errors of `Conversations`, and `InvalidNamespace`.
    """

    _host: ConversationHost
    state: ConversationState
    """The shared state of its agent; for its host only."""
    activator: Activator
    """The way to its agent; for its host only."""
    _owns_host: bool

    def __init__(
        self,
        model: Model,
        tools: Iterable[Tool | ToolSource] = (),
        *,
        store: Database | str | os.PathLike[str] | None = None,
        namespace: str | Iterable[str] = ("default",),
        user: str = "",
        provide: Iterable[Any] = (),
        team: Iterable[AssistantRole] | None = None,
        memory: UserMemories | None = None,
        settings: ConversationSettings | None = None,
        runtime: Runtime | None = None,
        clock: Clock | None = None,
    ) -> None:
        host = _SingleHost(
            model,
            tools,
            store=store,
            provide=provide,
            team=team,
            memory=memory,
            settings=settings,
            runtime=runtime,
            clock=clock,
        )
        try:
            host.attach(namespace, lambda state, activator: self._bind(host, state, activator, owns_host=True), user=user)
        except BaseException:
            host.close()
            raise

    @classmethod
    def attach(cls, host: ConversationHost, state: ConversationState, activator: Activator) -> Self:
        """Return a conversation of a shared host. Only the host calls this."""
        return cls.__new__(cls)._bind(host, state, activator, owns_host=False)  # noqa: SLF001 - of its own class

    def _bind(self, host: ConversationHost, state: ConversationState, activator: Activator, *, owns_host: bool) -> Self:
        self._host, self.state, self.activator, self._owns_host = host, state, activator, owns_host
        return self

    def __repr__(self) -> str:
        return f"<Conversation {self.state.name}>"

    @property
    def namespace(self) -> tuple[str, ...]:
        """The namespace under which it is stored."""
        return self.state.namespace

    @property
    def user(self) -> str:
        """The user for whom it was opened."""
        return self.state.user

    @property
    def closed(self) -> bool:
        """Return whether it takes no more requests: it, or its host, was closed or drained."""
        return not self.activator.is_alive

    @property
    def conversations(self) -> ConversationHost:
        """The host, which has the metrics."""
        return self._host

    @property
    def last_event(self) -> int:
        """The id of the newest event, to resume reading from; 0 before the first."""
        return self.state.event_stream.last

    @overload
    def send(
        self, text: str, *, id: str | None = None,
        attachments: Iterable[Attachment] = (), tools: Iterable[ToolDefinition] = (),
    ) -> TurnStream: ...  # fmt: skip
    @overload
    def send(
        self, text: str, *, id: str | None = None, result: type[T],
        attachments: Iterable[Attachment] = (), tools: Iterable[ToolDefinition] = (),
    ) -> ResultStream[T]: ...  # fmt: skip
    @overload
    def send(
        self, text: str, *, id: str | None = None, result: Any,
        attachments: Iterable[Attachment] = (), tools: Iterable[ToolDefinition] = (),
    ) -> ResultStream[Any]: ...  # fmt: skip

    def send(
        self,
        text: str,
        *,
        id: str | None = None,  # noqa: A002 - the usual name
        result: Any = None,
        attachments: Iterable[Attachment] = (),
        tools: Iterable[ToolDefinition] = (),
    ) -> TurnStream:
        """Send a message of the user, and return the events of its turn, from the first on.

        Turns are answered in the order of the calls. `id` is the front end's own id of the message: a message whose id
        was accepted before is not answered again; the events of its turn are returned. With `result`, a pydantic model or any other type with a JSON schema, the answer is a value of that type:
        ``await chat.send("…", result=Invoice)`` returns it. `attachments` are images and files for models that take them.
        `tools` are the front end's own, for this turn: when the model calls some, `ResultsAwaited` tells so, and `supply`
        takes their results.

        Raises `InvalidText`, `ConversationClosed`, and `InvalidSetting` for a type without a schema. Other errors are raised
        while the events are read.
        """
        attached = tuple(attachments)
        check_message(text, id, attached, self._host.settings)
        form = None if result is None else ResultForm(result, "send.result")
        request = SendMessage(
            text=text, id=id or "", attachments=attached, tools=tuple(tools), schema=None if form is None else dict(form.schema)
        )
        if form is None:
            return TurnStream(self, self.state, self._ask(request))
        self.state.forms.add(form)
        return ResultStream(self, self.state, self._ask(request), form, result)

    async def supply(self, call: str, content: str, *, failed: bool = False) -> int:
        """Give the result of a call of a front end's own tool; return the turn that waits for it, or 0 if none does."""
        request = SupplyResult(call=str(call), content=str(content), failed=failed)
        return await answer_of(self._ask(request), self.state)

    def events(self, after: int | None = None, *, follow: bool = True) -> AsyncIterator[AnyConversationEvent]:
        """Return the events of the conversation from now on, or those after the event with id `after`.

        0 starts at the beginning. Older events are read from the log, which does not hold pieces of text. Iteration ends
        when the conversation is closed, and raises the error that ended it, such as `ConversationTaken`. Without `follow`
        it ends with the newest event.
        """
        check_number("events.after", after, whole=True, optional=True)
        return self.state.event_stream.read(self.state.event_stream.last if after is None else after, self, follow=follow)

    async def call(self, tool: str, arguments: Mapping[str, Any] | None = None) -> Operation:
        """Call a tool for a program, without a turn, and return its operation, which may wait for resources or for approval.

        It has the checks that calls of a model have. Its outcome is not told to the user; `outcome` waits for it. Raises
        `CallRefused`.
        """
        return await answer_of(self._ask(CallTool(tool=tool, arguments=dict(arguments or {}))), self.state)

    async def outcome(self, operation: Operation | str | int) -> Operation:
        """Return an operation once it has ended, or its outcome is unknown. Raises `UnknownOperation`."""
        return await answer_of(self._ask(AwaitOutcome(number=self._number(operation))), self.state)

    def operations(self, *, unfinished: bool = False) -> tuple[Operation, ...]:
        """Return the operations, oldest first; with `unfinished` only those that have not ended.

        Queued operations come last, in the order in which they will start.
        """
        live = self.state.live
        journal = self.state.host.journal
        known = [live.get(each.number, each) for each in self._kept(lambda: journal.ledger.all(self.state.key))]
        waiting = queue(known)
        rest = [each for each in known if each not in waiting and not (unfinished and each.ended)]
        return (*rest, *waiting)

    def requests(self, *, turn: int | None = None, newest: int = 50) -> tuple[SentRequest, ...]:
        """Return the newest requests to the model as they were sent, or those of one turn; see `Conversations.requests`."""
        return self._kept(lambda: self._host.requests(self.namespace, turn=turn, newest=newest))

    def transcript(self) -> tuple[TextMessage, ...]:
        """Return the messages, oldest first: each question with its answer, and the deliveries."""
        records = self._kept(lambda: self.state.host.journal.between(self.state.key, 0, 2**62, 2**31))
        questions = {each.entry.turn: each.entry.text for each in records if isinstance(each.entry, UserMessageEntry)}
        said: list[TextMessage] = []
        for record in records:
            match record.entry:
                case TurnEndedEntry():
                    said += [
                        TextMessage("user", questions.pop(record.entry.turn, "")),
                        TextMessage("assistant", record.entry.whole),
                    ]
                case DeliveredEntry():
                    said.append(TextMessage("assistant", record.entry.text))
                case _:
                    continue
        # Unanswered messages come last.
        return (*said, *(TextMessage("user", text) for text in questions.values()))

    def page(self, before: int | None = None, limit: int = 50) -> TranscriptPage:
        """Return the latest messages of the transcript, or those before the id `before`, and what runs now.

        `before` is that of the page after it. Raises `InvalidSetting`.
        """
        check_number("page.before", before, whole=True, optional=True)
        check_number("page.limit", limit, least=1, whole=True)
        until = 2**42 if before is None else before >> PARTS
        while True:
            page = self._kept(lambda: read_page(self.state.host.journal, self.state.key, until, limit, self.state.event_stream))
            if before is not None or self.state.event_stream.last == page.last_event:
                return msgspec.structs.replace(page, operations=self.operations(unfinished=True))

    def attachment(self, message: int, place: int = 0) -> Attachment | None:
        """Return an image or file of a message of the user, by the message's id in a page and its place there; None if there is none."""
        return self._kept(lambda: attachment_of(self.state.host.journal, self.state.key, message, place))

    def text_place(self, piece: TextWritten) -> tuple[int, int]:
        """Return where a piece of an answer belongs: the id of the event that began its turn, and the texts of the turn before it.

        It is for a reader that begins in the middle of a turn.
        """
        return self._kept(lambda: text_place(self.state.host.journal, self.state.key, piece.turn, piece.id))

    async def stop(self, turn: int = 0) -> bool:
        """Stop the answer that is being written, and return whether there was one. What was said is kept in the log.

        Operations that the turn waited for go on in the background. With `turn` only the answer of that turn is stopped.
        """
        check_number("stop.turn", turn, whole=True)
        return await answer_of(self._ask(StopTurn(turn=turn)), self.state)

    def turn_of(self, message: str) -> int | None:
        """Return the turn of the message with the front end's id, or None if none was accepted."""
        return self._kept(lambda: self.state.host.journal.turn_said(self.state.key, message))

    async def ready(self) -> int:
        """Wait until the stored conversation is restored, and return the id of the newest event then.

        `send` need not wait for this. Wait before reading operations or the transcript just after opening.
        """
        return await answer_of(self._ask(AwaitReady()), self.state)

    async def summarise(self) -> int:
        """Have a model write down what is worth to remember of the user since the last time; return the number of memories.

        It happens by itself when the conversation is passivated. Without `memory`, or without a user, it returns 0.
        """
        return await answer_of(self._ask(WriteMemories()), self.state)

    async def settle(self) -> None:
        """Wait until the conversation is idle: no turn runs, no result is undelivered, and no operation will progress.

        An operation that is queued behind one of unknown outcome needs the user, so it does not count.
        """
        await answer_of(self._ask(WaitUntilIdle()), self.state)

    async def aclose(self) -> None:
        """Stop in an orderly way, without a grace period (see `Conversations.drain`). Unfinished work resumes at the next opening."""
        await end_all(self._host.end_one(self), 0.0)
        if self._owns_host:
            await self._host.aclose()

    def close(self) -> None:
        """Do the same as `aclose`, and block this thread."""
        end_all_blocking(self._host.end_one(self), 0.0)
        if self._owns_host:
            self._host.close()

    def _kept(self, read: Callable[[], T]) -> T:
        """Return the result of `read`. Raises `ConversationClosed` if the store was closed with the host."""
        try:
            return read()
        except StorageClosed as error:
            raise ConversationClosed(self.state.name) from error

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


class _SingleHost(ConversationHost):
    """A host that makes conversations of this class."""

    def open_with(self, team: Team, namespace: tuple[str, ...], user: str, limit: ModelLimit | None) -> object:
        """Return a conversation with other assistants than those of the host."""
        return self.attach(
            namespace, lambda state, activator: Conversation.attach(self, state, activator), user=user, team=team, limit=limit
        )


class Conversations(_SingleHost):
    """Host conversations by namespace: one model, one set of tools, one store, thousands of users.

    ::

        with Conversations(model, tools=[…], store="chats.db") as conversations:
            chat = conversations.open(("customer", "42"))

    Each conversation, and each running operation, is an agent on `runtime`, or on a runtime that the host makes. `store`
    is a path, a PostgreSQL URL, or an open database, which stays open after `close`; without a store, conversations are
    lost at `close`. Tools get the objects of `provide` by ``context.use(kind)``. `clock` is for the host's own runtime; a
    given `runtime` has its own. An idle conversation is passivated after `settings.idle_timeout` and activated by the next
    call. `team` are several assistants that hand the conversation over to one another (`AssistantRole`), each of which has
    `tools` beside its own. `memory` are the memories of users over their conversations. Safe from any thread. Raises `InvalidSetting`, `DefinitionError` for two tools with one name, and the errors of
    opening the database.
    """

    def find(self, namespace: str | Iterable[str]) -> Conversation | None:
        """Return the open conversation of a namespace, or None; it opens none. Raises `InvalidNamespace`."""
        chat = self.known(namespace)
        return chat if isinstance(chat, Conversation) else None

    def open(self, namespace: str | Iterable[str], *, user: str = "") -> Conversation:
        """Return the conversation of a namespace, restored from the store. While it is open, return the same object.

        Raises `InvalidNamespace` and `ConversationClosed`.
        """
        chat = self.attach(namespace, lambda state, activator: Conversation.attach(self, state, activator), user=user)
        assert isinstance(chat, Conversation)
        return chat
