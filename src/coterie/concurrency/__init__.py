"""Threads and locks: named threads, an elastic pool, timers, periodic jobs, completions, stack dumps, ranked locks.

This room starts every thread of Coterie and creates every lock, with its place in one documented order.
"""

from coterie.concurrency.completion import Completion, Signal
from coterie.concurrency.events import AutoResetEvent
from coterie.concurrency.file_locks import lock_file
from coterie.concurrency.forks import register_fork_handler, unregister_fork_handler
from coterie.concurrency.frames import calls_out, interrupted, refuse_if_interrupted, waits
from coterie.concurrency.interrupts import InterruptGuard, ends_in_order
from coterie.concurrency.locks import Rank, acquire_in_turn, new_lock
from coterie.concurrency.pool import ElasticPool
from coterie.concurrency.switching import SwitchInterval
from coterie.concurrency.threads import Thread, defer, dump_stacks, stack_of, start_thread
from coterie.concurrency.timers import PeriodicJob, Timer, Timers

__all__ = [
    "AutoResetEvent",
    "Completion",
    "ElasticPool",
    "InterruptGuard",
    "PeriodicJob",
    "Rank",
    "Signal",
    "SwitchInterval",
    "Thread",
    "Timer",
    "Timers",
    "acquire_in_turn",
    "calls_out",
    "defer",
    "dump_stacks",
    "ends_in_order",
    "interrupted",
    "lock_file",
    "new_lock",
    "refuse_if_interrupted",
    "register_fork_handler",
    "stack_of",
    "start_thread",
    "unregister_fork_handler",
    "waits",
]
