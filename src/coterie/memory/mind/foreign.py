"""Import of the memories of other systems: mem0, Letta agent files, and stores of LangMem.

A file is read and checked as a whole before anything is stored. What was imported before is left out, so an import may be repeated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

from coterie.errors.memory import DumpUnavailable, InvalidExport
from coterie.kernel import check_instance
from coterie.memory.mind.agent_memory import AgentMemory
from coterie.memory.mind.blocks import check_block_name
from coterie.memory.mind.facts import facts_in
from coterie.memory.record import MemoryKind

_KINDS = (MemoryKind.EPISODE, MemoryKind.SEMANTIC)
_ALL = 1 << 30
_SURROGATE = re.compile(r"(?P<pair>\\u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w)|\\u[dD][89a-fA-F]\w\w")
_ROLES = {"user": "user", "assistant": "assistant", "agent": "assistant"}
_KNOWN = {"mem0": ("v1", "v1.0", "v1.1", "v2", "v2.0", 1, 2), "letta": (1, 2), "langmem": (1,)}
"""The versions of formats that files may name."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What `import_memories` stored."""

    source: str
    """mem0, letta or langmem."""
    memories: int
    """Semantic memories, those that were merged with equal ones included."""
    episodes: int
    blocks: int
    known: int
    """Memories that were imported before, and left out."""
    left_out: Mapping[str, int]
    """What is in the file and has no place in a memory, by kind: tools, system messages and the like."""


@dataclass(slots=True)
class _Content:
    """The content of a file."""

    learnt: list[tuple[str, str, dict[str, Any], float | None]] = field(default_factory=list)
    """Id, text, value and time."""
    heard: list[tuple[str, str, dict[str, Any], float | None]] = field(default_factory=list)
    blocks: list[tuple[str, str, int, str]] = field(default_factory=list)
    """Name, text, limit and description."""
    left_out: dict[str, int] = field(default_factory=dict)

    def leave_out(self, what: str, count: int = 1) -> None:
        """Count what is not imported."""
        if count:
            self.left_out[what] = self.left_out.get(what, 0) + count


def import_memories(
    mind: AgentMemory, path: str | PathLike[str], *, source: str | None = None, agent: str | None = None
) -> ImportReport:
    """Store the memories of a file of another system, and return a report.

    `source` is "mem0" (the JSON of `get_all` or an export), "letta" (an agent file, .af) or "langmem" (the items of a LangGraph
    store as JSON or JSON lines); by default it is told by the content. `agent` names one of several agents of an agent file, or one
    user of a mem0 export. Raises `InvalidExport` if the file is none of these or of a newer format, and `DumpUnavailable`; then
    nothing is stored.
    """
    check_instance("import_memories.mind", mind, AgentMemory, "an AgentMemory")
    file = Path(path)
    data = _load(file)
    kind = source if source is not None else _kind_of(data)
    reader = _READERS.get(kind or "")
    if kind is None or reader is None:
        problem = (
            "its content is not that of an export of mem0, Letta or LangMem" if source is None else f"{source!r} is not known"
        )
        raise InvalidExport(file, problem, f"give source= one of {', '.join(_READERS)}, or a file of one of them")
    content = _Content()
    _check_version(file, kind, data)
    try:
        reader(data, content, agent)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InvalidExport(
            file, f"it is not a {kind} export of a known format: {error}", "update coterie, or export anew"
        ) from None
    return _store(mind, file, kind, content)


