"""Make tools from the list of an MCP server, and texts from its results."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from coterie.conversation.mcp.policy import McpToolPolicy
from coterie.conversation.operations.operation import Effect
from coterie.conversation.sanitize import plain_text
from coterie.conversation.tools.context import ToolContext
from coterie.conversation.tools.json_schema import SchemaArguments
from coterie.conversation.tools.tool import Tool
from coterie.errors import OutcomeUnknown
from coterie.errors.conversation import ToolServerUnavailable
from coterie.work import Retry

_LONGEST_NAME = 64
_LONGEST_DESCRIPTION = 4_000
_LONGEST_SCHEMA = 100_000
"""Characters of a tool's description and schema. Both are in every prompt."""
_READ_RETRY = Retry(2, on=(OutcomeUnknown, ToolServerUnavailable))
"""A read that was lost with its connection is simply sent again."""

CallRemote = Callable[[ToolContext, Mapping[str, Any]], Awaitable[str]]
"""Calls one tool of a server, and returns its result as text."""


class ListedTool(Protocol):
    """A tool in the list of a server."""

    name: str
    description: str | None
    input_schema: dict[str, Any]
    annotations: Any


def make_tool(
    server: str, listed: ListedTool, policy: McpToolPolicy, prefix: str, call: CallRemote, offered: Callable[[], bool]
) -> Tool:
    """Return a tool that calls one of a server. Raises `DefinitionError` and `InvalidSetting` for one that cannot be used."""
    name = policy.name or tool_name(prefix, listed.name)
    where = f"the tool {listed.name!r} of the server {server}"
    arguments = SchemaArguments(listed.input_schema, where, policy.secrets)
    if len(json.dumps(arguments.schema, default=str)) > _LONGEST_SCHEMA:
        raise ValueError(f"{where}: its schema has more than {_LONGEST_SCHEMA} characters")

    # The name of the context is one that no parameter of the tool has, since all parameters come as keywords.
    async def run(coterie_tool_context_: ToolContext, **given: Any) -> str:
        return await call(coterie_tool_context_, given)

    write = policy.effect == Effect.WRITE
    retry = _READ_RETRY if not write or policy.idempotent else None
    description = policy.description if policy.description is not None else listed.description or ""
    return Tool(
        run,
        name=name,
        description=plain_text(description[:_LONGEST_DESCRIPTION]),
        effect=policy.effect,
        resources=policy.resources_of(arguments.schema["properties"]),
        scope=policy.scope,
        long_running=policy.long_running,
        expected=policy.expected,
        patience=policy.patience,
        timeout=policy.timeout,
        idle_timeout=policy.idle_timeout,
        idempotent=policy.idempotent,
        retry=retry,
        confirm=policy.confirm,
        arguments=arguments,
        offered=offered,
    )


def with_hints(policy: McpToolPolicy, listed: ListedTool) -> McpToolPolicy:
    """Return the policy of a trusted server's tool: what the server says of itself counts as if it were configured."""
    hints = listed.annotations
    if hints is None:
        return policy
    effect = "read" if getattr(hints, "read_only_hint", None) else "write"
    return McpToolPolicy(
        **{
            **{name: getattr(policy, name) for name in policy.__struct_fields__},
            "effect": effect,
            "idempotent": bool(getattr(hints, "idempotent_hint", None)),
        }
    )


def tool_name(prefix: str, name: str) -> str:
    """Return the name of a tool with the prefix of its server, in the characters that models accept."""
    whole = re.sub(r"[^A-Za-z0-9_-]", "_", f"{prefix}{name}")[:_LONGEST_NAME]
    return whole if re.match(r"[A-Za-z_]", whole) else f"_{whole}"[:_LONGEST_NAME]


def result_text(result: Any) -> str:
    """Return the result of a call as text: its texts, and for each other content a line that says what it is."""
    parts = []
    for each in result.content:
        match getattr(each, "type", ""):
            case "text":
                parts.append(each.text)
            case "image" | "audio":
                parts.append(f"[{each.type}: {each.mime_type}, {len(each.data) * 3 // 4} bytes]")
            case "resource_link":
                parts.append(f"[{each.name}: {each.uri}]")
            case "resource":
                inner = each.resource
                text = getattr(inner, "text", None)
                parts.append(text if text is not None else f"[{inner.uri}: {len(inner.blob) * 3 // 4} bytes]")
            case kind:
                parts.append(f"[{kind or 'unknown content'}]")
    if not parts and result.structured_content is not None:
        parts.append(json.dumps(result.structured_content, ensure_ascii=False, default=str))
    return plain_text("\n".join(parts))
