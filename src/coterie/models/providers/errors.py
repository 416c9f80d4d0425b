"""Translate errors of providers into `ModelError`."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping
from datetime import UTC

from pydantic_ai import exceptions

from coterie.errors import ContextTooLong, ModelError, ModelRefused, ModelUnavailable, RateLimited, describe
from coterie.errors.models import KeyRefused, MalformedReply
from coterie.kernel import Clock
from coterie.models.redaction import Redactor

_SHOWN = 500
"""Characters of a provider's text that an error repeats."""
_REFERENCE = re.compile(r"\s*For further information visit \S+")
"""The end of each line of pydantic's errors."""
_SECONDS = re.compile(r"\s*\d+(\.\d*)?\s*")
_TOO_MANY = 429
_SERVER = 500
_TIMED_OUT = 408


def translate_error(model: str, error: Exception, redactor: Redactor, clock: Clock) -> ModelError:
    """Return an error of Pydantic AI, or of a provider's client, as a `ModelError` that keeps only its text."""
    text = redactor.text(_short(error))
    status = error.status_code if isinstance(error, exceptions.ModelHTTPError) else None
    if isinstance(error, exceptions.ModelQuotaExceededError):
        return ModelRefused(model, f"its quota is used up: {text}", status=status)
    if isinstance(error, exceptions.ModelRateLimitError) or status == _TOO_MANY:
        return RateLimited(model, text, retry_after=_retry_after(error, clock))
    refusal = _refusal(error, status)
    if refusal is not None:
        return refusal(model, text, status=status)
    if isinstance(error, exceptions.UnexpectedModelBehavior):
        return MalformedReply(model, text, redactor.text(error.body or ""))
    if isinstance(error, ValueError | TypeError | LookupError | AttributeError) or _is_no_json(error):
        # The client could not read the response.
        return MalformedReply(model, f"its client cannot read it: {text}")
    return ModelUnavailable(model, text, retry_after=_retry_after(error, clock))


def _is_no_json(error: Exception) -> bool:
    return isinstance(error, exceptions.ModelAPIError) and isinstance(error.__cause__, ValueError)


def _refusal(error: Exception, status: int | None) -> type[ModelRefused] | None:
    """Return the class of a final refusal; None for other errors."""
    if isinstance(error, exceptions.ModelContextWindowExceededError) or _speaks_of_context(error, status):
        return ContextTooLong
    if isinstance(error, exceptions.ModelAuthenticationError):
        return KeyRefused
    final = (exceptions.ModelRequestRejectedError, exceptions.ContentFilterError, exceptions.UserError)
    if isinstance(error, final) or (status is not None and status < _SERVER and status != _TIMED_OUT):
        return ModelRefused
    return None


def _short(error: Exception) -> str:
    told: BaseException = error
    cause = error.__cause__ if isinstance(error, exceptions.ModelConnectionError) else None
    while cause is not None:
        # Each client wraps the cause in an error of its own; take the longest text.
        told = cause if told is error or len(str(cause)) >= len(str(told)) else told
        cause = cause.__cause__
    text = " ".join(_REFERENCE.sub("", describe(told)).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _speaks_of_context(error: Exception, status: int | None) -> bool:
    """Detect a prompt that is too long by its text, for servers without an error code."""
    text = str(error).lower()
    return (
        status in (400, 413, 422) and "context" in text and any(word in text for word in ("length", "window", "exceed", "long"))
    )


def _retry_after(error: Exception, clock: Clock) -> float | None:
    headers: Mapping[str, str] = getattr(error, "headers", None) or {}
    said = headers.get("retry-after")
    if said is not None and "retry-after-ms" not in headers:
        if _SECONDS.fullmatch(said):
            return float(said)
        # Compare a date with the clock that times the wait; a date without a zone is UTC.
        try:
            date = email.utils.parsedate_to_datetime(said)
            return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - clock.time())
        except (ValueError, TypeError, OverflowError):
            return None
    return getattr(error, "retry_after", None)
