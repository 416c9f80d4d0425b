"""Errors of conversations as answers of HTTP."""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import Response

from coterie.errors import (
    ConversationClosed,
    ConversationError,
    ConversationFull,
    ConversationTaken,
    CoterieError,
    InvalidNamespace,
    InvalidText,
    TransitionRefused,
    UnknownOperation,
    describe,
)
from coterie.interop.web.bodies import HTTPProblem

_STATUS: tuple[tuple[type[CoterieError], int], ...] = (
    (InvalidText, 422),
    (InvalidNamespace, 422),
    (UnknownOperation, 404),
    (TransitionRefused, 409),
    (ConversationFull, 429),
    (ConversationTaken, 409),
    (ConversationClosed, 503),
    (ConversationError, 500),
)

_OURS = "something went wrong here; the server's log says what"

_log = logging.getLogger(__name__)


def status_of(error: CoterieError) -> int:
    """Return the status with which an error is answered."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


async def refused(request: Request, error: Exception) -> Response:  # noqa: ARG001 - as handlers of Starlette are
    """Answer a request that was refused on its way in."""
    assert isinstance(error, HTTPProblem)
    return error.response()


def words_for(error: CoterieError, where: str) -> str:
    """Return what a stranger is told of an error: what a request can mend; of all else only that it is in the log."""
    if status_of(error) < 500:  # noqa: PLR2004 - as HTTP has it
        return str(error)
    _log.error("%s: %s", where, describe(error))
    return _OURS


async def failed(request: Request, error: Exception) -> Response:
    """Answer a request that a conversation could not do."""
    assert isinstance(error, CoterieError)
    return HTTPProblem(status_of(error), words_for(error, f"{request.method} {request.url.path}")).response()


async def broken(request: Request, error: Exception) -> Response:
    """Answer a request that met a fault of ours. What it was is in the log, and not told to strangers."""
    _log.error("%s %s: %s", request.method, request.url.path, describe(error), exc_info=error)
    return HTTPProblem(500, _OURS).response()
