"""A pool of workers with bounded queues, used by both engines."""

from coterie.work.pool.pool import WorkPool
from coterie.work.pool.settings import Bounds, QueueLimits, Retention

__all__ = ["Bounds", "QueueLimits", "Retention", "WorkPool"]
