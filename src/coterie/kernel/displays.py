"""Rich displays in notebooks, by the functions of rooms above that are loaded when a notebook asks for one."""

from __future__ import annotations

import importlib
from typing import Any


def html_of(thing: object, function: str) -> str | None:
    """Return the HTML that a function named ``module:function`` makes of a thing; None if its extra is not installed."""
    module, _, name = function.partition(":")
    try:
        make: Any = getattr(importlib.import_module(module), name)
    except ImportError:
        return None
    return str(make(thing))
