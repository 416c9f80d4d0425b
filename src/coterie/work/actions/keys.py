"""Which action each idempotency key stands for."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from coterie.concurrency import Rank, new_lock
from coterie.errors import KeyConflict
from coterie.kernel import Clock
from coterie.work.actions.action import Action
from coterie.work.jobs import Call
from coterie.work.pool import Keep


class Keys:
    """The keys of actions that have not ended, and of those that ended of late. Safe from any thread.

    `_lock` guards both tables.
    """

    def __init__(self, keep: Keep, clock: Clock) -> None:
        self._keep = keep
        self._clock = clock
        self._lock = new_lock(Rank.RECORDS)
        self._actions: dict[str, Action[Any]] = {}
        self._ended: OrderedDict[str, float] = OrderedDict()

    def claim(self, key: str, action: Action[Any]) -> Action[Any] | None:
        """Let a key stand for an action, or return the one that it stands for. Raises `KeyConflict`."""
        with self._lock:
            self._trim()
            known = self._actions.get(key)
            if known is None:
                self._actions[key] = action
                return None
        if _identity(known.call) != _identity(action.call):
            raise KeyConflict(key, known.name, action.name)
        return known

    def replace(self, key: str, action: Action[Any]) -> None:
        """Let a key stand for another action from now on."""
        with self._lock:
            self._actions[key] = action
            self._ended.pop(key, None)

    def release(self, key: str, action: Action[Any]) -> None:
        """Let a key stand for nothing: its action was not taken."""
        with self._lock:
            if self._actions.get(key) is action:
                del self._actions[key]

    def note_end(self, key: str, action: Action[Any]) -> None:
        """Keep the key of an action that has ended, for a while; let go of one that was never begun."""
        with self._lock:
            if self._actions.get(key) is not action:
                return
            if action.never_began:
                # Nothing was done, so nothing would be done twice: who submits it again wants it done.
                del self._actions[key]
                return
            self._ended[key] = self._clock.monotonic()
            self._trim()

    def _trim(self) -> None:
        oldest = self._clock.monotonic() - self._keep.seconds
        while self._ended and (len(self._ended) > self._keep.count or next(iter(self._ended.values())) <= oldest):
            key, _ = self._ended.popitem(last=False)
            del self._actions[key]


def _identity(call: Call) -> tuple[object, str]:
    return getattr(call.function, "__module__", None), call.name
