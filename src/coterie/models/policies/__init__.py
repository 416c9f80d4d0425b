"""Policies of a gateway, each a model that wraps a model."""

from coterie.models.contract import ModelWrapper
from coterie.models.policies.attempts import RetryingModel, TimeLimitedModel
from coterie.models.policies.budgets import BudgetedModel, BudgetLedger, PricedModel, Spending, TokenEstimator
from coterie.models.policies.metering import CallMetrics, Meter, MeteredModel
from coterie.models.policies.rate_limits import RateLimitedModel

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
    "Spending",
    "TimeLimitedModel",
    "TokenEstimator",
]
