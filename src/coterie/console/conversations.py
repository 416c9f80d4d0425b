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
from coterie.conversation import Conversation, Conversations
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
from coterie.models import ModelGateway, PromptMessage, TextMessage, ToolCall
from coterie.models.policies.metering import cost_table

_ENTRIES, _OPERATIONS = 200, 60


class ConversationPages:
    """Reads the pages of conversations. Safe from any thread."""

    def __init__(self, sources: Sources, rows: int) -> None:
        self._sources = sources
        self._rows = rows

    def conversations(self, visit: Visit) -> Mapping[str, Any]:
        """Read the list: of all stored conversations, or of those that are open for the user of the visit."""
        hosts = self._sources.of(Conversations)
        find, page = visit.text("find"), visit.number("page", 1, least=1)
        rows: list[dict[str, Any]] = []
        first, total = (page - 1) * self._rows, 0
        for host_name, host in hosts.items():
            for namespace in host.namespaces():
                if find and find not in "/".join(namespace):
                    continue
                chat = host.find(namespace)
                if visit.user and (chat is None or chat.user != visit.user):
                    continue
                total += 1
                if not first < total <= first + self._rows:
                    continue
                unfinished = chat.operations(unfinished=True) if chat is not None else ()
                rows.append(
                    {
                        "host": host_name,
                        "name": "/".join(namespace),
                        "id": _id(namespace),
                        "user": chat.user if chat is not None else "",
                        "open": chat is not None,
                        "unfinished": len(unfinished),
                        "waiting": sum(each.state.needs_person for each in unfinished),
                    }
                )
        costs = [] if visit.user else [(name, _costs(each)) for name, each in self._sources.of(ModelGateway).items()]
        return {
            "rows": rows,
            "hosts": list(hosts),
            "total": total,
            "page": page,
            "more": total > first + self._rows,
            "links": Links(visit.query),
            "metrics": [] if visit.user else [(name, each.metrics()) for name, each in hosts.items()],
            "costs": costs,
        }

    def conversation(self, visit: Visit) -> Mapping[str, Any]:
        """Read one conversation. Raises `ConsoleProblem` for one that is not there, or is another user's."""
        host, namespace, chat = self._find(visit)
        records = host.log(namespace, _ENTRIES)
        operations = host.stored_operations(namespace) if chat is None else chat.operations()
        turn = visit.number("prompt", 0)
        prompt = host.prompt(namespace, turn) if turn else ()
        return {
            "host": visit.path["host"],
            "id": visit.path["conversation"],
            "name": "/".join(namespace),
            "chat": chat,
            "entries": [{"sequence": each.sequence, "at": each.at, **_entry(each.entry)} for each in reversed(records)],
            "operations": [_operation(each) for each in reversed(operations[-_OPERATIONS:])],
            "prompt_turn": turn,
            "prompt": [_message(each) for each in prompt],
        }

    def _find(self, visit: Visit) -> tuple[Conversations, tuple[str, ...], Conversation | None]:
        host = self._sources.of(Conversations).get(visit.path["host"])
        namespace = _namespace(visit.path["conversation"])
        missing = ConsoleProblem(404, f"There is no conversation {'/'.join(namespace)} here.")
        if host is None:
            raise missing
        chat = host.find(namespace)
        if visit.user and (chat is None or chat.user != visit.user):
            raise missing  # it does not tell whether there is one of another user
        if chat is None and namespace not in host.namespaces():
            raise missing
        return host, namespace, chat

    # Actions.

    def actions(self) -> list[ConsoleAction]:
        """Return the actions on operations."""
        base = "/conversations/{host}/{conversation}"

        def action(name: str, act: Callable[[Conversation, Visit], Awaitable[Any]]) -> ConsoleAction:
            return ConsoleAction(f"{base}/{name}", f"{name} operation", lambda visit: self._do(visit, act), for_users=True)

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
        ]

    def _do(self, visit: Visit, act: Callable[[Conversation, Visit], Awaitable[Any]]) -> str:
        _, namespace, chat = self._find(visit)
        if chat is None:
            raise ConsoleProblem(409, f"The conversation {'/'.join(namespace)} is not open in this process.")

        async def done() -> Any:
            return await act(chat, visit)

        result = anyio.from_thread.run(done)
        state = getattr(result, "state", None)
        return f"{visit.text('operation')}: {state if state is not None else result}."


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
        return {"role": message.role, "text": message.text}
    if isinstance(message, ToolCall):
        return {"role": "call", "text": f"{message.name}({shown(message.arguments)})"}
    return {"role": "result", "text": f"{message.name}: {message.content}"}


def _operation(operation: Any) -> dict[str, Any]:
    return {
        "value": operation,
        "arguments": shown(operation.arguments),
        "json": msgspec.json.encode(dict(operation.arguments)).decode(),
    }
