"""A pool of workers, and the queues before them. One pool, two uses: processing and action."""

from coterie.work.pool.bounds import Bounds
from coterie.work.pool.keeping import Keep
from coterie.work.pool.pool import WorkPool
from coterie.work.queues.limits import QueueLimits

__all__ = ["Bounds", "Keep", "QueueLimits", "WorkPool"]
