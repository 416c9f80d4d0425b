"""Jobs: their function, options, states and results."""

from coterie.work.jobs.call import Call
from coterie.work.jobs.job import FailedAttempt, Job, JobOwner, current_job
from coterie.work.jobs.kinds import ActionStage, JobState, Priority, QueueOverflow, TaskType, WaitFor
from coterie.work.jobs.retry import Retry
from coterie.work.jobs.waiting import WaitResult, as_completed, wait

__all__ = [
    "ActionStage",
    "Call",
    "FailedAttempt",
    "Job",
    "JobOwner",
    "JobState",
    "Priority",
    "QueueOverflow",
    "Retry",
    "TaskType",
    "WaitFor",
    "WaitResult",
    "as_completed",
    "current_job",
    "wait",
]
