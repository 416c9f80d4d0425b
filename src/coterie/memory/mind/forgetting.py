"""Forgetting of one memory: with all that was derived from it, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from coterie.memory.mind.episodes import Episodes, key_of
from coterie.memory.mind.writer import EpisodeWriter
from coterie.memory.record import Fact, MemoryKind, MemoryRecord
from coterie.memory.tiered import TieredMemory


def forget_memory(
    record: MemoryRecord, memory: TieredMemory, state: Episodes, writer: EpisodeWriter, drop: Callable[[str], object]
) -> list[str]:
    """Delete a memory and all memories derived from it, under the lock of the episodes, and return their ids.

    A fact with another citation stays, without this one. A fact that only replaced a deleted one stays too, and a fact that a
    deleted one had replaced is valid again. `drop` is called with the key of each deleted memory.
    """
    gone = [record]
    for each in gone:
        known = {other.id for other in gone}
        gone += [other for other in writer.citing(each.id) if other.id not in known and not _stands(other, known)]
    lost = {each.id for each in gone}
    for each in gone:
        _release(each, lost, writer)
    if record.kind == MemoryKind.EPISODE:
        writer.scrub(record)
    if state.running is not None:
        state.forgotten |= lost
    for each in gone:
        memory.delete(each.key, reason=f"forgotten, with {record.id}" if each is not record else "forgotten")
        if each.kind == MemoryKind.EPISODE:
            state.discard(each.id)
        else:
            state.semantic.discard(each.id)
            again = [source for source in each.sources if source in state.times and source not in lost]
            state.fresh.update(dict.fromkeys(again))
        drop(each.key)
    state.fresh = {each: None for each in state.times if each in state.fresh}
    if state.last is None and state.times:
        state.last = memory.records.get(key_of(record.agent, MemoryKind.EPISODE, next(reversed(state.times))))
    state.counts.forgotten += len(gone)
    # Process the deletions now: the same memories may be derived again, under the same ids.
    state.remove_gone()
    return [each.id for each in gone]


def _release(record: MemoryRecord, lost: set[str], writer: EpisodeWriter) -> None:
    """Remove a lost memory from the citations of facts that stay, and let the facts that it had replaced hold again."""
    for other in writer.citing(record.id):
        if other.id not in lost and other.fact is not None:
            sources = tuple(source for source in other.sources if source not in lost)
            writer.change(other.key, sources=sources, fact=_without(other.fact, lost))
    if record.fact is not None and record.valid_from is not None:
        for source in record.fact.replaces:
            writer.change_if(
                key_of(record.agent, MemoryKind.SEMANTIC, source),
                lambda old: old.valid_until == record.valid_from,
                valid_until=record.valid_until,
            )


def _stands(record: MemoryRecord, lost: set[str]) -> bool:
    """Return whether a memory is a fact that does not rest on lost memories alone."""
    if record.fact is None:
        return False
    others = [source for source in record.sources if source not in record.fact.replaces]
    return any(source not in lost for source in others) or not others


def _without(fact: Fact, lost: set[str]) -> Fact:
    quotes = tuple(each for each in fact.quotes if each[0] not in lost)
    return replace(fact, quotes=quotes, replaces=tuple(each for each in fact.replaces if each not in lost))
