"""The words for kinds, urgency and states of work."""

from __future__ import annotations

import enum


class TaskType(enum.StrEnum):
    """What a job of a `ProcessingEngine` is for. Each has a queue of its own."""

    REASONING = "reasoning"
    PLANNING = "planning"
    LEARNING = "learning"
    OPTIMISATION = "optimisation"


class ActionStage(enum.StrEnum):
    """What an `ActionSystem` does for an action. Each has a queue of its own."""

    EXECUTION = "execution"
    """It is done for the first time."""
    FEEDBACK = "feedback"
    """It has been done, and its result is applied."""
    RECOVERY = "recovery"
    """It failed, and is tried again."""


class Priority(enum.StrEnum):
    """How urgent a job is. The more urgent is taken first; what has waited for long rises."""

    CRITICAL = "critical"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


LEVELS = {priority: level for level, priority in enumerate(Priority)}
"""The place of each priority, 0 for the most urgent."""


class Overflow(enum.StrEnum):
    """What happens to a job that finds its queue full."""

    WAIT = "wait"
    """Whoever submits waits for room; on the thread of a running event loop the job waits by itself."""
    REJECT = "reject"
    """Whoever submits gets `QueueFull`."""
    SHED = "shed"
    """The least urgent makes room, the oldest of those, be it the new one itself, and ends with `JobShed`."""


class JobState(enum.StrEnum):
    """Where a job is. The last five are ends; a job reaches exactly one of them, once."""

    WAITING = "waiting"
    """For room in its queue, for its next attempt, or for its turn at a resource. It holds no worker."""
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    CANCELLED = "cancelled"
    SHED = "shed"

    @property
    def ended(self) -> bool:
        """Whether it is an end."""
        return self in ENDS


ENDS = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.TIMED_OUT, JobState.CANCELLED, JobState.SHED})
