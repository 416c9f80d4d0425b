"""Rules around a model, each a model around a model, each alone in its file."""

from coterie.models.policies.around import Around
from coterie.models.policies.metering import CallMetrics, Measured, Meter
from coterie.models.policies.retrying import Retrying
from coterie.models.policies.spending import Budgeted, Estimator, Ledger, Priced, Spent
from coterie.models.policies.timed import Timed
from coterie.models.policies.turns import Limited

__all__ = [
    "Around",
    "Budgeted",
    "CallMetrics",
    "Estimator",
    "Ledger",
    "Limited",
    "Measured",
    "Meter",
    "Priced",
    "Retrying",
    "Spent",
    "Timed",
]
