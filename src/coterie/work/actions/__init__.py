"""Actions: calls that affect the outside world and may fail there."""

from coterie.work.actions.action import Action, DeadAction
from coterie.work.actions.breaker import CircuitBreaker, CircuitState
from coterie.work.actions.resources import ResourceLimits
from coterie.work.actions.system import ActionMetrics, ActionSystem

__all__ = ["Action", "ActionMetrics", "ActionSystem", "CircuitBreaker", "CircuitState", "DeadAction", "ResourceLimits"]
