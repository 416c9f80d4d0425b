"""The error of a refused request."""

from __future__ import annotations


class Refusal(Exception):
    """A request is refused. The text has the reason for the customer, and ends with the remedy."""
