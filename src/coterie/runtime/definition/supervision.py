"""Supervision policies: pure rules for failed agents, without threads."""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Literal, get_args

from coterie.errors import InvalidSetting
from coterie.kernel import check_number, choice

_LONGEST = 30.0

OnStall = Literal["report", "replace"]


class Strategy(enum.StrEnum):
    """The children of a supervisor that are restarted when one of them fails."""

    ONE_FOR_ONE = "one-for-one"
    """Only the failed child."""
    ONE_FOR_ALL = "one-for-all"
    """All children."""
    REST_FOR_ONE = "rest-for-one"
    """The failed child, and the children that were spawned after it."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """The delay before a restart: it grows each time, up to a limit, with random jitter. Raises `InvalidSetting`."""

    initial: float = 0.05
    """Seconds before the first restart that is delayed."""
    factor: float = 2.0
    """The factor between one delay and the next."""
    maximum: float = _LONGEST
    """The longest delay, in seconds."""
    jitter: float = 0.1
    """The random part of a delay, from 0 to 1: the delay is shortened by up to this share."""
    at_once: int = 0
    """The number of restarts within the policy's window that come without a delay, before the first that is delayed."""

    def __post_init__(self) -> None:
        check_number("Backoff.initial", self.initial)
        check_number("Backoff.factor", self.factor, least=1)
        check_number("Backoff.maximum", self.maximum, least=self.initial)
        check_number("Backoff.jitter", self.jitter)
        if self.jitter > 1:
            raise InvalidSetting("Backoff.jitter", self.jitter, "a number from 0 to 1")
        check_number("Backoff.at_once", self.at_once, whole=True)

    def delay(self, restart: int, random: Random) -> float:
        """Return the seconds to wait before the delayed restart of that number, counted from 1."""
        # Beyond 64 doublings every limit has been reached; the power itself would overflow.
        full = min(self.maximum, self.initial * self.factor ** min(restart - 1, 64))
        return full * (1 - self.jitter * random.random())


@dataclass(frozen=True, slots=True)
class Supervision:
    """The policy for failures of agents.

    Give it to the agent itself at `spawn`, to its parent's class as the attribute `supervision`, or to the `Runtime` for agents
    without a parent; the first of these that exists applies. An agent that fails more than `max_restarts` times within `within`
    seconds stops for good as failed, and its parent fails with it. Raises `InvalidSetting`.
    """

    strategy: Strategy | Literal["one-for-one", "one-for-all", "rest-for-one"] = Strategy.ONE_FOR_ONE
    """A `Strategy`, or its name: "one-for-one", "one-for-all", "rest-for-one"."""
    max_restarts: int = 3
    within: float = 60.0
    """Seconds."""
    on_stall: OnStall = "report"
    """The treatment of an agent that holds its thread longer than the runtime's `stall_after`: "report" only tells of it.
    With "replace" it counts as failed: its thread is given up, and the agent is rebuilt on another. The code in which it is
    stuck goes on, and must not be needed any more."""
    backoff: Backoff | float = field(default_factory=lambda: Backoff(at_once=1))
    """By default the first restart within the window comes at once. A number stands for a `Backoff` that begins with so many
    seconds, from the first restart on."""

    def __post_init__(self) -> None:
        check_number("Supervision.max_restarts", self.max_restarts, whole=True)
        if self.on_stall not in get_args(OnStall):
            raise InvalidSetting("Supervision.on_stall", self.on_stall, "one of " + ", ".join(map(repr, get_args(OnStall))))
        check_number("Supervision.within", self.within, above=0)
        object.__setattr__(self, "strategy", choice("Supervision.strategy", self.strategy, Strategy))
        if not isinstance(self.backoff, Backoff):
            check_number("Supervision.backoff", self.backoff)
            initial = float(self.backoff)
            object.__setattr__(self, "backoff", Backoff(initial, maximum=max(initial, _LONGEST)))

    def delay(self, in_window: int, in_a_row: int, random: Random) -> float:
        """Return the seconds to wait before a restart: its number within the window, and in a row, both counted from 1."""
        assert isinstance(self.backoff, Backoff)
        at_once = self.backoff.at_once
        return 0.0 if in_window <= at_once else self.backoff.delay(max(1, in_a_row - at_once), random)


class RestartHistory:
    """The times of recent restarts, which decide whether one more is permitted. Not thread-safe."""

    __slots__ = ("_handled", "_row", "_times")

    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self._row = 0
        self._handled = 0

    def in_a_row(self, handled: int) -> int:
        """Return the number of this restart among those without a handled message between them; the delay grows with it.

        `handled` is the number of messages that the agent has handled so far.
        """
        self._row = 1 if handled != self._handled else self._row + 1
        self._handled = handled
        return self._row

    def permit(self, policy: Supervision, now: float) -> int:
        """Return the number of this restart among those within the policy's window, or 0 if it is one too many."""
        while self._times and now - self._times[0] > policy.within:
            self._times.popleft()
        if len(self._times) >= policy.max_restarts:
            return 0
        self._times.append(now)
        return len(self._times)
