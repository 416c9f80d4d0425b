"""Jobs and actions, the workers that run them, and worker counts for a machine.

A job ends once: succeeded, failed, timed out, cancelled or shed, and every waiting caller learns it. A job that waits for
its next attempt, a resource or queue space holds no worker. CPU-bound jobs run in spawned processes, which can be killed;
a job on a thread cannot be ended, and its error says so. All classes are safe from many threads, and all times come from
the given clock. This room does not import agents, worlds or memories: results are applied by a given callable.
"""

from coterie.concurrency.machine import Machine
from coterie.work.actions import Action, ActionSystem, CircuitBreaker, CircuitState, ResourceLimits
from coterie.work.engine import ProcessingEngine
from coterie.work.exposition import WorkCollector, exposition
from coterie.work.jobs import (
    ActionStage,
    Job,
    JobState,
    Priority,
    QueueOverflow,
    Retry,
    TaskType,
    WaitFor,
    as_completed,
    current_job,
    wait,
)
from coterie.work.pool import Bounds, QueueLimits, Retention
from coterie.work.pool.metrics import WorkMetrics
from coterie.work.sizing import Sizing
from coterie.work.usage import ProcessUsage, process_usage

__all__ = [
    "Action",
    "ActionStage",
    "ActionSystem",
    "Bounds",
    "CircuitBreaker",
    "CircuitState",
    "Job",
    "JobState",
    "Machine",
    "Priority",
    "ProcessUsage",
    "ProcessingEngine",
    "QueueLimits",
    "QueueOverflow",
    "ResourceLimits",
    "Retention",
    "Retry",
    "Sizing",
    "TaskType",
    "WaitFor",
    "WorkCollector",
    "WorkMetrics",
    "as_completed",
    "current_job",
    "exposition",
    "process_usage",
    "wait",
]
