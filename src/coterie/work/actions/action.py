"""One action, through execution, recovery and feedback."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import msgspec

from coterie.errors import CircuitOpen
from coterie.errors.work import FeedbackFailed
from coterie.work.actions.breaker import Circuit
from coterie.work.actions.resources import Resource
from coterie.work.jobs import ActionStage, Call, FailedAttempt, Job, JobOwner, JobState, Priority, Retry

R_co = TypeVar("R_co", covariant=True)

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

    def note_end(self, action: Action[Any]) -> bool:
        """Record an action that has ended. Return whether it can be submitted again, and so keeps its arguments."""
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


class Action(Job[R_co]):
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
        self.system: ActionOwner | None = system
        """The system, until the action has ended: a retained action does not keep its system alive."""
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
                self._owner.apply(self, self.value)
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
        if self.in_feedback or not self._owner.has_feedback:
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
    def _owner(self) -> ActionOwner:
        assert self.system is not None, "the action has ended"
        return self.system

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
        system, self.system = self.system, None
        if system is not None and not system.note_end(self):
            self.release()

    def release(self) -> None:
        """Drop the arguments, the context and the value of the function."""
        super().release()
        self.value = None
