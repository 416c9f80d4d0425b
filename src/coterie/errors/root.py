"""The root of all errors."""

from __future__ import annotations


class CoterieError(Exception):
    """The root of all errors of this package."""


def describe(error: BaseException) -> str:
    """Return an error as `Type: text`, on one line where its text is one."""
    text = str(error)
    return f"{type(error).__qualname__}: {text}" if text else type(error).__qualname__
