"""The facts of one agent: merged when they are equal, closed when they are contradicted, and read as histories and as a graph."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from coterie.memory.checking import check_count, check_text
from coterie.memory.mind.consolidation import Insight
from coterie.memory.mind.episodes import Episodes, key_of
from coterie.memory.mind.facts import has_many, name_key, relation_key
from coterie.memory.mind.items import Memory, Neighbour
from coterie.memory.mind.writer import EpisodeWriter
from coterie.memory.record import Fact, MemoryKind, MemoryRecord
from coterie.memory.tiered import TieredMemory

_ALWAYS, _NEVER = float("-inf"), float("inf")
_MOST_PATHS = 100
_MOST_WAITING = 100_000
"""The maximum of unfinished paths in a search for paths."""


class FactBook:
    """The facts of one agent, by subject, relation and object.

    The lock of the agent's `Episodes` guards the tables; callers hold it unless a method takes it. They hold ids only, about 300 bytes a fact, and are
    loaded when facts are first used; the records in the store are what counts.
    """

    def __init__(self, memory: TieredMemory, agent: str, episodes: Episodes, writer: EpisodeWriter) -> None:
        self._memory = memory
        self._agent = agent
        self._episodes = episodes
        self._writer = writer
        self.reset()
        memory.records.on_import(self._reload)

    def note(self, record: MemoryRecord) -> None:
        """Add a stored semantic memory."""
        if self._loaded:
            self._note(record)

    def keep(self, fact: Fact, insight: Insight, id: str | None = None) -> str:  # noqa: A002 - the field's own name
        """Store a fact and return its id; merge it with an equal one, or end the validity of those that it contradicts.

        `id` is that of a stored memory that becomes the fact; a new one by default.
        """
        self._load()
        now = self._memory.clock.time()
        start, until = insight.valid_from, insight.valid_until
        ended = start is None and until is not None and until <= now
        moment = until if ended and until is not None else now if start is None else start
        pair = self._pairs.get((name_key(fact.subject), relation_key(fact.relation)), {})
        same = [record for record in self._read(pair.get(name_key(fact.object), ())) if record.fact is not None]
        for each in same:
            if each.fact is not None and each.fact.negated == fact.negated and self._holds(each, moment, ended=ended):
                self._merge(each, fact, insight)
                return each.id
        many = self._has_many(fact, pair)
        rivals = self._rivals(fact, pair, same, many=many)
        if ended:
            closed, again = list[MemoryRecord](), list[MemoryRecord]()
            self._hold_after(rivals, moment)
        else:
            closed, again, until = _overlaps(rivals, moment, until)
        replaces = tuple(each.id for each in closed)
        kept = replace(
            insight,
            sources=tuple(dict.fromkeys((*insight.sources, *replaces))),
            valid_from=moment if start is None and (closed or fact.negated) and not ended else start,
            valid_until=until,
            fact=msgspec.structs.replace(fact, many=many, replaces=replaces),
        )
        id = id if id is not None else self._memory.records.new_id()  # noqa: A001 - as above
        self._episodes.semantic.add(id)
        # The new fact is stored first: after a crash between the two there are both, and never none.
        record = self._writer.learn(id, kept)
        self._note(record)
        for each in closed:
            self._close(each, moment)
        for each in again:
            self._resume(each, record)
        self._episodes.counts.learnt += 1
        self._episodes.counts.contradicted += len(closed)
        return id

    def same_text(self, insight: Insight, body: bytes, text: str) -> MemoryRecord | None:
        """Return the semantic memory that says the same in the same words, and is valid now."""
        self._load()
        if insight.valid_from is not None or insight.valid_until is not None:
            return None
        now = self._memory.clock.time()
        for each in self._read(self._texts.get(hash((text, body)), ())):
            if (each.text, each.value, each.fact) == (text, body, None) and _since(each) <= now < _end(each):
                return each
        return None

    def merge(self, record: MemoryRecord, insight: Insight) -> None:
        """Add the citations of an equal memory to a stored one."""
        self._merge(record, None, insight)

    def history(self, subject: str, relation: str | None) -> list[Memory]:
        """Return the facts about a subject in the order of their validity, those that were replaced included. Takes the lock."""
        name = name_key(check_text("subject", subject))
        with self._episodes.lock:
            self._load()
            wanted = self._relations.get(name, ()) if relation is None else [relation_key(check_text("relation", relation))]
            ids = [id for each in wanted for ids in self._pairs.get((name, each), {}).values() for id in ids]  # noqa: A001
            found = sorted(self._read(ids), key=lambda each: (_since(each), each.created, each.id))
            return [self._seen(each) for each in found]

    def neighbours(self, name: str, at: float) -> list[Neighbour]:
        """Return the names that valid facts connect with a name, in the order of storing. Takes the lock."""
        check_text("name", name)
        with self._episodes.lock:
            self._load()
            return self._steps(name_key(name), at)

    def paths(self, start: str, goal: str, depth: int, at: float) -> list[list[Neighbour]]:
        """Return the paths of at most `depth` steps between two names, the shortest first; at most a hundred. Takes the lock."""
        first, wanted = name_key(check_text("start", start)), name_key(check_text("goal", goal))
        check_count("depth", depth, 1)
        found: list[list[Neighbour]] = []
        near: dict[str, list[Neighbour]] = {}
        waiting = deque([(first, frozenset((first,)), list[Neighbour]())])
        with self._episodes.lock:
            self._load()
            while waiting and len(found) < _MOST_PATHS:
                here, seen, path = waiting.popleft()
                if here not in near:
                    near[here] = self._steps(here, at)
                for step in near[here]:
                    there = name_key(step.name)
                    if there == wanted:
                        found.append([*path, step])
                    elif there not in seen and len(path) + 1 < depth and len(waiting) < _MOST_WAITING:
                        waiting.append((there, seen | {there}, [*path, step]))
        return found[:_MOST_PATHS]

    # Internal

    def reset(self) -> None:
        """Drop the tables; they are loaded again when facts are next used."""
        self._loaded = False
        self._pairs: dict[tuple[str, str], dict[str, dict[str, None]]] = {}
        self._relations: dict[str, dict[str, None]] = {}
        self._objects: dict[str, dict[str, None]] = {}
        self._texts: dict[int, dict[str, None]] = {}

    def _load(self) -> None:
        if self._loaded:
            return
        for record in reversed(self._memory.records.all_of(self._agent, (MemoryKind.SEMANTIC,))):
            if record.key == key_of(self._agent, MemoryKind.SEMANTIC, record.id):
                self._note(record)
        self._loaded = True
        self._repair()

    def _repair(self) -> None:
        """End the validity of replaced facts where a crash came between the new fact and the end of the old one."""
        ids = [id for pair in self._pairs.values() for ids in pair.values() for id in ids]  # noqa: A001
        there = {each.id: each for each in self._read(ids)}
        for record in there.values():
            for each in record.fact.replaces if record.fact is not None and record.valid_from is not None else ():
                old = there.get(each)
                if old is not None and _since(old) <= _since(record) < _end(old):
                    self._writer.change(old.key, valid_until=record.valid_from)

    def _reload(self) -> None:
        with self._episodes.lock:
            self.reset()

    def _note(self, record: MemoryRecord) -> None:
        fact = record.fact
        if fact is None:
            self._texts.setdefault(hash((record.text, record.value)), {})[record.id] = None
            return
        subject, relation, other = name_key(fact.subject), relation_key(fact.relation), name_key(fact.object)
        self._pairs.setdefault((subject, relation), {}).setdefault(other, {})[record.id] = None
        self._relations.setdefault(subject, {})[relation] = None
        self._objects.setdefault(other, {})[record.id] = None

    def _steps(self, key: str, at: float) -> list[Neighbour]:
        outgoing = {id for each in self._relations.get(key, ()) for ids in self._pairs[key, each].values() for id in ids}  # noqa: A001
        incoming = {id for id in self._objects.get(key, ()) if id not in outgoing}  # noqa: A001
        found = [(record, True) for record in self._read(outgoing)] + [(record, False) for record in self._read(incoming)]
        found.sort(key=lambda each: (each[0].created, each[0].id))
        return [
            Neighbour(fact.object if forward else fact.subject, fact.relation, forward, self._seen(record))
            for record, forward in found
            if (fact := record.fact) is not None and not fact.negated and _since(record) <= at < _end(record)
        ]

    def _seen(self, record: MemoryRecord) -> Memory:
        return Memory.of(record, self._memory.records.value_of(record))

    def _read(self, ids: Iterable[str]) -> list[MemoryRecord]:
        keys = [key_of(self._agent, MemoryKind.SEMANTIC, each) for each in ids]
        there = self._memory.records.get_many(keys)
        return [there[key] for key in keys if key in there]

    def _has_many(self, fact: Fact, pair: dict[str, dict[str, None]]) -> bool:
        """Return whether the relation of a fact has many objects: it says so, an earlier one did, or its words do."""
        if fact.many is not None:
            return fact.many
        for ids in pair.values():
            for each in self._read(ids):
                if each.fact is not None and each.fact.many is not None:
                    return each.fact.many
        return has_many(fact.relation)

    @staticmethod
    def _holds(record: MemoryRecord, moment: float, *, ended: bool) -> bool:
        return _end(record) == moment if ended else _since(record) <= moment < _end(record)

    def _merge(self, record: MemoryRecord, fact: Fact | None, insight: Insight) -> None:
        changes: dict[str, Any] = {}
        sources = tuple(dict.fromkeys((*record.sources, *insight.sources)))
        if sources != record.sources:
            changes["sources"] = sources
        if insight.importance > record.importance:
            changes["importance"] = insight.importance
        if insight.valid_until is not None and _end(record) > insight.valid_until:
            changes["valid_until"] = insight.valid_until
        if fact is not None and record.fact is not None:
            # A quote from the memory itself is one from the memory that it is merged with.
            known = {record.id, *sources}
            said = [(source if source in known else record.id, quote) for source, quote in fact.quotes]
            quotes = tuple(dict.fromkeys((*record.fact.quotes, *said)))
            if quotes != record.fact.quotes:
                changes["fact"] = msgspec.structs.replace(record.fact, quotes=quotes)
        if changes:
            self._writer.change(record.key, **changes)
        self._episodes.counts.merged += 1

    def _rivals(
        self, fact: Fact, pair: dict[str, dict[str, None]], same: Sequence[MemoryRecord], *, many: bool
    ) -> list[MemoryRecord]:
        """Return the facts that cannot hold together with a fact: its negation, and other objects of a relation that has one."""
        found = [each for each in same if each.fact is not None and each.fact.negated != fact.negated]
        if not many and not fact.negated:
            others = self._read(id for key, ids in pair.items() if key != name_key(fact.object) for id in ids)  # noqa: A001
            found += [each for each in others if each.fact is not None and not each.fact.negated]
        return found

    def _hold_after(self, rivals: Sequence[MemoryRecord], moment: float) -> None:
        """Let facts of unknown beginning hold from the end of one that held before."""
        for each in rivals:
            if each.valid_from is None and _end(each) > moment:
                self._writer.change(each.key, valid_from=moment)

    def _close(self, record: MemoryRecord, moment: float) -> None:
        """End the validity of a fact, and of the statements that it was taken from."""
        self._writer.change(record.key, valid_until=moment)
        for statement in self._read(record.sources):
            if statement.fact is None and _since(statement) <= moment < _end(statement):
                self._writer.change(statement.key, valid_until=moment)

    def _resume(self, old: MemoryRecord, new: MemoryRecord) -> None:
        """Store a fact again from the end of one that held in between."""
        assert old.fact is not None
        id = self._memory.records.new_id()  # noqa: A001 - the field's own name
        self._episodes.semantic.add(id)
        value = self._memory.records.value_of(old)
        fact = msgspec.structs.replace(old.fact, replaces=(new.id,))
        again = Insight(value, (old.id, new.id), old.importance, old.text, new.valid_until, old.valid_until, fact)
        self._note(self._writer.learn(id, again))


def _overlaps(
    rivals: Iterable[MemoryRecord], moment: float, until: float | None
) -> tuple[list[MemoryRecord], list[MemoryRecord], float | None]:
    """Return the facts that end when another begins, those of them that go on after its end, and when it ends itself."""
    closed: list[MemoryRecord] = []
    for each in rivals:
        if _since(each) <= moment < _end(each):
            closed.append(each)
        elif _since(each) > moment:
            until = _since(each) if until is None else min(until, _since(each))
    again = [each for each in closed if until is not None and until < _end(each)]
    return closed, again, until


def _since(record: MemoryRecord) -> float:
    return _ALWAYS if record.valid_from is None else record.valid_from


def _end(record: MemoryRecord) -> float:
    return _NEVER if record.valid_until is None else record.valid_until
