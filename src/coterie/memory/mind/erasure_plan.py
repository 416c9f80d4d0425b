"""The choice of everything that belongs to a person or is about one: memories, derived memories, contexts, blocks, grants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from coterie.memory.mind.blocks import BLOCKS, StoredBlock, decode_blocks, encode_blocks
from coterie.memory.mind.episodes import key_of
from coterie.memory.mind.facts import name_key
from coterie.memory.mind.sharing import GRANTS
from coterie.memory.mind.writer import context_of
from coterie.memory.record import MemoryKind, MemoryRecord

_SPACED = 0x0250
"""Letters below are Latin; a name in other letters is also found inside of a longer word, for languages with endings."""


class ErasurePlan:
    """Gathers records, and then tells what to delete and what to change. Not safe from many threads.

    It holds ids and keys only, so that a large store needs little memory.
    """

    def __init__(self, owner: str | None, names: Iterable[str]) -> None:
        self.owner = owner
        self.names = [key for name in names if (key := name_key(name))]
        self.gone: dict[str, MemoryRecord] = {}
        """The records to delete, by key, without their values."""
        self.derived: set[str] = set()
        """The keys of those that are deleted only because they rest on others."""
        self.changed: set[str] = set()
        """The keys of the blocks and grants to change."""
        self._citing: dict[tuple[str, str], list[MemoryRecord]] = {}
        self._episodes: dict[str, list[str]] = {}
        self._lost: set[tuple[str, str]] = set()

    def add(self, record: MemoryRecord) -> None:
        """Gather a record."""
        light = replace(record, value=b"", text="", context="", vector=b"")
        if record.kind == MemoryKind.EPISODE and record.key == key_of(record.agent, MemoryKind.EPISODE, record.id):
            self._episodes.setdefault(record.agent, []).append(record.id)
        if record.agent == self.owner and self.owner is not None:
            self._lose(light)
        elif record.key.startswith(BLOCKS):
            if self.names and self._is_mentioned(_texts(msgspec.msgpack.decode(record.value))):
                self.changed.add(record.key)
        elif record.key.startswith(GRANTS):
            if self.owner in (msgspec.msgpack.decode(record.value) or ()):
                self.changed.add(record.key)
        elif self.names and record.kind != MemoryKind.INTERNAL and self._is_about(record):
            self._lose(light)
        for source in record.sources:
            self._citing.setdefault((record.agent, source), []).append(light)

    def finish(self) -> None:
        """Choose the memories that were derived from those to delete."""
        waiting = list(self._lost)
        for lost in waiting:
            for record in self._citing.get(lost, ()):
                if record.key in self.gone or (record.fact is not None and lost[1] in record.fact.replaces):
                    continue
                self._lose(record)
                self.derived.add(record.key)
                waiting.append((record.agent, record.id))

    def survivors(self) -> Iterator[MemoryRecord]:
        """Yield the records, without their values, that cite a deleted one and stay: facts that replaced it."""
        seen = set()
        for lost in self._lost:
            for record in self._citing.get(lost, ()):
                if record.key not in self.gone and record.key not in seen:
                    seen.add(record.key)
                    yield record

    def without_sources(self, record: MemoryRecord) -> MemoryRecord:
        """Return a record without its deleted sources."""
        sources = tuple(source for source in record.sources if (record.agent, source) not in self._lost)
        fact = record.fact
        if fact is not None:
            fact = replace(
                fact,
                quotes=tuple(each for each in fact.quotes if (record.agent, each[0]) not in self._lost),
                replaces=tuple(each for each in fact.replaces if (record.agent, each) not in self._lost),
            )
        return replace(record, sources=sources, fact=fact)

    def beside(self) -> Iterator[tuple[str, str | None, str | None]]:
        """Yield the keys of the episodes beside deleted ones, each with those of its neighbours that stay."""
        for agent, ids in self._episodes.items():
            ids.sort(key=lambda each: (len(each.partition("-")[0]), each))
            keys = [key_of(agent, MemoryKind.EPISODE, each) for each in ids]
            stay = [key for key in keys if key not in self.gone]
            place = {key: number for number, key in enumerate(stay)}
            for number, key in enumerate(keys):
                around = [keys[each] for each in (number - 1, number + 1) if 0 <= each < len(keys)]
                if key in place and any(each in self.gone for each in around):
                    at = place[key]
                    yield key, stay[at - 1] if at else None, stay[at + 1] if at + 1 < len(stay) else None

    def unconsolidated(self) -> dict[str, str]:
        """Return the first episode of each agent that stays while the summary made from it is deleted."""
        first: dict[str, str] = {}
        for record in self.gone.values():
            if record.kind == MemoryKind.SEMANTIC and record.fact is None and record.agent != self.owner:
                stay = [each for each in record.sources if key_of(record.agent, MemoryKind.EPISODE, each) not in self.gone]
                for each in sorted(stay, key=lambda each: (len(each), each))[:1]:
                    first[record.agent] = min(first.get(record.agent, each), each, key=lambda each: (len(each), each))
        return first

    def edited(self, record: MemoryRecord) -> tuple[MemoryRecord, list[str]]:
        """Return blocks or grants without the person, and what was changed in them."""
        if record.key.startswith(GRANTS):
            readers = [each for each in msgspec.msgpack.decode(record.value) or () if each != self.owner]
            return replace(record, value=msgspec.msgpack.encode(readers)), []
        stored = decode_blocks(record.value)
        edited = [f"{record.agent}: {name}" for name, block in stored.blocks.items() if self._edit(block)]
        for name in [name for name in stored.blocks if self._is_mentioned([name])]:
            edited.append(f"{record.agent}: {name}")
            del stored.blocks[name]
        return replace(record, value=encode_blocks(stored)), list(dict.fromkeys(edited))

    # Internal

    def _lose(self, record: MemoryRecord) -> None:
        self.gone[record.key] = record
        self._lost.add((record.agent, record.id))

    def _is_about(self, record: MemoryRecord) -> bool:
        texts = [record.text, record.key]
        if record.fact is not None:
            texts += [record.fact.subject, record.fact.object, *(quote for _, quote in record.fact.quotes)]
        return self._is_mentioned(texts) or self._is_mentioned(_texts(msgspec.msgpack.decode(record.value)))

    def _is_mentioned(self, texts: Iterable[str]) -> bool:
        for text in texts:
            words = f" {name_key(text)} "
            for name in self.names:
                if f" {name} " in words or f" {name}s " in words or (ord(name[-1]) >= _SPACED and name in words):
                    return True
        return False

    def _edit(self, block: StoredBlock) -> bool:
        """Remove the lines of a block that mention the person, and the earlier versions that do."""
        lines = block.text.split("\n")
        left = [line for line in lines if not self._is_mentioned([line])]
        earlier = [each for each in block.earlier if not self._is_mentioned([each[2]])]
        described = self._is_mentioned([block.description])
        if len(left) == len(lines) and len(earlier) == len(block.earlier) and not described:
            return False
        if len(left) != len(lines):
            block.text, block.version = "\n".join(left), block.version + 1
        block.earlier = earlier
        block.description = "" if described else block.description
        return True


def context_beside(record: MemoryRecord, before: MemoryRecord | None, after: MemoryRecord | None) -> MemoryRecord:
    """Return an episode with the context of the neighbours that it has now."""
    texts = [each.text if each is not None else "" for each in (before, after)]
    return replace(record, context=context_of(texts[0], texts[1], record.created))


def apply_plan(
    plan: ErasurePlan,
    get: Callable[[Iterable[str]], Mapping[str, MemoryRecord]],
    put: Callable[[MemoryRecord], object],
) -> tuple[list[str], int]:
    """Change all that stays: contexts, citations, blocks and grants. Return the changed blocks, and how many contexts."""
    blocks: list[str] = []
    contexts = 0
    for key in sorted(plan.changed - plan.gone.keys()):
        for record in get([key]).values():
            edited, names = plan.edited(record)
            put(edited)
            blocks += names
    for light in plan.survivors():
        for record in get([light.key]).values():
            put(plan.without_sources(record))
    for key, before, after in plan.beside():
        there = get([each for each in (key, before, after) if each is not None])
        if key in there:
            put(context_beside(there[key], there.get(before or ""), there.get(after or "")))
            contexts += 1
    return blocks, contexts


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts in a plain value, the keys of dictionaries included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(key)
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
