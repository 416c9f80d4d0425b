"""Rules around a model, each a model around a model, each alone in its file."""

from coterie.models.policies.around import ModelWrapper
from coterie.models.policies.metering import CallMetrics, Meter, MeteredModel
from coterie.models.policies.retrying import RetryingModel
from coterie.models.policies.spending import BudgetedModel, BudgetLedger, PricedModel, Spending, TokenEstimator
from coterie.models.policies.timed import TimeLimitedModel
from coterie.models.policies.turns import RateLimitedModel

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
