"""The pages of conversations: their list, one with its log, operations and prompts; and the actions on operations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote

import anyio.from_thread
import msgspec

from coterie.console.links import Links
from coterie.console.page import ConsoleAction, Visit
from coterie.console.problems import ConsoleProblem
from coterie.console.rendering import shown
from coterie.console.sources import Sources
from coterie.conversation import (
    Conversation,
    Conversations,
    DeferredAnswer,
    Operation,
    OperationState,
    SentRequest,
    StoredConversations,
)
from coterie.conversation.entries import (
    ConsentRequestedEntry,
    ConversationEntry,
    DeliveredEntry,
    OperationEndedEntry,
    ToolCallsEntry,
    ToolResultEntry,
    TurnEndedEntry,
    UserMessageEntry,
)
from coterie.errors import CoterieError
from coterie.models import ModelGateway, PromptMessage, TextMessage, ToolCall
from coterie.models.policies.metering import cost_table

_ENTRIES, _OPERATIONS, _REQUESTS = 200, 60, 50


class ConversationPages:
    """Reads the pages of conversations. Safe from any thread."""

    def __init__(self, sources: Sources, rows: int) -> None:
        self._sources = sources
        self._rows = rows

    def conversations(self, visit: Visit) -> Mapping[str, Any]:
        """Read the list: of all stored conversations, or of those of the user of the visit."""
        hosts, problems = self._sources.hosts()
        find, page = visit.text("find"), visit.number("page", 1, least=1)
        rows: list[dict[str, Any]] = []
        first, total = (page - 1) * self._rows, 0
        for host_name, host in hosts.items():
            try:
                namespaces = host.namespaces()
            except CoterieError as error:
                problems.append(str(error))
                continue
            for namespace in namespaces:
                if find and find not in "/".join(namespace):
                    continue
                if visit.user and _owner(host, namespace) != visit.user:
                    continue
                total += 1
                if first < total <= first + self._rows:
                    rows.append(_row(host_name, host, namespace))
        costs = [] if visit.user else [(name, _costs(each)) for name, each in self._sources.of(ModelGateway).items()]
        metrics = [(name, each.metrics()) for name, each in hosts.items() if isinstance(each, Conversations)]
        return {
            "rows": rows,
            "hosts": list(hosts),
            "problems": [] if visit.user else problems,
            "total": total,
            "page": page,
            "more": total > first + self._rows,
            "links": Links(visit.query),
            "metrics": [] if visit.user else metrics,
            "costs": costs,
        }

    def conversation(self, visit: Visit) -> Mapping[str, Any]:
        """Read one conversation. Raises `ConsoleProblem` for one that is not there, or is another user's."""
        host, namespace, chat = self._find(visit)
        records = host.log(namespace, _ENTRIES)
        operations = host.stored_operations(namespace) if chat is None else chat.operations()
        answers = {each.operation: each for each in (() if chat is not None else host.answers(namespace))}
        turn, number = visit.number("prompt", 0), visit.number("request", 0)
        sent = host.requests(namespace, newest=_REQUESTS)
        chosen = host.requests(namespace, turn=turn) if turn else [each for each in sent if each.number == number]
        kind = "open" if chat is not None else "stored" if isinstance(host, StoredConversations) else "resting"
        return {
            "host": visit.path["host"],
            "id": visit.path["conversation"],
            "name": "/".join(namespace),
            "kind": kind,
            "entries": [{"sequence": each.sequence, "at": each.at, **_entry(each.entry)} for each in reversed(records)],
            "operations": [_operation(each, kind, answers.get(each.number)) for each in reversed(operations[-_OPERATIONS:])],
            "requests": list(reversed(sent)),
            "prompt_turn": turn,
            "request_number": number,
            "sent": [_request(each) for each in chosen],
            "prompt": [_message(each) for each in host.prompt(namespace, turn)] if turn and not chosen else [],
        }

    def _find(self, visit: Visit) -> tuple[Conversations | StoredConversations, tuple[str, ...], Conversation | None]:
        host = self._sources.hosts()[0].get(visit.path["host"])
        namespace = _namespace(visit.path["conversation"])
        missing = ConsoleProblem(404, f"There is no conversation {'/'.join(namespace)} here.")
        if host is None:
            raise missing
        chat = host.find(namespace) if isinstance(host, Conversations) else None
        if chat is None and namespace not in host.namespaces():
            raise missing
        if visit.user and _owner(host, namespace) != visit.user:
            raise missing  # it does not tell whether there is one of another user
        return host, namespace, chat

    # Actions.

    def actions(self) -> list[ConsoleAction]:
        """Return the actions on operations, and the one that forgets a stored conversation."""
        base = "/conversations/{host}/{conversation}"

        def action(name: str, act: Callable[[Conversation, Visit], Awaitable[Any]]) -> ConsoleAction:
            return ConsoleAction(
                f"{base}/{name}", f"{name} operation", lambda visit: self._do(name, visit, act), for_users=True
            )

        return [
            action("cancel", lambda chat, visit: chat.cancel(visit.text("operation"))),
            action("approve", lambda chat, visit: chat.approve(visit.text("operation"), person=visit.user or None)),
            action(
                "reject", lambda chat, visit: chat.reject(visit.text("operation"), visit.text("why"), person=visit.user or None)
            ),
            action(
                "edit",
                lambda chat, visit: chat.edit(visit.text("operation"), _arguments(visit), person=visit.user or None),
            ),
            action(
                "resolve",
                lambda chat, visit: chat.resolve(
                    visit.text("operation"), visit.text("state"), visit.text("why"), person=visit.user or None
                ),
            ),
            ConsoleAction(f"{base}/forget", "forget conversation", self._forget),
        ]

    def _do(self, name: str, visit: Visit, act: Callable[[Conversation, Visit], Awaitable[Any]]) -> str:
        host, namespace, found = self._find(visit)
        operation = visit.text("operation")
        if isinstance(host, StoredConversations):
            _store_answer(host, namespace, name, visit)
            return f"{operation}: the answer is stored. It takes effect when the program opens the conversation next."
        # Its own program holds it, so it is opened as a message of the user would open it.
        chat = found if found is not None else host.open(namespace, user=host.user_of(namespace))

        async def done() -> Any:
            return await act(chat, visit)

        result = anyio.from_thread.run(done)
        state = getattr(result, "state", None)
        return f"{operation}: {state if state is not None else result}."

    def _forget(self, visit: Visit) -> str:
        host, namespace, _ = self._find(visit)
        if not isinstance(host, StoredConversations):
            raise ConsoleProblem(409, "Its program holds it open; forget its user there.")
        report = host.forget(namespace)
        return f"{len(report.conversations)} conversations are forgotten, with their operations. Memories of the user stay."


