"""Circuit breakers for targets that fail repeatedly ("Release It!", M. Nygard, 2007)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from coterie.concurrency import Rank, new_lock
from coterie.errors import CircuitOpen
from coterie.kernel import Clock, check_number


class CircuitState(enum.StrEnum):
    """The state of the circuit of a target."""

    CLOSED = "closed"
    """Actions on the target run."""
    OPEN = "open"
    """Actions fail at once with `CircuitOpen`."""
    HALF_OPEN = "half-open"
    """One action runs on trial; its outcome closes the circuit or opens it again."""


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """The policy that opens and resets the circuit of a target. Raises `InvalidSetting`."""

    failures: int = 5
    """Consecutive failures that open the circuit."""
    reset_after: float = 30.0
    """Seconds until an open circuit allows a trial."""

    def __post_init__(self) -> None:
        check_number("CircuitBreaker.failures", self.failures, least=1, whole=True)
        check_number("CircuitBreaker.reset_after", self.reset_after, above=0)


class Circuit:
    """The circuit of one target. Safe from any thread; `_lock` guards the counts."""

    def __init__(self, target: str, policy: CircuitBreaker, clock: Clock) -> None:
        self.target = target
        self._policy = policy
        self._clock = clock
        self._lock = new_lock(Rank.RESOURCE)
        self._failures = 0
        self._retry_at: float | None = None
        self._trial: object | None = None

    @property
    def state(self) -> CircuitState:
        """Return the current state."""
        retry_at = self._retry_at
        if retry_at is None:
            return CircuitState.CLOSED
        return CircuitState.HALF_OPEN if self._clock.monotonic() >= retry_at else CircuitState.OPEN

    def enter(self, action: object) -> None:
        """Let an action run. Raises `CircuitOpen`."""
        with self._lock:
            if self._retry_at is None:
                return
            left = self._retry_at - self._clock.monotonic()
            if left <= 0 and self._trial is None:
                self._trial = action
                return
            # Others retry after the trial can be expected to have ended.
            wait = left if left > 0 else self._policy.reset_after
            failures = self._failures
        raise CircuitOpen(self.target, failures, wait)

    def leave(self, action: object, *, failed: bool) -> None:
        """Record the outcome of an action that ran. Of several outcomes of one action the first counts."""
        with self._lock:
            trial = self._trial is action
            if trial:
                self._trial = None
            elif self._retry_at is not None:
                # The action began before the circuit opened, so its outcome is out of date.
                return
            if not failed:
                self._failures = 0
                self._retry_at = None
                return
            self._failures += 1
            if trial or self._failures >= self._policy.failures:
                self._retry_at = self._clock.monotonic() + self._policy.reset_after
