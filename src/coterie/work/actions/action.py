"""One action, through execution, recovery and feedback."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import msgspec

from coterie.errors import CircuitOpen, FeedbackFailed
from coterie.work.actions.breaker import Circuit
from coterie.work.actions.resources import Resource
from coterie.work.jobs import ActionStage, Attempt, Call, Job, JobState, Priority, Retry
from coterie.work.jobs.job import JobOwner

R = TypeVar("R")

STAGES = {stage: lane for lane, stage in enumerate(ActionStage)}


class ActionOwner(Protocol):
    """The system of an action, as the action sees it. Every method is safe from any thread."""

    @property
    def pool(self) -> JobOwner:
        """The pool that runs the action."""
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
    """An action that failed for good, or was not done in time, with all that happened to it."""

    id: str
    name: str
    stage: ActionStage
    """What it failed at. If that is feedback, it has been done, and only its result was not applied."""
    error: BaseException
    history: tuple[Attempt, ...]
    """Every attempt that failed, oldest first; also those before it was submitted again."""
    died_at: float
    """Seconds of the wall clock."""
    resource: str | None
    target: str | None
    key: str | None


class Action(Job[R]):
    """A job of an `ActionSystem`. It ends once, after its last attempt, and after its result was applied.

    In `history` are the attempts that failed, those at applying the result included.
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
        """Whether it has been done, and its result is being applied."""
        self.value: Any = None
        """What it returned, once it has been done."""

    def perform(self) -> Any:
        """Do it, or apply its result."""
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

    def advance(self, value: Any) -> bool:
        """Go on to feedback, if there is any."""
        if self.in_feedback or not self.system.has_feedback:
            return False
        self.begin_feedback(value)
        return True

    def begin_feedback(self, value: Any) -> None:
        """Go on with a result that is to be applied."""
        self.value = value
        self.in_feedback = True
        self.lane = STAGES[ActionStage.FEEDBACK]
        self.tried = 0

    @property
    def never_began(self) -> bool:
        """Whether it ended, or is, without an attempt, also before it was submitted again."""
        return not self.tried and not self.in_feedback and not self._history

    def inherit(self, history: tuple[Attempt, ...]) -> None:
        """Take over what happened before it was submitted again."""
        self._history = list(history)

    def fall_back(self, error: BaseException, delay: float) -> float:
        """Recover: not before the target is tried again, if it is left alone."""
        if not self.in_feedback:
            self.lane = STAGES[ActionStage.RECOVERY]
        return max(delay, error.retry_in) if isinstance(error, CircuitOpen) else delay

    def left(self, before: JobState) -> None:
        """Give back what it has, and tell the system."""
        if before is JobState.RUNNING:
            # Its place is given back when the function returns: until then it does use the resource.
            if self.circuit is not None and self.state is JobState.TIMED_OUT and not self.in_feedback:
                self.circuit.leave(self, failed=True)
        elif self.resource is not None:
            self.resource.leave(self)
        self.system.note_end(self)
