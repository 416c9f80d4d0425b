"""A handle on the memories of one agent."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from coterie.concurrency import CONTAINED
from coterie.errors import UnknownMemory
from coterie.kernel import Clock, Countdown, check_instance, check_number
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
from coterie.memory.mind.items import AgentMemoryStatistics, Explanation, Memory
from coterie.memory.mind.meaning import AgentEmbeddings
from coterie.memory.mind.recall import Weights, rank_memories
from coterie.memory.mind.sharing import Grants, SharedMemory
from coterie.memory.mind.writer import EpisodeWriter
from coterie.memory.record import MemoryKind, MemoryRecord
from coterie.memory.text.values import text_of
from coterie.memory.tiered import TieredMemory
from coterie.memory.tiers.questions import filter_of
from coterie.memory.tiers.rules import strength

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
        embedder: Embedder | None = None,
        weights: Weights | None = None,
    ) -> None:
        """Create a handle.

        `max_age` is in seconds, for `EvictionPolicy.AGE`. When the episodes reach `warn_at`, a part of `max_episodes`, a
        warning is logged and `on_warning` called. When `consolidate_at` episodes are not consolidated, a background thread
        consolidates them; None: only `consolidate()` does.
        """
        check_instance("AgentMemory.memory", memory, TieredMemory, "a TieredMemory")
        check_number("AgentMemory.consolidate_at", consolidate_at, least=1, whole=True, optional=True)
        check_callable("AgentMemory.summariser", summariser)
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
        self._consolidator = Consolidator(
            self._state,
            summariser,
            read=self._read,
            keep=self._writer.learn,
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
        """Store a semantic memory and return its id. Raises `UnknownMemory` for a source that does not exist."""
        for source in check_texts("sources", sources):
            self.get(source)
        insight = Insight(value, tuple(sources), check_importance(importance), **options)
        with self._state.lock:
            id = self._memory.records.new_id()  # noqa: A001 - the field's own name
            self._state.semantic.add(id)
            self._writer.learn(id, insight)
            self._state.counts.learnt += 1
        if self._meaning is not None:
            self._meaning.note(*self._writer.words_of(id, insight))
        return id

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
        at = check_time("time to be valid at", valid_at)
        at = at if at is not None else self._memory.clock.time()
        if weights is not None:
            check_instance("weights", weights, Weights, "Weights, or None")
        found = rank_memories(
            self._memory,
            question,
            k,
            weights=weights if weights is not None else self._weights,
            meaning=self._meaning,
            which=filter_of(self.agent, check_kinds(kinds) or _KINDS, after, before, where),
        )
        chosen = [each for each in found if each[1] >= least and _valid(each[0], at)][:k]
        if count:
            for record, _, _ in chosen:
                self._memory.records.count_use(record)
            with self._state.lock:
                self._state.counts.recalled += 1
        return [self._seen(record, score, parts) for record, score, parts in chosen]

    def explain(self, id: str) -> Explanation:  # noqa: A002 - the field's own name
        """Return the sources of a memory, the memories derived from it, and the decisions about it.

        Raises `UnknownMemory`.
        """
        record = self._record(id)
        keys = {source: [key_of(self.agent, kind, source) for kind in _KINDS] for source in record.sources}
        there = self._memory.records.get_many(key for pair in keys.values() for key in pair)
        sources = {source: next((there[key] for key in pair if key in there), None) for source, pair in keys.items()}
        with self._state.lock:
            consolidated = id not in self._state.fresh and id not in self._state.given
        return Explanation(
            memory=self._seen(record),
            strength=strength(record, self._memory.clock.time()),
            sources=tuple(self._seen(each) for each in sources.values() if each is not None),
            missing=tuple(source for source, each in sources.items() if each is None),
            derived=tuple(self._seen(each) for each in self._writer.citing(id)),
            decisions=tuple(self._memory.decisions(record.key)),
            consolidated=consolidated,
        )

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
        countdown = Countdown(timeout)
        while True:
            with self._state.lock:
                running, planned = self._state.running, self._state.planned
            if running is None and not planned:
                return True
            if countdown.over:
                return False
            if running is not None:
                running.wait(countdown.left())
            else:
                # It is queued in the background behind other work; so is this.
                self._memory.records.in_background(lambda: None).exception(countdown.left())

    def forget(self, id: str) -> list[str]:  # noqa: A002 - the field's own name
        """Delete a memory and all memories derived from it, and return the ids of the deleted ones.

        The other sources of a derived memory may be consolidated again. The words of an episode are removed from the contexts
        of its neighbours. Raises `UnknownMemory`.
        """
        state = self._state
        with state.lock:
            state.remove_gone()
            record = self._record(id)
            gone = [record]
            for each in gone:
                known = {other.id for other in gone}
                gone += [other for other in self._writer.citing(each.id) if other.id not in known]
            lost = {each.id for each in gone}
            self._writer.scrub(record)
            if state.running is not None:
                state.forgotten |= lost
            for each in gone:
                self._memory.delete(each.key, reason=f"forgotten, with {id}" if each is not record else "forgotten")
                if each.kind == MemoryKind.EPISODE:
                    state.discard(each.id)
                else:
                    state.semantic.discard(each.id)
                    again = [source for source in each.sources if source in state.times and source not in lost]
                    state.fresh.update(dict.fromkeys(again))
                if self._meaning is not None:
                    self._meaning.drop(each.key)
            state.fresh = {each: None for each in state.times if each in state.fresh}
            if state.last is None and state.times:
                newest = next(reversed(state.times))
                state.last = self._memory.records.get(key_of(self.agent, MemoryKind.EPISODE, newest))
            state.counts.forgotten += len(gone)
            # Process the deletions now: the same memories may be derived again, under the same ids.
            state.remove_gone()
        return [each.id for each in gone]

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
            self._consolidator.run(self._consolidate_at or 1, automatic=True)
        except CONTAINED:  # the summariser is user code; log, count and retry
            _log.exception("the memories of %s were not consolidated", self.agent)


def _text(value: Any) -> str:
    return text_of({name: each for name, each in value.items() if name != "type"} if isinstance(value, dict) else value)


def _valid(record: MemoryRecord, at: float) -> bool:
    since, until = record.valid_from, record.valid_until
    return (since is None or since <= at) and (until is None or at < until)
