"""What the desk says when it does not do what it is asked."""

from __future__ import annotations


class Refusal(Exception):
    """Something is not done, for a reason that the customer may hear. Its text ends with what to do instead."""