def _owner(host: Conversations | StoredConversations, namespace: tuple[str, ...]) -> str:
    chat = host.find(namespace) if isinstance(host, Conversations) else None
    return chat.user if chat is not None else host.user_of(namespace)


def _row(name: str, host: Conversations | StoredConversations, namespace: tuple[str, ...]) -> dict[str, Any]:
    chat = host.find(namespace) if isinstance(host, Conversations) else None
    if chat is not None:
        unfinished = chat.operations(unfinished=True)
    else:
        unfinished = tuple(each for each in host.stored_operations(namespace) if not each.ended)
    return {
        "host": name,
        "name": "/".join(namespace),
        "id": _id(namespace),
        "user": chat.user if chat is not None else host.user_of(namespace),
        "open": chat is not None,
        "unfinished": len(unfinished),
        "waiting": sum(each.state.needs_person for each in unfinished),
    }


def _store_answer(host: StoredConversations, namespace: tuple[str, ...], name: str, visit: Visit) -> None:
    operation, why, person = visit.text("operation"), visit.text("why"), visit.user or None
    match name:
        case "approve":
            host.approve(namespace, operation, person=person)
        case "reject":
            host.reject(namespace, operation, why, person=person)
        case "resolve":
            host.resolve(namespace, operation, visit.text("state"), why, person=person)
        case "cancel":
            host.cancel(namespace, operation)
        case _:
            raise ConsoleProblem(409, "Arguments are checked by their tool, which only the program of the conversation has.")


