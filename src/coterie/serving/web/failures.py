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
from coterie.serving.web.bodies import Refused

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

_log = logging.getLogger(__name__)


def status_of(error: CoterieError) -> int:
    """Return the status with which an error is answered."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


async def refused(request: Request, error: Exception) -> Response:  # noqa: ARG001 - as handlers of Starlette are
    """Answer a request that was refused on its way in."""
    assert isinstance(error, Refused)
    return error.response()


async def failed(request: Request, error: Exception) -> Response:
    """Answer a request that a conversation could not do."""
    assert isinstance(error, CoterieError)
    status = status_of(error)
    if status >= 500:  # noqa: PLR2004 - as HTTP has it
        _log.error("%s %s: %s", request.method, request.url.path, describe(error))
    return Refused(status, str(error)).response()


async def broken(request: Request, error: Exception) -> Response:
    """Answer a request that met a fault of ours. What it was is in the log, and not told to strangers."""
    _log.error("%s %s: %s", request.method, request.url.path, describe(error), exc_info=error)
    return Refused(500, "something went wrong here; the server's log says what").response()
