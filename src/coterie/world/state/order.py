"""The sorted keys of views, worked out when they are first asked for, and kept up in small steps after that."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator

_CHUNK = 512
_MOST_STEPS = 256


class KeyOrder:
    """The keys of a view in order. Safe from any thread.

    The keys are in chunks, which orders share. The order of a later view takes over all chunks but those in which keys were added or
    removed, so that it costs time in proportion to the changes, and not to the keys.
    """

    __slots__ = ("_base", "_chunks", "_count", "_steps")

    def __init__(self) -> None:
        self._chunks: list[list[str]] | None = None
        self._base: list[list[str]] | None = None
        """The chunks of an earlier order."""
        self._steps: tuple[Collection[str], ...] = ()
        """The keys that may have been added or removed since then."""
        self._count = 0

    @property
    def known(self) -> bool:
        """Whether it, or an earlier one from which it follows, has been worked out."""
        return self._chunks is not None or self._base is not None

    def after(self, changed: Collection[str]) -> KeyOrder:
        """Return the order of a view in which some keys were added or removed, or changed."""
        made = KeyOrder()
        chunks, base, steps, count = self._chunks, self._base, self._steps, self._count
        if chunks is not None:
            base, steps, count = chunks, (), 0
        if base is None or count + len(changed) > 1_000 + _CHUNK * len(base) // 4:
            return made
        if len(steps) >= _MOST_STEPS:
            steps = (frozenset().union(*steps),)
        made._base, made._steps, made._count = base, (*steps, changed), count + len(changed)
        return made

    def each(self, keys: Collection[str], start: str = "") -> Iterator[str]:
        """Yield the keys from `start` on; `keys` are always the same."""
        chunks = self._resolved(keys)
        place = max(0, bisect_right(chunks, start, key=_first) - 1)
        for chunk in chunks[place : place + 1]:
            yield from chunk[bisect_left(chunk, start) :]
        for number in range(place + 1, len(chunks)):
            yield from chunks[number]

    def _resolved(self, keys: Collection[str]) -> list[list[str]]:
        # Two threads may do this at the same time, with the same result.
        chunks = self._chunks
        if chunks is None:
            base, steps = self._base, self._steps
            if base is not None:
                chunks = _patched(base, steps, keys)
            else:
                ordered = sorted(keys)
                chunks = [ordered[place : place + _CHUNK] for place in range(0, len(ordered), _CHUNK)]
            self._chunks = chunks
            self._base, self._steps = None, ()
        return chunks


def _first(chunk: list[str]) -> str:
    return chunk[0]


def _patched(base: list[list[str]], steps: Iterable[Collection[str]], keys: Collection[str]) -> list[list[str]]:
    """Return chunks in which the keys of `steps` are as they are in `keys`."""
    chunks = list(base)
    firsts = [chunk[0] for chunk in chunks]
    own: set[int] = set()
    """The chunks that were made here, by identity."""
    for key in sorted(set().union(*steps)):
        if not chunks:
            if key in keys:
                chunks, firsts = [[key]], [key]
                own.add(id(chunks[0]))
            continue
        place = max(0, bisect_right(firsts, key) - 1)
        chunk = chunks[place]
        at = bisect_left(chunk, key)
        there = at < len(chunk) and chunk[at] == key
        if there is (key in keys):
            continue
        if id(chunk) not in own:
            chunk = chunks[place] = list(chunk)
            own.add(id(chunk))
        if there:
            del chunk[at]
        else:
            chunk.insert(at, key)
        if not chunk:
            del chunks[place], firsts[place]
        elif len(chunk) > 2 * _CHUNK:
            chunks[place : place + 1] = [chunk[:_CHUNK], chunk[_CHUNK:]]
            own.update((id(chunks[place]), id(chunks[place + 1])))
            firsts[place : place + 1] = [chunks[place][0], chunks[place + 1][0]]
        else:
            firsts[place] = chunk[0]
    return chunks
