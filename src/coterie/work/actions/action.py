"""One action, through execution, recovery and feedback; and the table of idempotency keys."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Protocol, TypeVar

import msgspec

from coterie.concurrency import Rank, new_lock
from coterie.errors import CircuitOpen
from coterie.errors.work import FeedbackFailed, KeyConflict
from coterie.kernel import Clock
from coterie.work.actions.breaker import Circuit
from coterie.work.actions.resources import Resource
from coterie.work.jobs import ActionStage, Call, FailedAttempt, Job, JobOwner, JobState, Priority, Retry
from coterie.work.pool import Retention

R = TypeVar("R")

STAGES = {stage: lane for lane, stage in enumerate(ActionStage)}
"""The lane of each stage."""


class ActionOwner(Protocol):
    """The system of an action, as the action sees it. Every method is safe from any thread."""

    @property
    def pool(self) -> JobOwner:
        """Return the pool that runs the action."""
        ...

    @property
    def has_feedback(self) -> bool:
        """Return whether results are applied."""
        ...

    def apply(self, action: Action[Any], value: Any) -> None:
        """Apply the result of an action."""
        ...

    def note_end(self, action: Action[Any]) -> None:
        """Record an action that has ended."""
        ...


class DeadAction(msgspec.Struct, frozen=True):
    """An action that failed for good or timed out, with its history."""

    id: str
    name: str
    stage: ActionStage
    """The stage that failed. After FEEDBACK the function has returned, and only its result was not applied."""
    error: BaseException
    history: tuple[FailedAttempt, ...]
    """All failed attempts, oldest first, including those before it was resubmitted."""
    died_at: float
    """Seconds of the wall clock."""
    resource: str | None
    target: str | None
    key: str | None


class Action(Job[R]):
    """A job of an `ActionSystem`. It ends once: after its last attempt, and after its result was applied.

    Its `history` holds the failed attempts, including failed attempts to apply the result.
    """

    __slots__ = ("circuit", "in_feedback", "key", "resource", "resource_name", "system", "value")

    def __init__(
        self,
        system: ActionOwner,
        call: Call,
        priority: Priority,
        *,
        timeout: float | None,
        deadline: float | None,
        retry: Retry | None,
        resource: Resource | None,
        resource_name: str | None,
        circuit: Circuit | None,
        key: str | None,
    ) -> None:
        super().__init__(
            system.pool, call, STAGES[ActionStage.EXECUTION], priority, timeout=timeout, deadline=deadline, retry=retry
        )
        self.system = system
        self.resource = resource
        self.resource_name = resource_name
        self.circuit = circuit
        self.key = key
        """Its idempotency key."""
        self.in_feedback = False
        """True if its function has returned and its result is being applied."""
        self.value: Any = None
        """The value of its function."""

    def perform(self) -> Any:
        """Call the function and return its value, or apply the result. Raises `FeedbackFailed` if applying raises."""
        if self.in_feedback:
            try:
                self.system.apply(self, self.value)
            except Exception as error:
                raise FeedbackFailed(f"{self.id} {self.name}", self.value, error) from error
            return self.value
        circuit = self.circuit
        try:
            if circuit is None:
                return self.call.run()
            circuit.enter(self)
            try:
                value = self.call.run()
            except BaseException:
                circuit.leave(self, failed=True)
                raise
            if not self.state.ended:
                circuit.leave(self, failed=False)
            return value
        finally:
            if self.resource is not None:
                self.resource.leave(self)

    def next_stage(self, value: Any) -> bool:
        """Begin feedback if the system has any. Return whether it has."""
        if self.in_feedback or not self.system.has_feedback:
            return False
        self.begin_feedback(value)
        return True

    def begin_feedback(self, value: Any) -> None:
        """Continue with a result to apply."""
        self.value = value
        self.in_feedback = True
        self.lane = STAGES[ActionStage.FEEDBACK]
        self.tried = 0

    @property
    def never_began(self) -> bool:
        """Return whether it has had no attempt, also before it was resubmitted."""
        return not self.tried and not self.in_feedback and not self._history

    def inherit(self, history: tuple[FailedAttempt, ...]) -> None:
        """Take over the failed attempts from before it was resubmitted."""
        self._history = list(history)

    def prepare_retry(self, error: BaseException, delay: float) -> float:
        """Enter recovery. Return the seconds until the next attempt, not before an open circuit allows one."""
        if not self.in_feedback:
            self.lane = STAGES[ActionStage.RECOVERY]
        return max(delay, error.retry_in) if isinstance(error, CircuitOpen) else delay

    def after_end(self, before: JobState) -> None:
        """Release its resource and notify the system."""
        if before is JobState.RUNNING:
            # `perform` releases the resource when the function returns: until then the function uses it.
            if self.circuit is not None and self.state is JobState.TIMED_OUT and not self.in_feedback:
                self.circuit.leave(self, failed=True)
        elif self.resource is not None:
            self.resource.leave(self)
        self.system.note_end(self)


class IdempotencyKeys:
    """The keys of actions that have not ended, or ended recently. Safe from any thread; `_lock` guards both tables."""

    def __init__(self, keep: Retention, clock: Clock) -> None:
        self._keep = keep
        self._clock = clock
        self._lock = new_lock(Rank.RECORDS)
        self._actions: dict[str, Action[Any]] = {}
        self._ended: OrderedDict[str, float] = OrderedDict()

    def claim(self, key: str, action: Action[Any]) -> Action[Any] | None:
        """Assign a free key to an action, or return the action that has it. Raises `KeyConflict`."""
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
        """Assign a key to another action."""
        with self._lock:
            self._actions[key] = action
            self._ended.pop(key, None)

    def release(self, key: str, action: Action[Any]) -> None:
        """Free the key of an action that was not accepted."""
        with self._lock:
            if self._actions.get(key) is action:
                del self._actions[key]

    def note_end(self, key: str, action: Action[Any]) -> None:
        """Keep the key of an ended action for a while; free the key of an action without an attempt."""
        with self._lock:
            if self._actions.get(key) is not action:
                return
            if action.never_began:
                # Submitting it again cannot repeat an effect.
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
