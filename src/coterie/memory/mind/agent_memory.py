"""A handle on the memories of one agent."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from coterie.concurrency import CONTAINED
from coterie.errors import UnknownMemory
from coterie.kernel import Clock, check_instance, check_number
from coterie.memory.checking import (
    check_agent,
    check_count,
    check_importance,
    check_kinds,
    check_share,
    check_text,
    check_texts,
    check_time,
)
from coterie.memory.embedding import Embedder
from coterie.memory.mind.blocks import MemoryBlocks
from coterie.memory.mind.consolidation import Consolidation, Consolidator, Insight, Summariser, extractive_summary
from coterie.memory.mind.episodes import Episodes, key_of, mark_of
from coterie.memory.mind.eviction import EpisodeLimit, EvictionPolicy, check_callable
from coterie.memory.mind.explaining import explain_memory
from coterie.memory.mind.extraction import extracted
from coterie.memory.mind.fact_book import FactBook
from coterie.memory.mind.facts import Extractor
from coterie.memory.mind.forgetting import forget_memory
from coterie.memory.mind.items import AgentMemoryStatistics, Explanation, Memory, Neighbour
from coterie.memory.mind.learning import Learner
from coterie.memory.mind.meaning import AgentEmbeddings
from coterie.memory.mind.recall import Weights, rank_memories
from coterie.memory.mind.sharing import Grants, SharedMemory
from coterie.memory.mind.writer import EpisodeWriter
from coterie.memory.record import MemoryKind, MemoryRecord
from coterie.memory.text.values import text_of
from coterie.memory.tiered import TieredMemory
from coterie.memory.tiers.questions import filter_of

_log = logging.getLogger(__name__)

_KINDS = (MemoryKind.EPISODE, MemoryKind.SEMANTIC)


class AgentMemory:
    """The memory of one agent: episodes, which happened to it, and semantic memories, made from episodes.

    ::

        mind = AgentMemory(memory, agent="alice", max_episodes=1000)
        mind.remember({"content": "Bob lent me 5 coins", "type": "observation"}, importance=0.6)
        mind.recall("who did I borrow from?", k=10)

    A handle reads only the memories of its agent; `of` returns those that another agent shares with it. Several handles on one
    agent use the same memories. Safe from many threads: there are never more than `max_episodes`, none is lost or counted
    twice, and `stats` is consistent.
    """

    def __init__(
        self,
        memory: TieredMemory,
        agent: str,
        *,
        max_episodes: int = 1_000,
        eviction: EvictionPolicy | str = EvictionPolicy.FIFO,
        max_age: float | None = None,
        warn_at: float = 0.8,
        on_warning: Callable[[AgentMemoryStatistics], object] | None = None,
        consolidate_at: int | None = 100,
        summariser: Summariser = extractive_summary,
        extractor: Extractor | None = None,
        embedder: Embedder | None = None,
        weights: Weights | None = None,
    ) -> None:
        """Create a handle.

        `max_age` is in seconds, for `EvictionPolicy.AGE`. When the episodes reach `warn_at`, a part of `max_episodes`, a
        warning is logged and `on_warning` called. When `consolidate_at` episodes are not consolidated, a background thread
        consolidates them; None: only `consolidate()` does. `extractor`, such as `ModelExtractor`, finds facts in the texts that
        are learnt and consolidated.
        """
        check_instance("AgentMemory.memory", memory, TieredMemory, "a TieredMemory")
        check_number("AgentMemory.consolidate_at", consolidate_at, least=1, whole=True, optional=True)
        check_callable("AgentMemory.summariser", summariser)
        if extractor is not None:
            check_callable("AgentMemory.extractor", extractor)
        if embedder is not None:
            check_instance("AgentMemory.embedder", embedder, Embedder, "something with a `model` and `embed`, or None")
        self._agent = check_agent(agent)
        self._memory = memory
        self._limit = EpisodeLimit(
            memory, agent, max_episodes=max_episodes, eviction=eviction, max_age=max_age, warn_at=warn_at, on_warning=on_warning
        )
        self._weights = weights if weights is not None else Weights()
        check_instance("AgentMemory.weights", self._weights, Weights, "Weights")
        self._grants = Grants(memory, agent)
        self.blocks = MemoryBlocks(memory, agent)
        """The small texts that are always in the prompt of the agent."""
        self._consolidate_at = consolidate_at
        self._state: Episodes = memory.records.once(f"episodes of {agent}", lambda: Episodes(memory, agent))
        self._meaning = AgentEmbeddings(memory, agent, embedder) if embedder is not None else None
        self._writer = EpisodeWriter(memory, agent, self._state)
        self._facts: FactBook = memory.records.once(
            f"facts of {agent}", lambda: FactBook(memory, agent, self._state, self._writer)
        )
        self._learner = Learner(
            memory, agent, self._state, self._writer, self._facts, extractor=extractor, meaning=self._meaning, seen=self._seen
        )
        self._consolidator = Consolidator(
            self._state,
            summariser,
            read=self._read,
            extract=lambda memories: extracted(extractor, memories) if extractor is not None else [],
            keep=self._learner.keep,
            mark=lambda last: memory.records.put_internal(mark_of(agent), last, agent),
            time=memory.clock.time,
        )

    @property
    def agent(self) -> str:
        """The owner of the memories."""
        return self._agent

    @property
    def clock(self) -> Clock:
        """The clock of the memories' times."""
        return self._memory.clock

    @property
    def max_episodes(self) -> int:
        """The maximum of episodes."""
        return self._limit.max_episodes

    # Storing

    def remember(
        self,
        value: Any,
        importance: float = 0.5,
        *,
        text: str | None = None,
        at: float | None = None,
        ttl: float | None = None,
        valid_from: float | None = None,
        valid_until: float | None = None,
        durable: bool = False,
    ) -> str:
        """Store an episode and return its id.

        `text` is the searchable text: by default all text in the value but its "type". `at` is when it happened, by default
        now. Raises like `TieredMemory.store`.
        """
        importance = check_importance(importance)
        words = check_text("text", text) if text is not None else _text(value)
        if durable:
            self._memory.records.check_durable()
        state = self._state
        with state.lock:
            state.remove_gone()
            record = self._writer.write(
                value, importance, words, at=at, ttl=ttl, valid_from=valid_from, valid_until=valid_until
            )
            gone = self._limit.make_room(state, record)
            warning = self._limit.crosses(state)
            least = self._consolidate_at
            plan = least is not None and len(state.fresh) >= least and not state.planned and state.running is None
            state.planned = state.planned or plan
        if self._meaning is not None:
            for key in gone:
                self._meaning.drop(key)
            self._meaning.note(record.key, record.text)
        if plan:
            self._memory.records.in_background(self._consolidate_by_itself)
        if warning:
            self._limit.warn(self.stats())
        if durable:
            self._memory.flush()
        return record.id

    def learn(self, value: Any, importance: float = 0.5, *, sources: Sequence[str] = (), **options: Any) -> str:
        """Store a semantic memory and return its id; that of an equal one, which gets the new sources, if there is one.

        A value that is a `Fact`, or a dictionary with "subject", "relation" and "object", or with a "name" and properties, is
        compared with the earlier facts: one of the same subject and relation with another object ends to be valid. So are the
        facts that the extractor, if there is one, finds in a text. `options` are `text`, `valid_from` and `valid_until`.
        Raises `UnknownMemory` for a source that does not exist, and `InvalidMemory`.
        """
        for source in check_texts("sources", sources):
            self.get(source)
        insight = Insight(value, tuple(sources), check_importance(importance), **options)
        return self._learner.learn(insight)

    def update(self, id: str, value: Any, *, text: str | None = None) -> None:  # noqa: A002 - the field's own name
        """Replace the value of a memory; its id, time and sources stay. Raises `UnknownMemory`, and as `remember`.

        This corrects a memory. To store that something has changed, use `learn`, which keeps the earlier memory.
        """
        words = check_text("text", text) if text is not None else _text(value)
        record = self._record(id)
        with self._state.lock:
            self._learner.update(record, value, words)
        if self._meaning is not None:
            self._meaning.note(record.key, words)

    def invalidate(self, id: str, at: float | None = None) -> None:  # noqa: A002 - the field's own name
        """End the validity of a memory now, or at `at`. It stays stored, but `recall` leaves it out.

        Raises `UnknownMemory`, and `InvalidMemory` for an invalid time.
        """
        until = check_time("end", at) if at is not None else self._memory.clock.time()
        self._writer.change(self._record(id).key, valid_until=until)

    # Reading

    def get(self, id: str) -> Memory:  # noqa: A002 - the field's own name
        """Return one memory of this agent. Raises `UnknownMemory`."""
        return self._seen(self._record(id))

    def recent(
        self,
        limit: int = 20,
        *,
        kinds: Sequence[str] = (MemoryKind.EPISODE,),
        after: float | None = None,
        before: float | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> list[Memory]:
        """Return the newest episodes, or memories of other `kinds`, newest first. Raises `InvalidMemory`.

        `where` tests fields of the values, as in `recall`.
        """
        kinds = check_kinds(kinds) or _KINDS
        found = self._memory.recent(self.agent, limit, kinds=kinds, after=after, before=before, where=where)
        return [self._seen(record) for record in found]

    def recall(
        self,
        question: str,
        k: int = 10,
        *,
        kinds: Sequence[str] = (),
        weights: Weights | None = None,
        after: float | None = None,
        before: float | None = None,
        valid_at: float | None = None,
        where: Mapping[str, Any] | None = None,
        least: float = 0.0,
        count: bool = True,
    ) -> list[Memory]:
        """Return the `k` memories that answer a question best, best first; none if none has to do with it.

        They are ranked by words and, with an embedder, by meaning; recency and importance decide between equals, unless
        `weights` say otherwise. Each has a word in common with the question, or a similar meaning, and a score of at least
        `least`, from 0 to 1. Memories that are not valid now, or at `valid_at`, are left out. `where` tests fields of the
        values: ``{"speaker": "Ann", "tags": has("food"), "price": at_most(5)}``. Each returned memory is counted as used,
        unless `count` is False. Raises `InvalidMemory` for an invalid argument.
        """
        check_count("k", k)
        check_share("least", least)
        at = self._moment(valid_at)
        if weights is not None:
            check_instance("weights", weights, Weights, "Weights, or None")
        found = rank_memories(
            self._memory,
            question,
            k,
            weights=weights if weights is not None else self._weights,
            meaning=self._meaning,
            which=filter_of(self.agent, check_kinds(kinds) or _KINDS, after, before, where),
            valid_at=at,
        )
        chosen = [each for each in found if each[1] >= least][:k]
        if count:
            for record, _, _ in chosen:
                self._memory.records.count_use(record)
            with self._state.lock:
                self._state.counts.recalled += 1
        return [self._seen(record, score, parts) for record, score, parts in chosen]

    def explain(self, id: str) -> Explanation:  # noqa: A002 - the field's own name
        """Return the sources of a memory, back to its episodes, the memories derived from it, and the decisions about it.

        Raises `UnknownMemory`.
        """
        return explain_memory(self._record(id), self._memory, self._state, self._writer, self._seen)

    def history(self, subject: str, relation: str | None = None) -> list[Memory]:
        """Return the facts about a subject in the order of their validity, those that were replaced included.

        With `relation` only those of it. Raises `InvalidMemory` for an invalid name.
        """
        return self._facts.history(subject, relation)

    def neighbours(self, name: str, *, valid_at: float | None = None) -> list[Neighbour]:
        """Return the names that facts connect with a name now, or at `valid_at`. Raises `InvalidMemory` for an invalid name."""
        return self._facts.neighbours(name, self._moment(valid_at))

    def paths(self, start: str, goal: str, *, depth: int = 3, valid_at: float | None = None) -> list[list[Neighbour]]:
        """Return the paths of at most `depth` facts between two names, the shortest first; at most a hundred.

        The last neighbour of each path is the goal. Raises `InvalidMemory` for an invalid name or depth.
        """
        return self._facts.paths(start, goal, depth, self._moment(valid_at))

    def stats(self) -> AgentMemoryStatistics:
        """Return current numbers and counters."""
        return self._state.statistics(self.agent, self.max_episodes)

    def __len__(self) -> int:
        """Return the number of episodes."""
        with self._state.lock:
            self._state.remove_gone()
            return len(self._state.times)

    # Changing

    def consolidate(self, *, force: bool = False) -> Consolidation:
        """Make semantic memories from the unconsolidated episodes if there are at least `consolidate_at`; return the result.

        With `force` one episode is enough. A call during another consolidation waits for its end first. Raises the errors of
        the summariser; the episodes then stay unconsolidated.
        """
        return self._consolidator.run(1 if force or self._consolidate_at is None else self._consolidate_at, automatic=False)

    def wait_for_consolidation(self, timeout: float = 10.0) -> bool:
        """Wait until no consolidation runs or is scheduled, up to `timeout` seconds. Return whether that is so."""
        return self._consolidator.wait(timeout, self._memory.records.in_background)

    def forget(self, id: str) -> list[str]:  # noqa: A002 - the field's own name
        """Delete a memory and all memories derived from it, and return the ids of the deleted ones.

        The other sources of a derived memory may be consolidated again. A fact with another citation stays. The words of an
        episode are removed from the contexts of its neighbours. Raises `UnknownMemory`.
        """
        state = self._state
        with state.lock:
            state.remove_gone()
            return forget_memory(self._record(id), self._memory, state, self._writer, self._drop)

    # Sharing

    def share_with(self, reader: str) -> None:
        """Let another agent read all memories of this one. Raises `InvalidMemory` for an invalid name."""
        with self._state.lock:
            self._grants.change(check_agent(reader), granted=True)

    def unshare(self, reader: str) -> None:
        """Withdraw the read access of another agent. Raises `InvalidMemory` for an invalid name."""
        with self._state.lock:
            self._grants.change(check_agent(reader), granted=False)

    def shared_with(self) -> list[str]:
        """Return the agents that may read the memories of this one, sorted."""
        return self._grants.readers()

    def of(self, agent: str) -> SharedMemory:
        """Return the memories that another agent shares with this one. Raises `NotShared`."""
        grants = Grants(self._memory, check_agent(agent))
        grants.check(self.agent)
        return SharedMemory(AgentMemory(self._memory, agent, weights=self._weights), grants, self.agent)

    # Internal

    def _moment(self, valid_at: float | None) -> float:
        at = check_time("time to be valid at", valid_at)
        return at if at is not None else self._memory.clock.time()

    def _drop(self, key: str) -> None:
        if self._meaning is not None:
            self._meaning.drop(key)

    def _record(self, id: str) -> MemoryRecord:  # noqa: A002 - the field's own name
        for record in self._memory.records.get_many(key_of(self.agent, kind, str(id)) for kind in _KINDS).values():
            if record.agent == self.agent:
                return record
        raise UnknownMemory(self.agent, str(id))

    def _seen(self, record: MemoryRecord, score: float = 0.0, parts: Mapping[str, float] | None = None) -> Memory:
        return Memory.of(record, self._memory.records.value_of(record), score, parts or {})

    def _read(self, ids: Sequence[str]) -> list[Memory]:
        records = self._memory.records.get_many(key_of(self.agent, MemoryKind.EPISODE, each) for each in ids)
        return [self._seen(record) for record in records.values()]

    def _consolidate_by_itself(self) -> None:
        try:
            while self._consolidator.run(self._consolidate_at or 1, automatic=True):
                continue
        except CONTAINED:  # the summariser is user code; log, count and retry
            _log.exception("the memories of %s were not consolidated", self.agent)


def _text(value: Any) -> str:
    return text_of({name: each for name, each in value.items() if name != "type"} if isinstance(value, dict) else value)
