"""Many small calls as few jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import msgspec

from coterie.work.jobs.job import Job

R = TypeVar("R")
T = TypeVar("T")


class Chunk(msgspec.Struct, Generic[R], frozen=True):
    """What became of some items: their values, up to the first that raised."""

    values: list[R]
    error: Exception | None = None


class Chunked(Generic[T, R]):
    """A function that is called for each of some items. It has the name of what it calls. Immutable."""

    def __init__(self, function: Callable[[T], R]) -> None:
        self.__wrapped__ = function

    def __call__(self, *items: T) -> Chunk[R]:
        """Call the function for each item."""
        function = self.__wrapped__
        done: list[R] = []
        try:
            for item in items:
                done.append(function(item))  # noqa: PERF401 - what was done before an error counts
        except Exception as error:
            if not done:
                raise
            return Chunk(done, error)
        return Chunk(done)


def values(jobs: Sequence[Job[Chunk[R]]]) -> Iterator[R]:
    """Yield the values of chunks, in order; raise the first error in its place, and cancel the chunks behind it."""
    try:
        for job in jobs:
            chunk = job.result()
            yield from chunk.values
            if chunk.error is not None:
                raise chunk.error
    finally:
        for job in jobs:
            if not job.done:
                job.cancel("what comes before it failed, or nobody wants it any more")
