"""Views: immutable snapshots of a world, and their incremental digest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import immutables

from coterie.world.state.order import KeyOrder
from coterie.world.state.values import fingerprint

_NOTHING: immutables.Map[str, float] = immutables.Map()


MISSING: Any = object()
"""The value of a missing key."""


class View(Mapping[str, Any]):
    """A snapshot of a world: a persistent mapping of keys to frozen values. Made in O(1); immutable.

    Iteration is in the order of the keys, in every process. Lists are returned as tuples, mappings as immutable
    mappings. Safe from any thread.
    """

    __slots__ = ("_deadlines", "_keys", "order", "sequence", "time")

    columns: frozenset[str] = frozenset()
    """The keys whose values are columns. For folds."""

    def __init__(
        self,
        keys: immutables.Map[str, Any],
        deadlines: immutables.Map[str, float] = _NOTHING,
        sequence: int = 0,
        time: float = 0.0,
        order: KeyOrder | None = None,
    ) -> None:
        self._keys = keys
        self._deadlines = deadlines
        self.order = order if order is not None else KeyOrder()
        """Its sorted keys, which views with the same keys share. For folds."""
        self.sequence = sequence
        """The number of the last applied event."""
        self.time = time
        """The world's time at that event, in seconds."""

    def __getitem__(self, key: str) -> Any:
        return self._keys[key]

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or of an element of a column, or `default` if it is missing."""
        return self._keys.get(key, default)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return self.order.each(self._keys)

    def under(self, prefix: str) -> dict[str, Any]:
        """Return the values of the keys that begin with `prefix`, by the rest of the key, in order.

        It takes time in proportion to their number, and to the keys added or removed since views were last iterated; the first time in
        proportion to all keys.
        """
        found: dict[str, Any] = {}
        for key in self.order.each(self._keys, prefix):
            if not key.startswith(prefix):
                break
            found[key[len(prefix) :]] = self._keys[key]
        return found

    def outside(self, *prefixes: str) -> Iterator[str]:
        """Yield the keys that begin with none of the prefixes, in order, in time in proportion to their number."""
        start = ""
        for prefix in sorted(prefixes):
            for key in self.order.each(self._keys, start):
                if key >= prefix:
                    break
                yield key
            # The first text after all that begin with the prefix.
            start = max(start, f"{prefix[:-1]}{chr(ord(prefix[-1]) + 1)}")
        yield from self.order.each(self._keys, start)

    def expiry(self, key: str) -> float | None:
        """Return the time at which a key expires, in seconds of the world's time, or None."""
        return self._deadlines.get(key)

    def digest(self) -> str:
        """Return the canonical hash of all entries, computed in O(n); see `World.digest`."""
        deadline = self._deadlines.get
        return seal(sum(fingerprint(key, value, deadline(key)) for key, value in self._keys.items()), len(self._keys))

    @property
    def keys_map(self) -> immutables.Map[str, Any]:
        """The persistent map, whose iteration order depends on the process."""
        return self._keys

    @property
    def deadlines_map(self) -> immutables.Map[str, float]:
        """The times at which keys expire."""
        return self._deadlines

    def __eq__(self, other: object) -> bool:
        if isinstance(other, View):
            return bool(self._keys == other._keys and self._deadlines == other._deadlines)
        return Mapping.__eq__(self, other)

    def __hash__(self) -> int:
        return hash((self.sequence, len(self._keys)))

    def __repr__(self) -> str:
        return f"<View of {len(self)} keys after event {self.sequence}>"

    def __copy__(self) -> View:
        return self

    def __deepcopy__(self, memo: object) -> View:
        return self


class ColumnView(View):
    """A view of a world with columns, whose elements are keys."""

    __slots__ = ("columns",)

    def __getitem__(self, key: str) -> Any:
        value = self.get(key, MISSING)
        if value is MISSING:
            raise KeyError(key)
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or of an element of a column, or `default` if it is missing."""
        value = self._keys.get(key, MISSING)
        if value is not MISSING:
            return value
        prefix, _, name = key.rpartition("/")
        return self._keys[prefix].get(name, default) if prefix in self.columns else default

    def __contains__(self, key: object) -> bool:
        return key in self._keys or (isinstance(key, str) and self.get(key, MISSING) is not MISSING)

    def under(self, prefix: str) -> dict[str, Any]:
        """Return the values of the keys that begin with `prefix`, by the rest of the key; of a column, its elements."""
        elements = self._keys[prefix[:-1]] if prefix[-1:] == "/" and prefix[:-1] in self.columns else {}
        return {**elements, **super().under(prefix)}


def view_of(
    keys: immutables.Map[str, Any],
    deadlines: immutables.Map[str, float],
    sequence: int,
    time: float,
    order: KeyOrder | None,
    columns: frozenset[str],
) -> View:
    """Return a view; one of a world with columns if there are any."""
    if not columns:
        return View(keys, deadlines, sequence, time, order)
    made = ColumnView(keys, deadlines, sequence, time, order)
    made.columns = columns
    return made


def seal(total: int, count: int) -> str:
    """Return the digest of a world whose entries' fingerprints add up to `total`, modulo 2**256.

    Sums of hashes do not depend on order, and replacing one entry costs one entry (Bellare and Micciancio, "A new
    paradigm for collision-free hashing: incrementality at reduced cost", 1997: AdHash). It detects accidental
    differences; it does not resist an attacker who computes collisions.
    """
    return f"{(total + count) % (1 << 256):064x}"


_MOST = 10_000
"""Pending changes are counted above this number, or above twice the number of keys if that is more."""


class Digest:
    """The sum of the fingerprints of all entries; changes are counted when the sum is read.

    So a change is cheap, and reading takes time in proportion to the keys changed since the last read, independent of the
    size of the world. Not safe from several threads: the world guards it.
    """

    def __init__(self, total: int = 0) -> None:
        self._total = total
        self._before: dict[str, tuple[Any, float | None]] = {}

    @classmethod
    def of(cls, view: View) -> Digest:
        """Return the digest of a view, computed from all its entries."""
        deadline = view.deadlines_map.get
        return cls(sum(fingerprint(key, value, deadline(key)) for key, value in view.keys_map.items()))

    def lighten(self, view: View) -> None:
        """Count pending changes if there are many, so that they stay bounded without reads."""
        if len(self._before) > max(_MOST, 2 * len(view)):
            self.total(view)

    @property
    def waiting(self) -> int:
        """The number of pending changes."""
        return len(self._before)

    def touch(self, keys: Iterable[str], before: View) -> None:
        """Record that keys have changed since `before`."""
        known = self._before
        if not known and not len(before):
            known.update(dict.fromkeys(keys, (MISSING, None)))
            return
        values, deadlines = before.keys_map, before.deadlines_map
        for key in keys:
            if key not in known:
                known[key] = (values.get(key, MISSING), deadlines.get(key))

    def total(self, view: View) -> int:
        """Return the sum for `view`, the state after all recorded changes."""
        if self._before:
            total = self._total
            keys, deadlines = view.keys_map, view.deadlines_map
            for key, (value, deadline) in self._before.items():
                now = keys.get(key, MISSING)
                later = deadlines.get(key)
                if now is value and deadline == later:
                    continue
                if value is not MISSING:
                    total -= fingerprint(key, value, deadline)
                if now is not MISSING:
                    total += fingerprint(key, now, later)
            self._total = total % (1 << 256)
            self._before.clear()
        return self._total

    def text(self, view: View) -> str:
        """Return the digest of `view`."""
        return seal(self.total(view), len(view))
