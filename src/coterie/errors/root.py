"""The root of all errors."""

from __future__ import annotations


class CoterieError(Exception):
    """The root of all errors of this package."""
