"""Whose turn it is to ask."""

from coterie.models.policies.turns.limited import RateLimitedModel

__all__ = ["RateLimitedModel"]
