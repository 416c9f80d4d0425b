"""The world that agents share: a state that is the fold of an event log, read by views, changed by intents.

Views are persistent maps and cost nothing; a resolver, pure and seeded, decides on intents, and each ends granted, cut or
refused, as an event. The log is on `coterie.storage`: append first, then act on it. Monitors and a controller watch
health and resources. The world knows nothing of agents, and can be used alone.
"""

from coterie.world import resolvers
from coterie.world.committing import Rule
from coterie.world.intent import Intent
from coterie.world.journal.log import EventLog
from coterie.world.monitors.controller import Limit, ResourceController
from coterie.world.monitors.health import Check, Health, HealthMonitor
from coterie.world.monitors.rates import RateMonitor, Rates
from coterie.world.monitors.resources import ResourceMonitor, Resources
from coterie.world.note import Note
from coterie.world.observers import Observer
from coterie.world.resolvers import Resolver
from coterie.world.state.differences import Difference, differences, patched
from coterie.world.state.event import Event, Kind
from coterie.world.state.values import freeze, thaw
from coterie.world.state.view import View
from coterie.world.statistics import Statistics
from coterie.world.world import World

__all__ = [
    "Check",
    "Difference",
    "Event",
    "EventLog",
    "Health",
    "HealthMonitor",
    "Intent",
    "Kind",
    "Limit",
    "Note",
    "Observer",
    "RateMonitor",
    "Rates",
    "Resolver",
    "ResourceController",
    "ResourceMonitor",
    "Resources",
    "Rule",
    "Statistics",
    "View",
    "World",
    "differences",
    "freeze",
    "patched",
    "resolvers",
    "thaw",
]
