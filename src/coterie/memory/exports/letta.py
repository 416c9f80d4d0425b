"""Agent files of Letta (.af), in their present and earlier forms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from coterie.memory.exports.content import ExportContent, ExportedBlock, ExportedText, id_of, mappings, text_in, time_of

_ROLES = {"user": "user", "assistant": "assistant", "agent": "assistant"}
_LIMIT = 2_000
_SAY = "send_message"
"""The tool by which earlier agents speak; the text beside it is a thought."""
_OF_A_USER = "user_message"
_REMINDER = "<system-reminder>"
_AUTOMATIC = "messages of the program"


def read_letta(data: Any, content: ExportContent, agent: str | None) -> None:
    """Read blocks, messages and passages. Raises `TypeError`, `KeyError` or `ValueError` for another format."""
    if "agents" not in data:
        _read_agent(data, {}, content)
        for block in mappings(data.get("core_memory") or []):
            _read_block(block, content)
        content.leave_out("tools", len(data.get("tools") or ()))
        return
    agents = mappings(data["agents"])
    chosen = [each for each in agents if agent is None or agent in (each.get("name"), each.get("id"))]
    if len(chosen) != 1:
        names = ", ".join(str(each.get("name")) for each in agents)
        raise ValueError(f"it has the agents {names}; give agent= one of them")
    blocks = {str(block["id"]): block for block in mappings(data.get("blocks") or []) if "id" in block}
    _read_agent(chosen[0], blocks, content)
    for name in ("tools", "mcp_servers", "files", "sources", "skills"):
        content.leave_out(name, len(data.get(name) or ()))


def _read_agent(row: Mapping[str, Any], blocks: Mapping[str, Any], content: ExportContent) -> None:
    own = row.get("memory_blocks") or (row.get("memory") or {}).get("blocks") or []
    wanted = [blocks[each] for each in row.get("block_ids") or [] if each in blocks]
    for block in (*wanted, *mappings(own)):
        _read_block(block, content)
    messages = mappings(row.get("messages") or [])
    speaks_by_tool = any(_sent(message) for message in messages)
    for message in messages:
        role = str(message.get("role"))
        if role not in _ROLES:
            content.leave_out(f"messages of role {role}")
            continue
        speaker = _ROLES[role]
        text = _heard(_plain(message)) if speaker == "user" else _sent(message) if speaks_by_tool else _plain(message)
        if text is None or not text.strip():
            content.leave_out(_AUTOMATIC if speaker == "user" else f"messages of role {role} without words to the user")
            continue
        # Ids are of one file: message-1 of another file is another message.
        id = id_of(row.get("name"), message.get("id"), message.get("created_at"), text)  # noqa: A001 - the field's own name
        content.heard.append(ExportedText(id, text, {"speaker": speaker, "content": text}, time_of(message.get("created_at"))))
    for name in ("passages", "archival_memory"):
        for place, passage in enumerate(mappings(row.get(name) or [])):
            text = text_in(passage, place, "text")
            time = time_of(passage.get("created_at"))
            content.learnt.append(ExportedText(id_of(passage.get("id"), text), text, {"content": text}, time))


def _read_block(block: Mapping[str, Any], content: ExportContent) -> None:
    limit = block.get("limit")
    content.blocks.append(
        ExportedBlock(
            str(block["label"]),
            text_in(block, 0, "value"),
            int(limit) if limit else _LIMIT,
            str(block.get("description") or ""),
        )
    )


def _plain(message: Mapping[str, Any]) -> str:
    """Return the text of a message, without its reasoning."""
    body = message.get("content", message.get("text"))
    if isinstance(body, list):
        return "\n".join(str(part["text"]) for part in body if isinstance(part, Mapping) and isinstance(part.get("text"), str))
    return body if isinstance(body, str) else ""


def _heard(text: str) -> str | None:
    """Return the words of a user, without the envelope in JSON; None for a login, a heartbeat and other automatic messages."""
    if text.lstrip().startswith(_REMINDER):
        return None
    if not text.lstrip().startswith("{"):
        return text
    try:
        envelope = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(envelope, dict) or "type" not in envelope or "time" not in envelope:
        return text
    said = envelope.get("message")
    return said if envelope["type"] == _OF_A_USER and isinstance(said, str) else None


def _sent(message: Mapping[str, Any]) -> str | None:
    """Return what an agent said to its user by a tool."""
    said = []
    for call in message.get("tool_calls") or []:
        function = (call or {}).get("function") or {}
        if function.get("name") == _SAY:
            try:
                arguments = json.loads(function.get("arguments") or "")
            except (ValueError, RecursionError, TypeError):
                continue
            if isinstance(arguments, dict) and isinstance(arguments.get("message"), str):
                said.append(arguments["message"])
    return "\n".join(said) or None
