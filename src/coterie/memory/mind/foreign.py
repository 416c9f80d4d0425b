"""Import of the memories of other systems: mem0, Letta agent files, and stores of LangMem.

A file is read and checked as a whole before anything is stored. What was imported before is left out, so an import may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from coterie.errors.memory import InvalidExport
from coterie.kernel import check_instance
from coterie.memory.exports.content import ExportContent
from coterie.memory.exports.files import load_export
from coterie.memory.exports.langmem import read_langmem
from coterie.memory.exports.letta import read_letta
from coterie.memory.exports.mem0 import read_mem0
from coterie.memory.mind.agent_memory import AgentMemory
from coterie.memory.mind.blocks import MOST_BLOCKS, check_block_name
from coterie.memory.mind.facts import facts_in
from coterie.memory.record import MemoryKind

_KINDS = (MemoryKind.EPISODE, MemoryKind.SEMANTIC)
_ALL = 1 << 30
_KNOWN = {"mem0": ("v1", "v1.0", "v1.1", "v2", "v2.0", 1, 2), "letta": (1, 2), "langmem": (1,)}
"""The versions of formats that files may name."""
_READERS: dict[str, Callable[[Any, ExportContent, str | None], None]] = {
    "mem0": read_mem0,
    "letta": read_letta,
    "langmem": read_langmem,
}


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


def import_memories(
    mind: AgentMemory, path: str | PathLike[str], *, source: str | None = None, agent: str | None = None
) -> ImportReport:
    """Store the memories of a file of another system, and return a report.

    `source` is "mem0" (the JSON of `get_all`, a backup of OpenMemory, the Markdown of its plugin; if it is given, also an export with
    a schema), "letta" (an agent file, .af) or "langmem" (the items of a LangGraph store or the rows of its table, as JSON or JSON
    lines); by default it is told by the content. `agent` names one of several agents of an agent file, or one
    user of a mem0 export. Raises `InvalidExport` if the file is none of these or of a newer format, and `DumpUnavailable`; then
    nothing is stored.
    """
    check_instance("import_memories.mind", mind, AgentMemory, "an AgentMemory")
    file = Path(path)
    data = load_export(file)
    kind = source if source is not None else _kind_of(data)
    reader = _READERS.get(kind or "")
    if kind is None or reader is None:
        problem = (
            "its content is not that of an export of mem0, Letta or LangMem" if source is None else f"{source!r} is not known"
        )
        raise InvalidExport(file, problem, f"give source= one of {', '.join(_READERS)}, or a file of one of them")
    content = ExportContent()
    _check_version(file, kind, data)
    try:
        reader(data, content, agent)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InvalidExport(
            file, f"it is not a {kind} export of a known format: {error}", "update coterie, or export anew"
        ) from None
    return _store(mind, file, kind, content)


def _store(mind: AgentMemory, file: Path, source: str, content: ExportContent) -> ImportReport:
    if len(mind) + len(content.heard) > mind.max_episodes:
        problem = (
            f"it has {len(content.heard)} messages, and {mind.agent} has room for {mind.max_episodes - len(mind)} episodes"
        )
        raise InvalidExport(file, problem, "give the AgentMemory a greater max_episodes")
    there = mind.recent(_ALL, kinds=_KINDS, where={"imported_from": source})
    known = {str(each.value["imported_id"]) for each in there if isinstance(each.value, dict) and "imported_id" in each.value}
    for name, *_ in content.blocks:
        check_block_name(name)
    limits = {each.name: each.limit for each in mind.blocks}
    number = len(limits.keys() | {each.name for each in content.blocks})
    if number > MOST_BLOCKS:
        problem = f"{mind.agent} would have {number} memory blocks with it, and an agent has at most {MOST_BLOCKS}"
        raise InvalidExport(file, problem, "delete blocks, or import it for an agent of its own")
    count = dict.fromkeys(("learnt", "heard"), 0)
    for name, items in (("learnt", content.learnt), ("heard", content.heard)):
        for each in sorted(items, key=lambda each: each.time or 0.0):
            if each.id in known:
                continue
            known.add(each.id)
            marked = {**each.value, "imported_from": source, "imported_id": each.id}
            if name == "heard":
                mind.remember(marked, text=each.text, at=each.time)
            else:
                # A fact of an earlier time gives way to one of a later time.
                mind.learn(marked, text=each.text, valid_from=each.time if facts_in(marked) else None, valid_until=each.until)
            count[name] += 1
    for block, text, limit, description in content.blocks:
        mind.blocks.define(block, limit=max(limit, len(text), limits.get(block, 1)), description=description)
        mind.blocks.write(block, text)
    total = len(content.learnt) + len(content.heard)
    return ImportReport(
        source, count["learnt"], count["heard"], len(content.blocks), total - sum(count.values()), content.left_out
    )


def _kind_of(data: Any) -> str | None:
    if isinstance(data, Mapping):
        if ("agents" in data and "blocks" in data) or "core_memory" in data or "agent_type" in data:
            return "letta"
        if "items" in data:
            return "langmem"
        return "mem0" if "results" in data or "memories" in data else None
    first = data[0] if isinstance(data, list) and data else None
    if isinstance(first, Mapping):
        if ("namespace" in first or "prefix" in first) and "value" in first:
            return "langmem"
        if "memory" in first or ("content" in first and "state" in first):
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
