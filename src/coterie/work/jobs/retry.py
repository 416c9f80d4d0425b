"""When a failed attempt is made again: a pure rule, without threads."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from coterie.errors import InvalidSetting, JobCancelled, JobExited, NotSendable
from coterie.kernel import check_number

_NEVER = (JobCancelled, JobExited, NotSendable)
"""What would only happen again, or is not to."""
_DOUBLINGS = 64
"""By then every limit has been reached; the power itself would overflow."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, when, and for what a job is tried again. `Retry(3)`: three more times after the first.

    The delay grows by `factor` each time, up to `maximum`, and is shortened by a random part of up to `jitter`
    ("Exponential backoff and jitter", M. Brooker, 2015). While a job waits for its next attempt it holds no worker.
    """

    retries: int = 3
    """Attempts after the first."""
    initial: float = 0.1
    """Seconds before the first retry."""
    factor: float = 2.0
    maximum: float = 30.0
    """Seconds that no delay exceeds."""
    jitter: float = 0.1
    """The part of a delay, from 0 to 1, that is left to chance."""
    on: tuple[type[BaseException], ...] | type[BaseException] = Exception
    """Errors that are worth another attempt; all others are final."""

    def __post_init__(self) -> None:
        check_number("Retry.retries", self.retries, whole=True)
        check_number("Retry.initial", self.initial)
        check_number("Retry.factor", self.factor, least=1)
        check_number("Retry.maximum", self.maximum, least=self.initial)
        check_number("Retry.jitter", self.jitter)
        if self.jitter > 1:
            raise InvalidSetting("Retry.jitter", self.jitter, "a number from 0 to 1")
        kinds: tuple[Any, ...] = self.on if isinstance(self.on, tuple) else (self.on,)
        if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
            raise InvalidSetting("Retry.on", self.on, "an exception class, or a tuple of such")

    def delay(self, attempt: int, error: BaseException, random: Random) -> float | None:
        """Return the seconds until the attempt after number `attempt`, counted from 1; None if there is to be none."""
        if attempt > self.retries or isinstance(error, _NEVER) or not isinstance(error, self.on):
            return None
        full = min(self.maximum, self.initial * self.factor ** min(attempt - 1, _DOUBLINGS))
        return full * (1 - self.jitter * random.random())
