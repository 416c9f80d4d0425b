"""Policies of a gateway, each a model that wraps a model."""

from coterie.models.contract import ModelWrapper
from coterie.models.policies.attempts import RetryingModel, TimeLimitedModel
from coterie.models.policies.budgets import BudgetedModel, BudgetLedger, PricedModel, Spending, TokenEstimator
from coterie.models.policies.metering import CallMetrics, Meter, MeteredModel
from coterie.models.policies.rate_limits import RateLimitedModel
from coterie.models.policies.shared import SharedLimits, SharedLimitsModel

__all__ = [
    "BudgetLedger",
    "BudgetedModel",
    "CallMetrics",
    "Meter",
    "MeteredModel",
    "ModelWrapper",
    "PricedModel",
    "RateLimitedModel",
    "RetryingModel",
    "SharedLimits",
    "SharedLimitsModel",
    "Spending",
    "TimeLimitedModel",
    "TokenEstimator",
]
