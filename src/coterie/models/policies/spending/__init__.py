"""What requests cost, and how much of it there is."""

from coterie.models.policies.spending.budgeted import Budgeted
from coterie.models.policies.spending.estimating import Estimator
from coterie.models.policies.spending.ledger import Ledger, Spent
from coterie.models.policies.spending.priced import Priced

__all__ = ["Budgeted", "Estimator", "Ledger", "Priced", "Spent"]
