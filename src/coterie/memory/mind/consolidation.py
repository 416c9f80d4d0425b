"""Consolidation of episodes into semantic memories: once for each episode, without blocking writers."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeAlias

from coterie.concurrency import Signal
from coterie.errors import InvalidMemory
from coterie.kernel import Countdown
from coterie.memory.checking import check_importance
from coterie.memory.mind.episodes import Episodes
from coterie.memory.mind.facts import check_fact
from coterie.memory.mind.items import Memory
from coterie.memory.record import Fact
from coterie.memory.text.analysis import stems_of

_GROUP = 10
"""The maximum of episodes in one insight."""
_SENTENCES = 3
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True, slots=True)
class Insight:
    """A semantic memory to store, made from episodes."""

    value: Any
    sources: tuple[str, ...]
    """The ids of the episodes that it cites; at least one."""
    importance: float = 0.5
    text: str | None = None
    """The searchable text; all text in the value by default."""
    valid_from: float | None = None
    valid_until: float | None = None
    fact: Fact | None = None
    """The statement that it makes. Equal facts are merged; a fact that contradicts an earlier one ends its validity."""


Summariser: TypeAlias = Callable[[Sequence[Memory]], Sequence[Insight]]
"""A function that makes insights from episodes in the order of storing. It may be slow, and may call a language model."""


def extractive_summary(episodes: Sequence[Memory]) -> list[Insight]:
    """Return one insight for every ten consecutive episodes, made of their most telling sentences.

    A sentence scores by how common its words are among the episodes of its group, divided by its length, and by the importance
    of its episode (after Nenkova and Vanderwende, "The impact of frequency on summarization", 2005: the words of a chosen
    sentence count less for the next). Deterministic; it needs no language model.
    """
    return [_insight(episodes[first : first + _GROUP]) for first in range(0, len(episodes), _GROUP)]


def _insight(group: Sequence[Memory]) -> Insight:
    sentences = [
        (sentence.strip(), stems_of(sentence), memory.importance)
        for memory in group
        for sentence in _SENTENCE.split(memory.text)
        if sentence.strip()
    ]
    counts = Counter(stem for _, stems, _ in sentences for stem in stems)
    total = sum(counts.values()) or 1
    weights = {stem: count / total for stem, count in counts.items()}
    chosen: set[int] = set()
    for _ in range(min(_SENTENCES, len(sentences))):
        best = max(
            (place for place in range(len(sentences)) if place not in chosen),
            key=lambda place: _worth(sentences[place], weights),
        )
        chosen.add(best)
        for stem in sentences[best][1]:
            weights[stem] **= 2
    words = " ".join(dict.fromkeys(sentences[place][0] for place in sorted(chosen)))
    return Insight(
        value={"content": words, "type": "summary", "episodes": len(group)},
        sources=tuple(memory.id for memory in group),
        importance=max(memory.importance for memory in group),
        text=words,
        valid_from=min(memory.created for memory in group),
    )


def _worth(sentence: tuple[str, list[str], float], weights: dict[str, float]) -> float:
    _, stems, importance = sentence
    return math.fsum(weights[stem] for stem in stems) / len(stems) * (0.5 + importance) if stems else 0.0


@dataclass(frozen=True, slots=True)
class Consolidation:
    """The result of one call of `consolidate`."""

    episodes: int = 0
    """The number of episodes given to the summariser; 0 if no episode was unconsolidated."""
    semantic: tuple[str, ...] = ()
    """The ids of the semantic memories that were created or replaced."""
    automatic: bool = False

    def __bool__(self) -> bool:
        """Return whether any episode was consolidated."""
        return self.episodes > 0


class Consolidator:
    """Gives each episode to the summariser once.

    One consolidation runs at a time. It takes all episodes that no consolidation had before, and releases the lock: a writer
    does not wait, and its episode is in the next one. A second caller waits for its end, and takes only the episodes stored
    since. If it fails, the next one takes its episodes.
    """

    def __init__(
        self,
        episodes: Episodes,
        summarise: Summariser,
        *,
        read: Callable[[Sequence[str]], list[Memory]],
        extract: Callable[[Sequence[Memory]], Sequence[Insight]],
        keep: Callable[[str, Insight], str],
        mark: Callable[[str], None],
        time: Callable[[], float],
    ) -> None:
        self._episodes = episodes
        self._summarise = summarise
        self._read = read
        self._extract = extract
        self._keep = keep
        self._mark = mark
        self._time = time

    def wait(self, timeout: float, in_background: Callable[[Callable[[], None]], Future[None]]) -> bool:
        """Wait until no consolidation runs or is scheduled, up to `timeout` seconds. Return whether that is so."""
        countdown = Countdown(timeout)
        while True:
            with self._episodes.lock:
                running, planned = self._episodes.running, self._episodes.planned
            if running is None and not planned:
                return True
            if countdown.over:
                return False
            if running is not None:
                running.wait(countdown.left())
            else:
                # It is queued in the background behind other work; so is this.
                in_background(lambda: None).exception(countdown.left())

    def run(self, min_episodes: int, *, automatic: bool) -> Consolidation:
        """Consolidate if at least `min_episodes` episodes are unconsolidated. Raises the errors of the summariser."""
        state = self._episodes
        while True:
            with state.lock:
                if automatic:
                    state.planned = False
                running = state.running
                if running is None:
                    if not state.fresh or len(state.fresh) < min_episodes:
                        return Consolidation(automatic=automatic)
                    state.given, state.fresh = state.fresh, {}
                    batch = list(state.given)
                    state.running = Signal()
                    break
            running.wait()
        insights: list[Insight] | None = None
        try:
            insights = self._ask(batch)
        finally:
            with state.lock:
                try:
                    made = self._keep_all(insights, batch) if insights is not None else ()
                except BaseException:
                    insights = None
                    raise
                finally:
                    self._end(batch, failed=insights is None, automatic=automatic)
                    # The episodes stored meanwhile may be enough for another one.
                    state.planned |= automatic and insights is not None and len(state.fresh) >= min_episodes
        return Consolidation(len(batch), made, automatic)

    def _ask(self, batch: list[str]) -> list[Insight]:
        """Call the summariser, without the lock."""
        memories = self._read(batch)
        known = {memory.id for memory in memories}
        answer: object = self._summarise(memories) if memories else []
        if isinstance(answer, str | bytes) or not isinstance(answer, Iterable):
            raise InvalidMemory("summary", answer, "a summariser returns a list of Insight")
        insights = []
        for insight in answer:
            if not isinstance(insight, Insight):
                raise InvalidMemory("summary", insight, "a summariser returns a list of Insight")
            check_importance(insight.importance)
            insights.append(insight)
            if insight.fact is not None:
                check_fact(insight.fact)
            if not insight.sources or not known.issuperset(insight.sources):
                raise InvalidMemory("source", insight.sources, "an insight cites ids of the episodes that it was made of")
        return [*insights, *self._extract(memories)]

    def _keep_all(self, insights: list[Insight], batch: list[str]) -> tuple[str, ...]:
        """Store insights, under the lock, except those that cite episodes forgotten meanwhile."""
        state = self._episodes
        state.remove_gone()
        made: list[str] = []
        for insight in insights:
            if state.forgotten.intersection(insight.sources):
                again = [source for source in insight.sources if source in state.times]
                state.fresh = {**dict.fromkeys(again), **state.fresh}
                continue
            # The same episodes give the same id, so that a repetition after a crash replaces and does not duplicate.
            id = _digest("\n".join(insight.sources))  # noqa: A001 - the field's own name
            while id in made:
                id = _digest(id)  # noqa: A001 - as above
            made.append(self._keep(id, insight))
        if not state.fresh.keys() & set(batch):
            self._mark(batch[-1])
        return tuple(dict.fromkeys(made))

    def _end(self, batch: list[str], *, failed: bool, automatic: bool) -> None:
        state = self._episodes
        ended, state.running = state.running, None
        if failed:
            # Before the episodes stored since.
            state.fresh = {**state.given, **state.fresh}
            state.counts.failed += 1
        else:
            state.counts.consolidations += 1
            state.counts.automatic += automatic
            state.counts.consolidated += len(batch)
            state.counts.last_consolidation = self._time()
        state.given = {}
        state.forgotten.clear()
        assert ended is not None
        ended.set()


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()
