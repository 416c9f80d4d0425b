"""Errors of jobs and actions. See `coterie.errors` for the tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from coterie.errors.general import CoterieError


class WorkError(CoterieError):
    """A job was not accepted, or ended without the result or error of its function."""


class WorkStopped(WorkError):
    """The engine or the action system has been stopped and accepts no more work."""

    def __init__(self, where: str) -> None:
        super().__init__(f"{where} has been stopped and takes no more jobs: submit before stop(), or make a new one")


class WorkForked(WorkStopped):
    """The engine or the action system belongs to the parent of this process and has no workers here."""

    def __init__(self, where: str) -> None:
        text = "belongs to the parent of this process, and its threads are not here: make a new one, or spawn instead of fork"
        CoterieError.__init__(self, f"{where} {text}")


class QueueFull(WorkError):
    """A queue refused a job, because of its bound and its policy."""

    def __init__(self, where: str, job: str, lane: str, capacity: int, reason: str) -> None:
        self.lane = lane
        super().__init__(f"{where} refused {job}: the queue {lane} holds {capacity} already, {reason}")


class ThreadsHeld(WorkError):
    """A job was refused, because functions that do not return hold as many threads as may be lost."""

    def __init__(self, job: object, pool: str, holders: Sequence[object], elsewhere: int = 0) -> None:
        names = Counter(str(getattr(holder, "name", "a function")) for holder in holders)
        told = ", ".join(f"{name} ({count})" for name, count in names.most_common(3))
        more = f"; other parts of the process have lost {elsewhere} more" if elsewhere else ""
        super().__init__(
            f"{pool} refused {job}: {len(holders)} of its threads are held by functions that did not return in time: "
            f"{told}{more}; "
            "give what these functions wait for a timeout of its own, or run them with cpu_bound=True"
        )


class JobTimeout(WorkError, TimeoutError):
    """A job exceeded its time limit. `ended` tells whether its function has really ended."""

    def __init__(self, job: object, seconds: float, *, ended: bool, what: str = "its timeout") -> None:
        self.ended = ended
        rest = "" if ended else "; a thread cannot be ended, so the function goes on there and its outcome will be dropped"
        super().__init__(f"{job} exceeded {what} of {seconds:g} s{rest}")

    def __reduce__(self) -> str | tuple[object, ...]:
        return _restore, (type(self), str(self), {"ended": self.ended})


class JobCancelled(WorkError):
    """A job was cancelled by its owner, by itself, or by a shutdown."""

    def __init__(self, job: object, reason: str = "it was taken back") -> None:
        super().__init__(f"{job} was cancelled: {reason}")


class JobShed(WorkError):
    """A job of the same or higher priority took the place of this one in a full queue."""

    def __init__(self, job: object, lane: str, capacity: int) -> None:
        super().__init__(f"{job} was shed: the queue {lane} holds {capacity}; submit it again when there is less to do")


class JobExited(WorkError):
    """The function of a job raised an error that ends a thread or a process, such as SystemExit. The cause is that error."""

    def __init__(self, job: object, error: object) -> None:
        what = f"{type(error).__name__}({error})" if isinstance(error, BaseException) else error
        super().__init__(f"{job} tried to end its worker: {what}; raise an Exception instead")


class JobRaised(WorkError):
    """A job in another process raised an error whose class cannot be sent. The cause holds its text and traceback.

    It arrives as an instance of a subclass that has the name of that class, its nearest base class that can be sent, and its
    attributes that can be sent. `Retry(on=...)` compares `kinds`, so it matches the class itself too.
    """

    kinds: tuple[str, ...] = ()
    """The module and qualified name of the class and of its bases."""

    def __init__(self, job: object, text: str) -> None:
        super().__init__(f"{job} raised {text} (the class of that error cannot be sent from its process)")

    def __str__(self) -> str:
        # The base class that can be sent may have another text.
        return str(self.args[0])

    def __reduce__(self) -> str | tuple[object, ...]:
        bases = tuple(base for base in type(self).__bases__ if base is not JobRaised)
        return _restore_raised, (type(self).__name__, bases, str(self), vars(self))

    @classmethod
    def stand_in(cls, name: str, bases: tuple[type[BaseException], ...], attributes: dict[str, object], text: str) -> JobRaised:
        """Return an error of a new subclass of that name with those base classes, attributes and that text."""
        kind: Any = type(name, (cls, *bases), {"__module__": cls.__module__, "__doc__": cls.__doc__})
        error: JobRaised = kind.__new__(kind)
        error.args = (text,)
        error.__dict__.update(attributes)
        return error


class CoroutineReturned(WorkError, TypeError):
    """The function of a job returned a coroutine, or an asynchronous generator, which has run nothing."""

    def __init__(self, function: str, kind: str) -> None:
        super().__init__(
            f"{function} returned {'an' if kind[0] == 'a' else 'a'} {kind}, and a worker has no event loop to run it: return its result, as by asyncio.run, "
            "or give it to an agent's create_task"
        )


class JobWaitCycle(WorkError):
    """Waiting for this job inside another job would be a deadlock."""

    def __init__(self, jobs: str) -> None:
        super().__init__(f"waiting would never end: {jobs}; let the job return, and wait outside")


class NotSendable(WorkError, TypeError):
    """A function, an argument or a result cannot be sent to another process."""

    def __init__(self, what: str, reason: object) -> None:
        self.what = what
        super().__init__(f"{what} cannot be sent to another process: {reason}")

    def __reduce__(self) -> str | tuple[object, ...]:
        return _restore, (type(self), str(self), {"what": self.what})


class WorkerDied(WorkError):
    """The process that ran a job ended. `code` is its exit code, or minus the number of a signal."""

    def __init__(self, job: object, code: int | None, hint: str = "") -> None:
        self.code = code
        how = "ended" if code is None else f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
        super().__init__(f"the process that ran {job} {how}{hint}; the pool goes on with another")


class WorkerStartFailed(WorkerDied):
    """A process ended before it could take its first job."""

    def __init__(self, job: object, code: int | None, reason: str = "") -> None:
        guard = (
            'a program that uses processes keeps what it does under `if __name__ == "__main__":`, '
            "for each process imports it anew"
        )
        super().__init__(job, code, f" before it could begin: {reason or guard}")


class CircuitOpen(WorkError):
    """An action was not tried, because its target has failed too often recently. `retry_in` is in seconds."""

    def __init__(self, target: str, failures: int, retry_in: float) -> None:
        self.target = target
        self.retry_in = retry_in
        super().__init__(f"{target} has failed {failures} times in a row and is not tried for another {retry_in:.3g} s")


class FeedbackFailed(WorkError):
    """An action was done, but its result could not be applied. `result` holds it; the cause is the reason."""

    def __init__(self, action: object, result: object, error: BaseException) -> None:
        self.result = result
        super().__init__(f"{action} was done, but applying its result raised {type(error).__name__}: {error}")


class KeyConflict(WorkError, ValueError):
    """An idempotency key was used again for another action."""

    def __init__(self, key: str, before: str, now: str) -> None:
        super().__init__(f"the key {key!r} stands for {before} and cannot stand for {now}: choose another key")


class UnknownAction(WorkError, LookupError):
    """No dead action has that id."""

    def __init__(self, action: object) -> None:
        super().__init__(f"there is no dead action {action!r}; see dead()")


def _restore(kind: type[WorkError], text: str, attributes: dict[str, object]) -> WorkError:
    """Return an error of another process from its text and attributes, without calling its constructor."""
    error = kind.__new__(kind)
    error.args = (text,)
    error.__dict__.update(attributes)
    return error


def _restore_raised(
    name: str, bases: tuple[type[BaseException], ...], text: str, attributes: dict[str, object]
) -> BaseException:
    """Return an error that `JobRaised` stands in for."""
    return JobRaised.stand_in(name, bases, attributes, text)