def _store(mind: AgentMemory, file: Path, source: str, content: _Content) -> ImportReport:
    if len(mind) + len(content.heard) > mind.max_episodes:
        problem = (
            f"it has {len(content.heard)} messages, and {mind.agent} has room for {mind.max_episodes - len(mind)} episodes"
        )
        raise InvalidExport(file, problem, "give the AgentMemory a greater max_episodes")
    there = mind.recent(_ALL, kinds=_KINDS, where={"imported_from": source})
    known = {str(each.value["imported_id"]) for each in there if isinstance(each.value, dict) and "imported_id" in each.value}
    for name, *_ in content.blocks:
        check_block_name(name)
    count = dict.fromkeys(("learnt", "heard"), 0)
    for name, items in (("learnt", content.learnt), ("heard", content.heard)):
        for id, text, value, time in sorted(items, key=lambda each: each[3] or 0.0):  # noqa: A001 - the field's own name
            if id in known:
                continue
            marked = {**value, "imported_from": source, "imported_id": id}
            if name == "heard":
                mind.remember(marked, text=text, at=time)
            else:
                # A fact of an earlier time gives way to one of a later time.
                mind.learn(marked, text=text, valid_from=time if facts_in(marked) else None)
            count[name] += 1
    for block, text, limit, description in content.blocks:
        mind.blocks.define(block, limit=max(limit, len(text), 1), description=description)
        mind.blocks.write(block, text)
    total = len(content.learnt) + len(content.heard)
    return ImportReport(
        source, count["learnt"], count["heard"], len(content.blocks), total - sum(count.values()), content.left_out
    )


def _load(file: Path) -> Any:
    try:
        text = file.read_text("utf-8-sig")
    except OSError as error:
        raise DumpUnavailable(file, "read", error.strerror or error) from error
    except UnicodeDecodeError as error:
        raise InvalidExport(file, f"it is not text in UTF-8 ({error.reason})", "export anew") from None
    # JSON can escape what no text can contain.
    text = _SURROGATE.sub(lambda found: found[0] if found["pair"] else "\\ufffd", text)
    try:
        return json.loads(text)
    except RecursionError:
        raise InvalidExport(file, "it is nested too deeply", "export anew") from None
    except ValueError as whole:
        try:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            raise InvalidExport(file, f"it is neither JSON nor JSON lines ({whole})", "export anew") from None


def _kind_of(data: Any) -> str | None:
    if isinstance(data, Mapping):
        if ("agents" in data and "blocks" in data) or "core_memory" in data or "agent_type" in data:
            return "letta"
        if "items" in data:
            return "langmem"
        return "mem0" if "results" in data or "memories" in data else None
    first = data[0] if isinstance(data, list) and data else None
    if isinstance(first, Mapping):
        if "namespace" in first and "value" in first:
            return "langmem"
        if "memory" in first:
            return "mem0"
    return None


def _check_version(file: Path, kind: str, data: Any) -> None:
    if not isinstance(data, Mapping):
        return
    names = ("format_version", "schema_version") if kind == "letta" else ("format_version", "schema_version", "version")
    for name in names:
        version = data.get(name)
        if version is not None and version not in _KNOWN[kind]:
            raise InvalidExport(
                file, f"it is of the {kind} format {version!r}, which is newer than this version knows", "update coterie"
            )


# mem0


def _read_mem0(data: Any, content: _Content, agent: str | None) -> None:
    rows = data if isinstance(data, list) else data["results"] if "results" in data else data["memories"]
    for place, row in enumerate(_mappings(rows)):
        text = _text(row, place, "memory")
        owners = {str(row[name]) for name in ("user_id", "agent_id", "app_id", "run_id") if row.get(name)}
        if agent is not None and agent not in owners:
            content.leave_out("memories of others")
            continue
        metadata = row.get("metadata") or {}
        more = {name: row[name] for name in ("user_id", "agent_id", "run_id", "categories") if row.get(name)}
        time = _time(row.get("created_at"))
        value = {
            **_fields(metadata),
            **more,
            "content": text,
            **({"created_at": row["created_at"]} if time is not None else {}),
        }
        content.learnt.append((str(row.get("id", row.get("hash", text))), text, value, time))
    for row in _mappings(data.get("relations") or []) if isinstance(data, Mapping) else ():
        target = row["target"] if "target" in row else row["destination"]
        triple = {"subject": str(row["source"]), "relation": str(row["relationship"]).replace("_", " "), "object": str(target)}
        content.learnt.append(("/".join(triple.values()), " ".join(triple.values()), triple, None))


# Letta


