"""Policies of a gateway, each a model that wraps a model."""

from coterie.models.policies.budgets import BudgetLedger, Spending, TokenEstimator
from coterie.models.policies.metering import CallMetrics, Meter, MeteredModel
from coterie.models.policies.rate_limits import RateLimitedModel
from coterie.models.policies.retrying import RetryingModel
from coterie.models.policies.spending import BudgetedModel, PricedModel
from coterie.models.policies.timeouts import TimeLimitedModel
from coterie.models.policies.wrapper import ModelWrapper

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
