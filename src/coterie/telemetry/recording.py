"""The recorder of spans by OpenTelemetry. Only imported with the extra `otel`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import context as otel_context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from coterie.errors import describe
from coterie.telemetry import spans
from coterie.telemetry.otlp_file import OtlpFile
from coterie.telemetry.trace_context import traceparent

_MOST_CONTENT = 100_000
"""Characters of one text that are recorded."""
_QUEUED = 100_000
"""Spans that may wait for a collector; what is more is dropped, with a warning of OpenTelemetry."""
_PROPAGATOR = TraceContextTextMapPropagator()
_KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT, "consumer": SpanKind.CONSUMER}


def provider_for(to: str | Path, service: str) -> TracerProvider:
    """Return a provider that writes to a file, or sends to a collector. Raises `OSError`."""
    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=True)
    if isinstance(to, str) and to.startswith(("http://", "https://")):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - only for a collector

        endpoint = to if urlsplit(to).path.strip("/") else to.rstrip("/") + "/v1/traces"
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint), max_queue_size=_QUEUED))
    else:
        provider.add_span_processor(OtlpFile(Path(to)))
    return provider


class OtelRecorder:
    """Makes spans of OpenTelemetry. Safe from any thread; it holds nothing but its settings."""

    def __init__(self, provider: Any, *, content: bool) -> None:
        self._tracer = provider.get_tracer("coterie")
        self._content = content

    def begin(
        self, name: str, attributes: spans.Attributes, kind: spans.SpanKind, parent: Context | None, *, linked: bool
    ) -> spans.TraceSpan:
        """Begin a span."""
        # A copy can be entered even if code runs in the context.
        above = _surroundings() if parent is None else parent.copy().run(_surroundings)
        links: tuple[Link, ...] = ()
        if linked and (cause := get_current_span(above).get_span_context()).is_valid:
            links = (Link(cause),)
        span = self._tracer.start_span(name, above, _KINDS[kind], dict(attributes), links)
        return OtelSpan(span, set_span_in_context(span, above), content=self._content)


def _surroundings() -> otel_context.Context:
    """Return the context of OpenTelemetry; without a span in it, the one of the variable `traceparent`."""
    above = otel_context.get_current()
    own = traceparent.get()
    if own is None or get_current_span(above).get_span_context().is_valid:
        return above
    return _PROPAGATOR.extract({"traceparent": own}, above)


class OtelSpan(spans.TraceSpan):
    """A span that is recorded."""

    __slots__ = ("_content", "_context", "_span")

    def __init__(self, span: Any, context: otel_context.Context, *, content: bool) -> None:
        self._span = span
        self._context = context
        self._content = content

    def set(self, attributes: spans.Attributes) -> None:
        """Set attributes."""
        self._span.set_attributes(attributes)

    def set_content(self, name: str, content: Callable[[], str]) -> None:
        """Set an attribute to a text, if the trace records content."""
        if self._content:
            self._span.set_attribute(name, content()[:_MOST_CONTENT])

    def fail(self, error: BaseException | str) -> None:
        """Mark the span as failed. The text of an error may hold content, so only its type is recorded without."""
        text = error if isinstance(error, str) else describe(error)
        kind = error if isinstance(error, str) else type(error).__qualname__
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR, text[:_MOST_CONTENT] if self._content else kind))

    def end(self, error: BaseException | None = None) -> None:
        """End the span."""
        if self._span.is_recording():
            if error is not None:
                self.fail(error)
            self._span.end()

    @contextmanager
    def within(self) -> Iterator[None]:
        """Make the span the current one."""
        token = otel_context.attach(self._context)
        try:
            yield
        finally:
            otel_context.detach(token)
