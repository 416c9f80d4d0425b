"""Dispatchers, which give agents their threads. The choice changes the cost of an agent, never its meaning.

`Leased` gives a thread to an agent only while it has something to run; `Dedicated` gives it one for life. The only
place, beside the model gateway, where event loops are made.
"""

from coterie.runtime.dispatchers.base import AgentExecutor, Dispatcher, Schedulable, Scheduler
from coterie.runtime.dispatchers.dedicated import Dedicated
from coterie.runtime.dispatchers.leased import Leased
from coterie.runtime.dispatchers.resources import DispatcherResources

__all__ = ["AgentExecutor", "Dedicated", "Dispatcher", "DispatcherResources", "Leased", "Schedulable", "Scheduler"]
