"""Context variables that travel with work from its submitter to another thread."""

from __future__ import annotations

from contextvars import Context, ContextVar, copy_context
from typing import Any

_bound: list[ContextVar[Any]] = []
"""Variables that describe the running code itself. Appended to at import only."""


def keep_from_jobs(variable: ContextVar[Any]) -> None:
    """Exclude a variable with the default None from `carried_context`: its value describes the code that sets it."""
    _bound.append(variable)


def carried_context() -> Context:
    """Return a copy of the caller's context for work that is not part of the running handler."""
    context = copy_context()
    for variable in _bound:
        if variable in context:
            context.run(variable.set, None)
    return context
