"""The loading of users' code on a node, by the names that a program of the cluster gives: the only import by name here."""

from __future__ import annotations

import importlib
from typing import Any


def load(name: str) -> Any:
    """Return what ``module:name`` names; import the module. Raises whatever that raises, and `AttributeError`."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found
