"""The handlers of the MCP server of an assistant."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Protocol

import mcp_types
import msgspec
from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from coterie.conversation import Conversation, Conversations, Operation, OperationProgressed, OperationState, Tool
from coterie.errors import ConversationError, CoterieError
from coterie.interop.access import verified_user
from coterie.interop.mcp.tasks import APPROVAL, EXTENSION, approves, detailed_task, status_of, task_of, tool_result

ASK = "ask_assistant"
_OPERATIONS = "coterie://operations"
_TRANSCRIPT = "coterie://transcript"
_TEXT: Mapping[str, Any] = {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]}
_ONE: Mapping[str, Any] = {"type": "object", "properties": {"operation": {"type": "string"}}, "required": ["operation"]}
_NONE: Mapping[str, Any] = {"type": "object", "properties": {}}
_OWN = {
    ASK: ("Send a message to the assistant, and return its answer.", _TEXT),
    "list_operations": ("List the operations, oldest first, with their states and results.", _NONE),
    "cancel_operation": ("Ask an operation to stop. The answer says whether that was in time.", _ONE),
}
"""The tools of every server: descriptions, and schemas of the arguments."""
_INTERNAL = -32603


class ResourceSource(Protocol):
    """Supplies further resources to an MCP server. Its methods are called on threads of their own."""

    def list_resources(self) -> list[dict[str, str]]:
        """Return the resources: each with `uri` and `name`, perhaps with `description`."""
        ...

    def read_resource(self, uri: str) -> str | None:
        """Return a resource as JSON, or None for an address that is not its own. Raises `CoterieError` for one that is gone."""
        ...


class AssistantMcpServer:
    """Serves the tools of an assistant to MCP clients: each call is an operation of a conversation of the user.

    `server` is the server of the official SDK. A call that runs longer than the patience of its tool becomes a task, for clients
    that know tasks. `resources` are served beside those of the conversation. Without `talks`, there are tools and operations only:
    nothing to talk with. Only the event loop of the server uses it.
    """

    def __init__(
        self,
        conversations: Conversations,
        *,
        name: str,
        user: str = "",
        user_headers: tuple[str, ...] = (),
        resources: ResourceSource | None = None,
        talks: bool = True,
    ) -> None:
        self._conversations = conversations
        self._user = user
        self._user_headers = user_headers
        self._resources = resources
        self._own_tools = {each: found for each, found in _OWN.items() if talks or each != ASK}
        self._own_resources = [_OPERATIONS, *([_TRANSCRIPT] if talks else [])]
        self.server: Server[Any] = Server(
            name,
            version=version("coterie"),
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_read_resource=self._read_resource,
            get_tool_input_schema=lambda _: None,
        )
        self.server.extensions[EXTENSION] = {}
        self.server.middleware.append(self._tasks_of_the_older_protocol)
        for method, handler in {
            "tasks/get": self._get_task,
            "tasks/update": self._update_task,
            "tasks/cancel": self._cancel_task,
            "tasks/result": self._task_result,
            "tasks/list": self._list_tasks,
        }.items():
            self.server.add_request_handler(method, _TaskParams, handler)

    # Tools.

    async def _list_tools(self, ctx: Any, params: Any) -> mcp_types.ListToolsResult:  # noqa: ARG002 - the signature of handlers
        execution = {"taskSupport": "optional"}
        listed = [
            {
                "name": each.name,
                "description": each.description,
                "inputSchema": dict(each.arguments.schema),
                "annotations": {"readOnlyHint": each.effect == "read", "idempotentHint": each.repeatable},
                "execution": execution,
            }
            for each in self._tools().values()
        ]
        own = [
            {"name": name, "description": text, "inputSchema": dict(schema)} for name, (text, schema) in self._own_tools.items()
        ]
        return mcp_types.ListToolsResult.model_validate({"tools": [*listed, *own]})

    def _tools(self) -> dict[str, Tool]:
        return {name: each for name, each in self._conversations.tools.items() if each.offered and name not in _OWN}

    async def _call_tool(self, ctx: ServerRequestContext[Any, Any], params: mcp_types.CallToolRequestParams) -> Any:
        chat = await self._chat(ctx)
        given = dict(params.arguments or {})
        try:
            if params.name in self._own_tools:
                return _text(await self._own(chat, params.name, given))
            if params.name not in self._tools():
                raise MCPError(mcp_types.INVALID_PARAMS, f"there is no tool {params.name!r}")
            operation = await chat.call(params.name, given)
            if _knows_tasks(ctx):
                operation = await self._within_patience(chat, operation)
                if status_of(operation) in ("working", "input_required"):
                    return {**task_of(operation, modern=True), "resultType": "task"}
            else:
                operation = await self._followed(ctx, chat, operation)
        except ConversationError as error:
            return _text(str(error), failed=True)
        return tool_result(operation)

    async def _own(self, chat: Conversation, name: str, given: dict[str, Any]) -> str:
        if name == ASK:
            return await chat.send(given.get("message", "")).answer()
        if name == "cancel_operation":
            return str(await chat.cancel(str(given.get("operation", ""))))
        return _described(chat.operations())

    async def _within_patience(self, chat: Conversation, operation: Operation) -> Operation:
        """Return an operation after the patience of its tool, or when it has ended."""
        tool = self._conversations.tools.get(operation.tool)
        own = tool.patience if tool is not None else None
        patience = own if own is not None else self._conversations.settings.patience
        if tool is not None and tool.long_running:
            return operation
        try:
            async with asyncio.timeout(patience):
                return await chat.outcome(operation)
        except TimeoutError:
            return self._find(chat, operation.id)

    async def _followed(self, ctx: Any, chat: Conversation, operation: Operation) -> Operation:
        """Return an operation when it has ended, and report its progress until then. A cancelled call cancels it."""
        telling = asyncio.create_task(_tell_progress(ctx, chat, operation))
        try:
            if operation.state is OperationState.AWAITING_APPROVAL:
                operation = await self._asked(ctx, chat, operation)
            return await chat.outcome(operation)
        except asyncio.CancelledError:
            await asyncio.shield(chat.cancel(operation))
            raise
        finally:
            telling.cancel()

    async def _asked(self, ctx: Any, chat: Conversation, operation: Operation) -> Operation:
        """Ask the user of the client whether an operation may be done. Without a way to ask, it is rejected."""
        schema: Any = {"type": "object", "properties": {"approve": {"type": "boolean"}}, "required": ["approve"]}
        try:
            answered = await ctx.session.elicit_form(operation.question, schema, ctx.request_id)
        except (MCPError, AttributeError, RuntimeError):
            await chat.reject(operation, "this client cannot ask its user")
            return operation
        if approves(answered.model_dump()):
            return await chat.approve(operation, person=chat.user)
        await chat.reject(operation, "the user did not agree")
        return operation

    # Tasks.

    async def _get_task(self, ctx: Any, params: _TaskParams) -> dict[str, Any]:
        operation = self._find(await self._chat(ctx), params.task_id)
        return detailed_task(operation) if _modern(ctx) else task_of(operation, modern=False)

    async def _update_task(self, ctx: Any, params: _TaskParams) -> dict[str, Any]:
        chat = await self._chat(ctx)
        operation = self._find(chat, params.task_id)
        response = (params.input_responses or {}).get(APPROVAL)
        if operation.state is OperationState.AWAITING_APPROVAL and response is not None:
            try:
                if approves(response):
                    await chat.approve(operation, person=chat.user)
                else:
                    await chat.reject(operation, "the user did not agree")
            except CoterieError as error:
                raise MCPError(mcp_types.INVALID_PARAMS, str(error)) from error
        return {"resultType": "complete"}

    async def _cancel_task(self, ctx: Any, params: _TaskParams) -> dict[str, Any]:
        chat = await self._chat(ctx)
        operation = self._find(chat, params.task_id)
        if not _modern(ctx) and operation.ended:
            raise MCPError(mcp_types.INVALID_PARAMS, f"{operation.id} has ended: {operation.state}")
        await chat.cancel(operation)
        return {"resultType": "complete"} if _modern(ctx) else task_of(self._find(chat, operation.id), modern=False)

    async def _task_result(self, ctx: Any, params: _TaskParams) -> dict[str, Any]:
        """Return the result of a task of the older protocol, after its end."""
        chat = await self._chat(ctx)
        operation = await chat.outcome(self._find(chat, params.task_id))
        return {**tool_result(operation), "_meta": {"io.modelcontextprotocol/related-task": {"taskId": operation.id}}}

    async def _list_tasks(self, ctx: Any, params: _TaskParams) -> dict[str, Any]:  # noqa: ARG002 - the signature of handlers
        chat = await self._chat(ctx)
        return {"tasks": [task_of(each, modern=False) for each in chat.operations()]}

    async def _tasks_of_the_older_protocol(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Answer calls that ask for a task in the form of protocol 2025-11-25, and declare that form in the handshake."""
        given = ctx.params or {}
        if ctx.method == "tools/call" and not _modern(ctx) and isinstance(given.get("task"), Mapping):
            chat = await self._chat(ctx)
            name = str(given.get("name"))
            if name not in self._tools():
                raise MCPError(mcp_types.INVALID_PARAMS, f"there is no tool {name!r} that can be a task")
            try:
                operation = await chat.call(name, dict(given.get("arguments") or {}))
            except ConversationError as error:
                raise MCPError(mcp_types.INVALID_PARAMS, str(error)) from error
            return {"task": task_of(operation, modern=False)}
        result = await call_next(ctx)
        if ctx.method == "initialize" and isinstance(result, dict):
            result["capabilities"]["tasks"] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
        return result

    def _find(self, chat: Conversation, task: str) -> Operation:
        for each in chat.operations():
            if each.id == task:
                return each
        raise MCPError(mcp_types.INVALID_PARAMS, f"there is no task {task!r}")

    # Resources.

    async def _list_resources(self, ctx: Any, params: Any) -> mcp_types.ListResourcesResult:  # noqa: ARG002 - as above
        listed = [{"uri": each, "name": each.removeprefix("coterie://")} for each in self._own_resources]
        if self._resources is not None:
            listed += await asyncio.to_thread(self._resources.list_resources)
        listed = [{"mimeType": "application/json", **each} for each in listed]
        return mcp_types.ListResourcesResult.model_validate({"resources": listed})

    async def _read_resource(self, ctx: Any, params: mcp_types.ReadResourceRequestParams) -> mcp_types.ReadResourceResult:
        chat = await self._chat(ctx)
        uri = str(params.uri)
        text: str | None = None
        if uri == _OPERATIONS:
            text = _described(chat.operations())
        elif uri in self._own_resources:
            text = msgspec.json.encode(await asyncio.to_thread(chat.transcript)).decode()
        elif self._resources is not None:
            try:
                text = await asyncio.to_thread(self._resources.read_resource, uri)
            except CoterieError as error:
                raise MCPError(mcp_types.INVALID_PARAMS, str(error)) from error
        if text is None:
            raise MCPError(mcp_types.INVALID_PARAMS, f"there is no resource {uri}; list them for those that there are")
        found = {"contents": [{"uri": uri, "mimeType": "application/json", "text": text}]}
        return mcp_types.ReadResourceResult.model_validate(found)

    async def _chat(self, ctx: Any) -> Conversation:
        user, thread = self._user, "default"
        if ctx.request is not None:
            user = verified_user(ctx.request, self._user_headers) or user
            thread = ctx.request.headers.get("x-thread-id", thread)
        chat = await asyncio.to_thread(self._conversations.open, ("mcp", user or "-", thread), user=user)
        await chat.ready()
        return chat


class _TaskParams(mcp_types.RequestParams):
    task_id: str = ""
    input_responses: dict[str, Any] | None = None


def _modern(ctx: Any) -> bool:
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


def _knows_tasks(ctx: Any) -> bool:
    """Return whether the client of this request has declared the extension for tasks."""
    if not _modern(ctx):
        return False
    meta = (ctx.params or {}).get("_meta") or {}
    capabilities = meta.get("io.modelcontextprotocol/clientCapabilities") or {}
    return EXTENSION in (capabilities.get("extensions") or {})


def _text(text: str, *, failed: bool = False) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": failed, "resultType": "complete"}


def _described(operations: tuple[Operation, ...]) -> str:
    fields = ("id", "tool", "state", "fraction", "line", "question", "content", "detail")
    return json.dumps([{name: getattr(each, name) for name in fields} for each in operations], default=str, ensure_ascii=False)


async def _tell_progress(ctx: Any, chat: Conversation, operation: Operation) -> None:
    async for event in chat.events(after=0):
        if isinstance(event, OperationProgressed) and event.operation == operation.number:
            await ctx.session.report_progress(event.fraction, 1.0, event.line)
