"""Threads and locks: named threads, an elastic pool, timers, periodic jobs, completions, stack dumps, ranked locks.

This room starts every thread of Coterie and creates every lock, with its place in one documented order.
"""

from coterie.concurrency.budget import PROCESS_THREADS, ThreadBudget, ThreadUse
from coterie.concurrency.closing import AsyncContext
from coterie.concurrency.completion import Completion, Signal
from coterie.concurrency.events import AutoResetEvent
from coterie.concurrency.frames import waits
from coterie.concurrency.interrupts import ends_in_order
from coterie.concurrency.locks import Rank, new_lock
from coterie.concurrency.pool import ElasticPool
from coterie.concurrency.switching import SwitchInterval
from coterie.concurrency.threads import CONTAINED, Thread, start_thread
from coterie.concurrency.timers import PeriodicJob, Timer, Timers

__all__ = [
    "CONTAINED",
    "PROCESS_THREADS",
    "AsyncContext",
    "AutoResetEvent",
    "Completion",
    "ElasticPool",
    "PeriodicJob",
    "Rank",
    "Signal",
    "SwitchInterval",
    "Thread",
    "ThreadBudget",
    "ThreadUse",
    "Timer",
    "Timers",
    "ends_in_order",
    "new_lock",
    "start_thread",
    "waits",
]