def _read_letta(data: Any, content: _Content, agent: str | None) -> None:
    if "agents" not in data:
        _read_letta_agent(data, {}, content)
        for block in _mappings(data.get("core_memory") or []):
            _read_block(block, content)
        return
    agents = _mappings(data["agents"])
    chosen = [each for each in agents if agent is None or agent in (each.get("name"), each.get("id"))]
    if len(chosen) != 1:
        names = ", ".join(str(each.get("name")) for each in agents)
        raise ValueError(f"it has the agents {names}; give agent= one of them")
    blocks = {str(block["id"]): block for block in _mappings(data.get("blocks") or []) if "id" in block}
    _read_letta_agent(chosen[0], blocks, content)
    for name in ("tools", "mcp_servers", "files", "sources"):
        content.leave_out(name, len(data.get(name) or ()))


def _read_letta_agent(row: Mapping[str, Any], blocks: Mapping[str, Any], content: _Content) -> None:
    own = row.get("memory_blocks") or (row.get("memory") or {}).get("blocks") or []
    wanted = [blocks[each] for each in row.get("block_ids") or [] if each in blocks]
    for block in (*wanted, *_mappings(own)):
        _read_block(block, content)
    for place, message in enumerate(_mappings(row.get("messages") or [])):
        role, text = str(message.get("role")), _said(message)
        if role not in _ROLES or not text.strip():
            content.leave_out(f"messages of role {role}")
            continue
        id = str(message.get("id", f"{row.get('name', '')}/{place}"))  # noqa: A001 - the field's own name
        content.heard.append((id, text, {"speaker": _ROLES[role], "content": text}, _time(message.get("created_at"))))
    for name in ("passages", "archival_memory"):
        for place, passage in enumerate(_mappings(row.get(name) or [])):
            text = _text(passage, place, "text")
            content.learnt.append((str(passage.get("id", text)), text, {"content": text}, _time(passage.get("created_at"))))


def _read_block(block: Mapping[str, Any], content: _Content) -> None:
    limit = block.get("limit")
    content.blocks.append(
        (str(block["label"]), _text(block, 0, "value"), int(limit) if limit else 2_000, str(block.get("description") or ""))
    )


def _said(message: Mapping[str, Any]) -> str:
    body = message.get("content", message.get("text"))
    if isinstance(body, list):
        return "\n".join(str(part["text"]) for part in body if isinstance(part, Mapping) and isinstance(part.get("text"), str))
    return body if isinstance(body, str) else ""


# LangMem


def _read_langmem(data: Any, content: _Content, agent: str | None) -> None:
    for place, row in enumerate(_mappings(data["items"] if isinstance(data, Mapping) else data)):
        namespace = row["namespace"]
        spaces = [namespace] if isinstance(namespace, str) else [str(each) for each in namespace]
        if agent is not None and agent not in spaces:
            content.leave_out("memories of others")
            continue
        value = row["value"]
        if not isinstance(value, Mapping):
            raise TypeError(f"item {place + 1} has no value with fields")
        inner = value["content"] if isinstance(value.get("content"), Mapping) else value
        more = {"namespace": "/".join(spaces), **({"schema": value["kind"]} if isinstance(value.get("kind"), str) else {})}
        fields = {**_fields(inner), **more}
        content.learnt.append((f"{'/'.join(spaces)}/{row['key']}", _words(inner), fields, _time(row.get("created_at"))))


# Shared


_READERS: dict[str, Callable[[Any, _Content, str | None], None]] = {
    "mem0": _read_mem0,
    "letta": _read_letta,
    "langmem": _read_langmem,
}


def _mappings(rows: Any) -> list[Mapping[str, Any]]:
    if not isinstance(rows, list):
        raise TypeError("a list is expected where the memories are")
    for place, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise TypeError(f"entry {place + 1} is not an object")
    return rows


def _text(row: Mapping[str, Any], place: int, name: str) -> str:
    text = row.get(name)
    if not isinstance(text, str):
        raise TypeError(f"entry {place + 1} has no text {name!r}")
    return text


def _fields(row: Any) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise TypeError("metadata is an object")
    return {str(name): each for name, each in row.items()}


def _words(value: Any) -> str:
    return " ".join(_strings(value))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


def _time(value: Any) -> float | None:
    """Return a time in ISO 8601, or in seconds since 1970; None without one."""
    if value is None or value == "":
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    moment = datetime.fromisoformat(str(value))
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
