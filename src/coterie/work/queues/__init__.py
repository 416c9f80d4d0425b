"""The queues before a pool: what is ready, what is due later, what waits for room. Each is guarded by its pool."""

from coterie.work.queues.delayed import Delayed
from coterie.work.queues.intake import Intake
from coterie.work.queues.limits import QueueLimits
from coterie.work.queues.ready import ReadyQueue

__all__ = ["Delayed", "Intake", "QueueLimits", "ReadyQueue"]
