"""Actions: what is done to the world outside, and may fail there."""

from coterie.work.actions.action import Action, DeadAction
from coterie.work.actions.breaker import Breaker, CircuitState
from coterie.work.actions.resources import ResourceLimits
from coterie.work.actions.system import ActionMetrics, ActionSystem, ResourceMetrics

__all__ = [
    "Action",
    "ActionMetrics",
    "ActionSystem",
    "Breaker",
    "CircuitState",
    "DeadAction",
    "ResourceLimits",
    "ResourceMetrics",
]
