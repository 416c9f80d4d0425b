"""Rules around a model, each a model around a model, each alone in its file."""

from coterie.models.policies.around import Around
from coterie.models.policies.budgeted import Budgeted
from coterie.models.policies.estimating import Estimator
from coterie.models.policies.ledger import Ledger, Spent
from coterie.models.policies.limited import Limited
from coterie.models.policies.metering import CallMetrics, Measured, Meter
from coterie.models.policies.priced import Priced
from coterie.models.policies.retrying import Retrying
from coterie.models.policies.timed import Timed

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
