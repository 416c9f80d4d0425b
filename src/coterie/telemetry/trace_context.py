"""The trace context of W3C (https://www.w3.org/TR/trace-context/), which travels with messages.

A program without OpenTelemetry sets and reads the context variable `traceparent`. If the program has loaded OpenTelemetry, the
span that is current there counts, and a context that arrives becomes the current one there too. Nothing here imports
OpenTelemetry before the program does.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from contextvars import Context, ContextVar, copy_context
from typing import Any

traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""The trace context of the running code, as the header ``traceparent`` has it; None without one."""

_FORM = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?")
_LONGEST = {"traceparent": 256, "tracestate": 512}
"""Characters of each header that are taken."""


def is_traceparent(text: object) -> bool:
    """Return whether a value has the form of the header ``traceparent``, of this version or a later one."""
    if not isinstance(text, str) or len(text) > _LONGEST["traceparent"]:
        return False
    match = _FORM.fullmatch(text)
    return match is not None and (match[1] != "00" or match[2] is None)


def current_traceparent() -> str | None:
    """Return the trace context of the running code: of OpenTelemetry's current span, or the variable `traceparent`."""
    return trace_headers(copy_context()).get("traceparent")


def trace_headers(context: Context) -> dict[str, str]:
    """Return the headers of the trace context of a context that no code runs in; empty without one, or with a malformed one."""
    propagator = _propagator()
    if propagator is not None:
        headers: dict[str, str] = {}
        context.run(propagator.inject, headers)
        if headers:
            return headers
    own = context.get(traceparent)
    return {"traceparent": own} if own is not None and is_traceparent(own) else {}


def enter_trace(context: Context, headers: Mapping[str, Any]) -> None:
    """Set the trace context of a context from headers that come from elsewhere. Malformed ones are ignored."""
    own = headers.get("traceparent")
    if not is_traceparent(own):
        return
    context.run(traceparent.set, own)
    propagator = _propagator()
    if propagator is None:
        return
    state = headers.get("tracestate")
    known = {"traceparent": own}
    if isinstance(state, str) and len(state) <= _LONGEST["tracestate"]:
        known["tracestate"] = state
    context.run(_attach, propagator.extract(known))


def _propagator() -> Any:
    """Return OpenTelemetry's reader and writer of the headers, if the program has loaded that."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415 - only if it is there

    return TraceContextTextMapPropagator()


def _attach(found: Any) -> None:
    from opentelemetry.context import attach  # noqa: PLC0415 - only if it is there

    attach(found)
