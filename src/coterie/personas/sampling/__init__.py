"""Populations from a specification: exact quotas, weights, and descriptions that a model words."""
