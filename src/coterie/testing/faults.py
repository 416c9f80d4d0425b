"""Fault injection: functions that fail by a script or a seed."""

from __future__ import annotations

import enum
import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, ParamSpec, TypeVar

from coterie.concurrency import Rank, new_lock
from coterie.kernel import stream

P = ParamSpec("P")
R = TypeVar("R")


class Fault(enum.StrEnum):
    """The behaviour of a call of `FaultyCalls`."""

    NONE = "none"
    """Do the work."""
    RAISE = "raise"
    """Raise `InjectedFault`."""
    HANG = "hang"
    """Block until `FaultyCalls.release`."""
    LEAVE = "leave"
    """Raise `SystemExit`, like a job that ends its worker."""
    DIE = "die"
    """End the process at once; only for calls in another process."""


class InjectedFault(Exception):
    """Raised by a call with `Fault.RAISE`."""


class FaultyCalls(Generic[P, R]):
    """A function that fails at some calls: those of `script` first, later ones by `chances` and `seed`.

    Safe from any thread; `_lock` guards the count. To be sent to another process it must wrap a function of a module;
    there the count starts at 0.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        script: Sequence[Fault] = (),
        chances: Mapping[Fault, float] | None = None,
        seed: int = 0,
    ) -> None:
        self._function = function
        self._script = tuple(script)
        self._chances = dict(chances or {})
        self._seed = seed
        self._make()

    @property
    def calls(self) -> int:
        """The number of calls so far."""
        return self._calls

    def release(self) -> None:
        """Let all hanging calls go on, and later ones not hang."""
        self._released.set()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        fault = self._next()
        if fault is Fault.RAISE:
            raise InjectedFault(f"call {self._calls}")
        if fault is Fault.LEAVE:
            raise SystemExit(1)
        if fault is Fault.DIE:
            os._exit(1)
        if fault is Fault.HANG:
            self._released.wait()
        return self._function(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("_function", "_script", "_chances", "_seed")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._make()

    def _make(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._random: random.Random = stream(self._seed, "faults")
        self._released = threading.Event()
        self._calls = 0

    def _next(self) -> Fault:
        with self._lock:
            self._calls += 1
            if self._calls <= len(self._script):
                return self._script[self._calls - 1]
            chance = self._random.random()
            for fault, share in self._chances.items():
                chance -= share
                if chance < 0:
                    return fault
            return Fault.NONE
