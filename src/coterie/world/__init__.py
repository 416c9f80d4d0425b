"""The shared world: a state that is the fold of an event log. Views read it and intents change it.

A view is a persistent map and is made in O(1). A resolver, which is pure and seeded, decides intents; each ends granted,
cut or refused, as an event. The log is on `coterie.storage` and is written before the state changes. Monitors and a
controller watch health and resources. The room does not depend on agents and can be used alone.
"""

from coterie.world import resolvers, spaces
from coterie.world.committing import Invariant
from coterie.world.exposition import WorldCollector
from coterie.world.intent import ExternalEvent, Intent
from coterie.world.log import EventLog
from coterie.world.monitors.health import Check, HealthMonitor
from coterie.world.monitors.resources import Limit, RateMonitor, ResourceController, ResourceMonitor
from coterie.world.observers import Observer
from coterie.world.resolvers import Resolver
from coterie.world.state.column import Column
from coterie.world.state.differences import differences, patched
from coterie.world.state.event import Event
from coterie.world.state.values import thaw
from coterie.world.state.view import View
from coterie.world.world import World

__all__ = [
    "Check",
    "Column",
    "Event",
    "EventLog",
    "ExternalEvent",
    "HealthMonitor",
    "Intent",
    "Invariant",
    "Limit",
    "Observer",
    "RateMonitor",
    "Resolver",
    "ResourceController",
    "ResourceMonitor",
    "View",
    "World",
    "WorldCollector",
    "differences",
    "patched",
    "resolvers",
    "spaces",
    "thaw",
]
