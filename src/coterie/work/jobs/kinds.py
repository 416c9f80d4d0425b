"""Enumerations: types of job, stages of action, priorities, overflow policies, states."""

from __future__ import annotations

import enum


class TaskType(enum.StrEnum):
    """The purpose of a job of a `ProcessingEngine`. Each type has its own queue."""

    REASONING = "reasoning"
    PLANNING = "planning"
    LEARNING = "learning"
    OPTIMISATION = "optimisation"


class ActionStage(enum.StrEnum):
    """The stage of an action in an `ActionSystem`. Each stage has its own queue."""

    EXECUTION = "execution"
    """The first attempt."""
    FEEDBACK = "feedback"
    """The function has returned, and its result is applied."""
    RECOVERY = "recovery"
    """Further attempts after a failure."""


class Priority(enum.StrEnum):
    """The urgency of a job. Workers take more urgent jobs first; waiting raises the priority."""

    CRITICAL = "critical"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


LEVELS = {priority: level for level, priority in enumerate(Priority)}
"""The rank of each priority, 0 for the most urgent."""


class QueueOverflow(enum.StrEnum):
    """The treatment of a job that finds its queue full."""

    WAIT = "wait"
    """The submitter waits for space; on the thread of a running event loop the job waits without blocking."""
    REJECT = "reject"
    """The submitter gets `QueueFull`."""
    SHED = "shed"
    """The oldest of the least urgent jobs, which may be the new one, ends with `JobShed` to make space."""


class WaitFor(enum.StrEnum):
    """The event that ends a wait for several jobs."""

    ALL = "all"
    """The end of the last job."""
    FIRST = "first"
    """The end of any job."""
    ERROR = "error"
    """The first end that is not a success, or the end of the last job."""


class JobState(enum.StrEnum):
    """The state of a job. The last five are final; each job reaches exactly one of them, once."""

    WAITING = "waiting"
    """It waits for queue space, for its next attempt, or for a resource. It holds no worker."""
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    CANCELLED = "cancelled"
    SHED = "shed"

    @property
    def ended(self) -> bool:
        """Return whether the state is final."""
        return self in ENDS


ENDS = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.TIMED_OUT, JobState.CANCELLED, JobState.SHED})
