"""Exports of mem0: the JSON of `get_all`, backups of OpenMemory, Markdown of its plugin, and exports with a schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coterie.memory.exports.content import ExportContent, ExportedText, fields_of, id_of, mappings, text_in, time_of, words_of

_DAY = 86_400.0
_OWNERS = ("user_id", "agent_id", "app_id", "run_id", "app")


def read_mem0(data: Any, content: ExportContent, agent: str | None) -> None:
    """Read memories and relations. Raises `TypeError`, `KeyError` or `ValueError` for another format."""
    if isinstance(data, Mapping) and "results" not in data and "memories" not in data:
        _read_shaped(data, content)
        return
    rows = data if isinstance(data, list) else data["results"] if "results" in data else data["memories"]
    for place, row in enumerate(mappings(rows)):
        text = text_in(row, place, "memory" if "memory" in row or "content" not in row else "content")
        owners = {str(row[name]) for name in _OWNERS if row.get(name)}
        if agent is not None and agent not in owners:
            content.leave_out("memories of others")
            continue
        state = row.get("state")
        if state == "deleted":
            content.leave_out("deleted memories")
            continue
        more = {name: row[name] for name in (*_OWNERS, "categories", "state") if row.get(name)}
        time = time_of(row.get("created_at"))
        value = {
            **fields_of(row.get("metadata") or {}),
            **more,
            "content": text,
            **({"created_at": row["created_at"]} if time is not None else {}),
        }
        id = str(row.get("id") or row.get("hash") or id_of(text))  # noqa: A001 - the field's own name
        content.learnt.append(ExportedText(id, text, value, time, _end(row)))
    for row in mappings(data.get("relations") or []) if isinstance(data, Mapping) else ():
        target = row["target"] if "target" in row else row["destination"]
        names = [str(each).replace("_", " ") for each in (row["source"], row["relationship"], target)]
        triple = dict(zip(("subject", "relation", "object"), names, strict=True))
        content.learnt.append(ExportedText("/".join(names), " ".join(names), triple, None))


def _end(row: Mapping[str, Any]) -> float | None:
    """Return when a memory ceased to be valid: after the day of its expiration, or when it was archived."""
    expires = time_of(row.get("expiration_date"))
    if expires is not None:
        return expires + _DAY
    if row.get("state") == "archived":
        return time_of(row.get("archived_at") or row.get("updated_at") or row.get("created_at"))
    return None


def _read_shaped(data: Mapping[str, Any], content: ExportContent) -> None:
    """Read an export with a schema of the user's: it is one memory with its fields."""
    text = words_of(data)
    if not text.strip():
        raise ValueError("it has no text")
    content.learnt.append(ExportedText(id_of(sorted(data.items())), text, fields_of(data), None))
