"""One job: what it is told, what it goes through, and how it ends."""

from coterie.work.jobs.attempt import Attempt
from coterie.work.jobs.call import Call
from coterie.work.jobs.job import Job, current_job
from coterie.work.jobs.kinds import ActionStage, JobState, Overflow, Priority, TaskType
from coterie.work.jobs.retry import Retry

__all__ = ["ActionStage", "Attempt", "Call", "Job", "JobState", "Overflow", "Priority", "Retry", "TaskType", "current_job"]
