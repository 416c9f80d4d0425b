"""Explanation of a memory: its sources, back to the episodes, and the memories that rest on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from coterie.memory.mind.episodes import Episodes, key_of
from coterie.memory.mind.items import Explanation, Memory
from coterie.memory.mind.writer import EpisodeWriter
from coterie.memory.record import MemoryKind, MemoryRecord
from coterie.memory.tiered import TieredMemory
from coterie.memory.tiers.rules import strength


def explain_memory(
    record: MemoryRecord,
    memory: TieredMemory,
    state: Episodes,
    writer: EpisodeWriter,
    seen: Callable[[MemoryRecord], Memory],
) -> Explanation:
    """Return the explanation of a memory. Takes the lock of the episodes itself."""
    sources = _read(record.agent, record.sources, memory)
    roots: dict[str, MemoryRecord] = {}
    known = {record.id}
    waiting = [record]
    for each in waiting:
        if each.kind == MemoryKind.EPISODE:
            roots[each.id] = each
        # A fact that was replaced is cited, but it does not support the one that replaced it.
        replaced = each.fact.replaces if each.fact is not None else ()
        there = _read(record.agent, (source for source in each.sources if source not in replaced), memory)
        for source in there.values():
            if source is not None and source.id not in known:
                known.add(source.id)
                waiting.append(source)
    with state.lock:
        consolidated = record.id not in state.fresh and record.id not in state.given
    return Explanation(
        memory=seen(record),
        strength=strength(record, memory.clock.time()),
        sources=tuple(seen(each) for each in sources.values() if each is not None),
        missing=tuple(source for source, each in sources.items() if each is None),
        derived=tuple(seen(each) for each in writer.citing(record.id)),
        episodes=tuple(seen(each) for each in sorted(roots.values(), key=lambda each: (each.created, each.id))),
        decisions=tuple(memory.decisions(record.key)),
        consolidated=consolidated,
    )


def _read(agent: str, ids: Iterable[str], memory: TieredMemory) -> dict[str, MemoryRecord | None]:
    """Return the memories of those ids; None for those that no longer exist."""
    keys = {each: [key_of(agent, kind, each) for kind in (MemoryKind.EPISODE, MemoryKind.SEMANTIC)] for each in ids}
    there = memory.records.get_many(key for pair in keys.values() for key in pair)
    return {each: next((there[key] for key in pair if key in there), None) for each, pair in keys.items()}
