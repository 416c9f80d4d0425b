"""Retry policy: a pure rule, without threads."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any

from coterie.errors import InvalidSetting, JobCancelled, JobExited, JobRaised, NotSendable
from coterie.errors.work import CoroutineReturned
from coterie.kernel import check_number

_log = logging.getLogger(__name__)

_NEVER = (CoroutineReturned, JobCancelled, JobExited, NotSendable)
"""Errors that would only recur, or that ask for an end."""
_DOUBLINGS = 64
"""Every maximum is reached by then; a larger power could overflow."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The number of retries, their delays, and the errors to retry. `Retry(3)`: three more attempts after the first.

    The delay grows by `factor` each time, up to `maximum`, and is shortened by a random part of up to `jitter`. By default
    it is any part of the full delay, so that jobs that failed together do not return together ("Exponential backoff and
    jitter", M. Brooker, 2015, "full jitter"). An error can name its own delay: an attribute `retry_after`, in seconds. A job
    that waits for its next attempt holds no worker. Raises `InvalidSetting`.
    """

    retries: int = 3
    """Attempts after the first."""
    initial: float = 0.1
    """Seconds before the first retry."""
    factor: float = 2.0
    maximum: float = 30.0
    """The longest delay in seconds."""
    jitter: float = 1.0
    """The random part of a delay, from 0 to 1."""
    on: tuple[type[BaseException], ...] | type[BaseException] = Exception
    """Errors to retry; all others are final. Of an error whose class cannot be sent from a process, names are compared."""
    when: Callable[[BaseException], object] | None = None
    """Called with an error of `on`; if it returns a false value, or raises, the error is final."""
    after: Callable[[BaseException], float | timedelta | None] | None = None
    """Returns the delay that an error asks for, in seconds; None for none. By default it reads the error's `retry_after`.

    `maximum` does not bound this delay; the deadline of the job does."""

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
            raise InvalidSetting("Retry.on", self.on, "an exception class or a tuple of exception classes")
        for name, function in (("when", self.when), ("after", self.after)):
            if function is not None and not callable(function):
                raise InvalidSetting(f"Retry.{name}", function, "a function of the error, or None")

    def delay(self, attempt: int, error: BaseException, random: Random) -> float | None:
        """Return the seconds between attempt number `attempt`, counted from 1, and the next; None for no further attempt."""
        if attempt > self.retries or isinstance(error, _NEVER) or not self._matches(error):
            return None
        try:
            if self.when is not None and not self.when(error):
                return None
            asked = _seconds(self.after(error) if self.after is not None else getattr(error, "retry_after", None))
        except Exception:  # noqa: BLE001 - a rule that fails must not lose the job
            _log.exception("a rule of %r raised; the job is not retried", self)
            return None
        full = min(self.maximum, self.initial * self.factor ** min(attempt - 1, _DOUBLINGS))
        random_part = full * self.jitter * random.random()
        return full - random_part if asked is None else max(full - random_part, asked + random_part)

    def _matches(self, error: BaseException) -> bool:
        if isinstance(error, self.on) or not isinstance(error, JobRaised):
            return isinstance(error, self.on)
        kinds = self.on if isinstance(self.on, tuple) else (self.on,)
        return any(class_name(kind) in error.kinds for kind in kinds)


def class_name(kind: type) -> str:
    """Return the module and qualified name of a class. A process knows the main module under another name."""
    module = "__main__" if kind.__module__ == "__mp_main__" else kind.__module__
    return f"{module}.{kind.__qualname__}"


def _seconds(asked: object) -> float | None:
    """Return a delay that an error asks for, in seconds; None if it is not a delay."""
    if isinstance(asked, timedelta):
        asked = asked.total_seconds()
    if isinstance(asked, bool) or not isinstance(asked, int | float) or not math.isfinite(asked):
        return None
    return max(0.0, float(asked))
