"""Work for many hands: jobs and actions, the workers that do them, and how many of those a machine can feed.

A job ends once: succeeded, failed, timed out, cancelled or shed, and everybody who waits hears of it. What waits for its
next attempt, for a resource or for room holds no worker. What computes runs in processes that are spawned and can be
killed; what runs on threads cannot be ended, and that is said. All is safe from many threads, and every time is of the
given clock. This room knows nothing of agents, worlds or memories: what a result does is a callable that is given.
"""

from coterie.work.actions import (
    Action,
    ActionMetrics,
    ActionSystem,
    Breaker,
    CircuitState,
    DeadAction,
    ResourceLimits,
    ResourceMetrics,
)
from coterie.work.engine import ProcessingEngine
from coterie.work.exposition import WorkCollector, exposition
from coterie.work.jobs import ActionStage, Attempt, Job, JobState, Overflow, Priority, Retry, TaskType, current_job
from coterie.work.machine import Limits, Machine, Ratio, Sizing, Workers
from coterie.work.metrics import WorkMetrics
from coterie.work.pool import Bounds, Keep, QueueLimits
from coterie.work.pool.counts import LaneMetrics, ScalingEvent, Spread
from coterie.work.pool.stopping import StuckJob, WorkStopReport

__all__ = [
    "Action",
    "ActionMetrics",
    "ActionStage",
    "ActionSystem",
    "Attempt",
    "Bounds",
    "Breaker",
    "CircuitState",
    "DeadAction",
    "Job",
    "JobState",
    "Keep",
    "LaneMetrics",
    "Limits",
    "Machine",
    "Overflow",
    "Priority",
    "ProcessingEngine",
    "QueueLimits",
    "Ratio",
    "ResourceLimits",
    "ResourceMetrics",
    "Retry",
    "ScalingEvent",
    "Sizing",
    "Spread",
    "StuckJob",
    "TaskType",
    "WorkCollector",
    "WorkMetrics",
    "WorkStopReport",
    "Workers",
    "current_job",
    "exposition",
]
