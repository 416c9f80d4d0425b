"""Problems of requests, as a message for the reader of the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response


class ConsoleProblem(Exception):
    """A page cannot be shown, or an action cannot be done. `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


ProblemPage: TypeAlias = Callable[[Request, ConsoleProblem], Response]
"""Makes the answer to a request that failed."""
