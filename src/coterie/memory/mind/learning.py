"""Learning: semantic memories are stored once, and facts take the place of the facts that they contradict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from coterie.memory.checking import check_text
from coterie.memory.mind.consolidation import Insight
from coterie.memory.mind.episodes import Episodes
from coterie.memory.mind.extraction import try_facts_of
from coterie.memory.mind.fact_book import FactBook
from coterie.memory.mind.facts import Extractor, check_fact, facts_in
from coterie.memory.mind.items import Memory
from coterie.memory.mind.meaning import AgentEmbeddings
from coterie.memory.mind.writer import EpisodeWriter
from coterie.memory.record import Fact, MemoryKind, MemoryRecord
from coterie.memory.tiered import TieredMemory


class Learner:
    """Stores the semantic memories of one agent. Safe from many threads; it takes the lock of the episodes itself."""

    def __init__(
        self,
        memory: TieredMemory,
        agent: str,
        state: Episodes,
        writer: EpisodeWriter,
        facts: FactBook,
        *,
        extractor: Extractor | None,
        meaning: AgentEmbeddings | None,
        seen: Callable[[MemoryRecord], Memory],
    ) -> None:
        self._memory = memory
        self._agent = agent
        self._state = state
        self._writer = writer
        self._facts = facts
        self._extractor = extractor
        self._meaning = meaning
        self._seen = seen

    def learn(self, insight: Insight) -> str:
        """Store a memory and the facts in it, and return its id. Raises `InvalidMemory`."""
        facts = facts_in(insight.value) if insight.fact is None else [check_fact(insight.fact)]
        if isinstance(insight.value, Fact | tuple) and facts:
            fact = facts[0]
            plain = {"subject": fact.subject, "relation": fact.relation, "object": fact.object}
            insight = replace(insight, value={**plain, "negated": True} if fact.negated else plain)
        if insight.text is None:
            insight = replace(insight, text=self._writer.words_of("", insight)[1])
        with self._state.lock:
            if len(facts) == 1:
                return self._keep_fact(facts[0], insight)
            record, new = self._keep_text(insight)
        if not new:
            return record.id
        if not facts and self._extractor is not None:
            # The memory is stored first: nothing is lost if the model fails.
            facts = try_facts_of(self._extractor, self._seen(record))
        if not facts:
            return record.id
        with self._state.lock:
            if len(facts) == 1:
                return self._become(record, facts[0], insight)
            for fact in facts:
                value = {"subject": fact.subject, "relation": fact.relation, "object": fact.object, "type": "fact"}
                cited = replace(insight, value=value, text=None, sources=(record.id,), fact=fact)
                self._keep_fact(fact, replace(cited, text=self._writer.words_of("", cited)[1]))
        return record.id

    def keep(self, id: str, insight: Insight) -> str:  # noqa: A002 - the field's own name
        """Store an insight of a consolidation under an id, or a fact among the facts, under the lock. Return its id."""
        if insight.fact is not None:
            return self._keep_fact(insight.fact, insight)
        # Add it before storing it: the notice of its deletion comes after both.
        self._state.semantic.add(id)
        record = self._writer.learn(id, insight)
        self._state.counts.learnt += 1
        self._note(record)
        return id

    def update(self, record: MemoryRecord, value: Any, text: str) -> None:
        """Replace the value and the text of a memory, under the lock."""
        check_text("text", text)
        body = self._memory.records.encode(value)
        facts = facts_in(value)
        fact = facts[0] if len(facts) == 1 and record.fact is not None else None
        self._writer.change(record.key, value=body, text=text, model="", vector=b"", fact=fact)
        if record.kind == MemoryKind.EPISODE:
            self._writer.scrub(record, text)
        self._facts.reset()

    def _keep_fact(self, fact: Fact, insight: Insight) -> str:
        id = self._facts.keep(fact, insight)  # noqa: A001 - the field's own name
        if self._meaning is not None:
            self._meaning.note(*self._writer.words_of(id, insight))
        return id

    def _become(self, record: MemoryRecord, fact: Fact, insight: Insight) -> str:
        """Make a stored memory a fact, or delete it if it is merged with an equal one. Return the id of the fact."""
        id = self._facts.keep(fact, insight, record.id)  # noqa: A001 - the field's own name
        if id != record.id:
            self._memory.delete(record.key)
            self._state.semantic.discard(record.id)
            if self._meaning is not None:
                self._meaning.drop(record.key)
        return id

    def _keep_text(self, insight: Insight) -> tuple[MemoryRecord, bool]:
        """Store a memory without a fact. Return its record, or that of an equal one, and whether it is new."""
        text = insight.text or ""
        same = self._facts.same_text(insight, self._memory.records.encode(insight.value), text)
        if same is not None:
            self._facts.merge(same, insight)
            return same, False
        id = self._memory.records.new_id()  # noqa: A001 - the field's own name
        self._state.semantic.add(id)
        record = self._writer.learn(id, insight)
        self._state.counts.learnt += 1
        self._note(record)
        return record, True

    def _note(self, record: MemoryRecord) -> None:
        self._facts.note(record)
        if self._meaning is not None:
            self._meaning.note(record.key, record.text)
