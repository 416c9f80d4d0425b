"""Whose turn it is to ask."""

from coterie.models.policies.turns.limited import Limited

__all__ = ["Limited"]