def _arguments(visit: Visit) -> Mapping[str, Any]:
    try:
        arguments = msgspec.json.decode(visit.text("arguments"))
    except msgspec.DecodeError as error:
        raise ConsoleProblem(400, f"The arguments are not JSON: {error}.") from error
    if not isinstance(arguments, dict):
        raise ConsoleProblem(400, "The arguments are an object in JSON, by the names of the tool's parameters.")
    return arguments


def _id(namespace: tuple[str, ...]) -> str:
    return ":".join(quote(part, safe="") for part in namespace)


def _namespace(id: str) -> tuple[str, ...]:  # noqa: A002 - the usual name
    return tuple(unquote(part) for part in id.split(":"))


def _costs(gateway: ModelGateway) -> list[dict[str, Any]]:
    return cost_table(gateway).rows()


def _entry(entry: ConversationEntry) -> dict[str, Any]:  # noqa: PLR0911 - one for each kind of entry
    """Return how an entry of the log is shown."""
    match entry:
        case UserMessageEntry():
            return {"turn": entry.turn, "kind": "user", "text": entry.text}
        case ToolCallsEntry():
            calls = "\n".join(f"{each.name}({shown(each.arguments)})" for each in entry.calls)
            return {"turn": entry.turn, "kind": "calls", "text": f"{entry.text}\n{calls}".strip()}
        case ToolResultEntry():
            return {
                "turn": entry.turn,
                "kind": "failed" if entry.failed else "result",
                "text": f"{entry.tool}: {entry.content}",
            }
        case ConsentRequestedEntry():
            return {"turn": entry.turn, "kind": "asks consent", "text": f"{entry.tool}({shown(entry.arguments)})"}
        case TurnEndedEntry():
            outcome = (
                f" ({entry.outcome}{': ' + entry.problem if entry.problem else ''})" if str(entry.outcome) != "answered" else ""
            )
            return {"turn": entry.turn, "kind": "assistant", "text": entry.text + outcome}
        case OperationEndedEntry():
            operation = entry.operation
            return {
                "turn": operation.turn,
                "kind": str(operation.state),
                "text": f"{operation.id} {operation.tool}: {operation.content}",
            }
        case DeliveredEntry():
            return {"turn": 0, "kind": "delivery", "text": entry.text}
        case _:
            about = shown(msgspec.to_builtins(entry))
            return {
                "turn": getattr(entry, "turn", 0),
                "kind": type(entry).__name__.removesuffix("Entry").lower(),
                "text": about,
            }


def _message(message: PromptMessage) -> dict[str, str]:
    if isinstance(message, TextMessage):
        files = "".join(f"\n[{each.media_type}: {each.name or each.url}]" for each in message.attachments)
        return {"role": message.role, "text": message.text + files}
    if isinstance(message, ToolCall):
        return {"role": "call", "text": f"{message.name}({_json(message.arguments)})"}
    return {"role": "result", "text": f"{message.name}: {message.content}"}


def _request(sent: SentRequest) -> dict[str, Any]:
    request = sent.request
    return {
        "value": sent,
        "messages": [_message(each) for each in request.exchanges],
        "tools": [(each.name, each.description, _json(each.parameters)) for each in request.tools],
        "schema": "" if request.schema is None else _json(request.schema),
    }


def _json(value: Mapping[str, Any]) -> str:
    """Return a value whole, and not shortened."""
    return msgspec.json.encode(dict(value), enc_hook=str).decode()


def _operation(operation: Operation, kind: str, answer: DeferredAnswer | None) -> dict[str, Any]:
    state, open_ = operation.state, kind != "stored"
    actions = []
    if state is OperationState.AWAITING_APPROVAL:
        actions = ["approve", "reject", *(["edit"] if open_ else ["cancel"])]
    elif state is OperationState.UNKNOWN or (not open_ and state in (OperationState.RUNNING, OperationState.CANCELLING)):
        # The outcome of what ran when its program ended is unknown.
        actions = ["resolve"]
    elif not operation.ended:
        actions = ["cancel"]
    return {
        "value": operation,
        "actions": actions,
        "arguments": shown(operation.arguments),
        "json": _json(operation.arguments),
        "answer": answer,
    }
