"""What requests cost, and how much of it there is."""

from coterie.models.policies.spending.budgeted import BudgetedModel
from coterie.models.policies.spending.estimating import TokenEstimator
from coterie.models.policies.spending.ledger import BudgetLedger, Spending
from coterie.models.policies.spending.priced import PricedModel

__all__ = ["BudgetLedger", "BudgetedModel", "PricedModel", "Spending", "TokenEstimator"]
