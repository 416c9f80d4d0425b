"""A function over many items: chunks of items as jobs, and their values in order."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from coterie.work.jobs import Job
from coterie.work.jobs.call import check_ran
from coterie.work.processes.failures import PackedFailure, pack_failure, unpack_failure

R = TypeVar("R")


class ChunkResult(msgspec.Struct, Generic[R], frozen=True):
    """The values of a chunk of items, up to the first error."""

    values: list[R]
    error: Exception | None = None

    def __reduce__(self) -> tuple[object, ...]:
        # An error as an ordinary value would lose its class or its text, or could not be sent at all.
        return _restore_chunk, (self.values, None if self.error is None else pack_failure(self.error))


def _restore_chunk(values: list[R], failure: PackedFailure | None) -> ChunkResult[R]:
    error = None if failure is None else unpack_failure(failure, "an item of a map")
    return ChunkResult(values, error if isinstance(error, Exception) else None)


class ChunkedCall(Generic[R]):
    """Calls a function for each item of a chunk. Immutable; messages show the name of the function."""

    def __init__(self, function: Callable[..., R], *, spread: bool) -> None:
        self.__wrapped__ = function
        self._spread = spread
        """Whether each item is a tuple of arguments."""

    def __call__(self, *items: Any) -> ChunkResult[R]:
        """Call the function for each item."""
        function = self.__wrapped__
        done: list[R] = []
        try:
            for item in items:
                done.append(check_ran(function, function(*item) if self._spread else function(item)))  # noqa: PERF401 - keep the values before an error
        except Exception as error:
            if not done:
                raise
            return ChunkResult(done, error)
        return ChunkResult(done)


class ChunkedMap(Generic[R]):
    """The values of a map, in order. It submits the next chunk when it hands out the values of the oldest submitted one.

    Used by one thread. Closing it cancels the chunks in hand.
    """

    def __init__(
        self,
        submit: Callable[[tuple[Any, ...]], Job[ChunkResult[R]]],
        items: Iterator[Any],
        chunk: int,
        window: int,
    ) -> None:
        self._submit = submit
        self._items = items
        self._chunk = chunk
        self._jobs: deque[Job[ChunkResult[R]]] = deque()
        self._failure: Exception | None = None
        """The error of the items or of a submission; after the first window it is raised in its place."""
        self._values = self._generate()
        while len(self._jobs) < window and self._submit_next():
            pass
        try:
            self._raise_failure()
        except BaseException:
            self._cancel()
            raise

    def __iter__(self) -> Iterator[R]:
        return self

    def __next__(self) -> R:
        return next(self._values)

    def close(self) -> None:
        """Cancel the jobs in hand."""
        self._values.close()
        self._cancel()

    def _submit_next(self) -> bool:
        try:
            batch = tuple(itertools.islice(self._items, self._chunk)) if self._failure is None else ()
            if batch:
                self._jobs.append(self._submit(batch))
        except Exception as error:  # noqa: BLE001 - it is raised after the values before it
            self._failure = error
            return False
        return bool(batch)

    def _generate(self) -> Generator[R, None, None]:
        try:
            while self._jobs:
                result = self._jobs[0].result()
                self._jobs.popleft()
                self._submit_next()
                yield from result.values
                if result.error is not None:
                    raise result.error
            self._raise_failure()
        finally:
            self._cancel()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _cancel(self) -> None:
        while self._jobs:
            job = self._jobs.popleft()
            if not job.done:
                job.cancel("an earlier item failed, or the iterator was closed")
