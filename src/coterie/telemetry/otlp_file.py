"""A file of spans: OTLP in JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding)."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from coterie.concurrency import Rank, new_lock

_BATCH = 512
"""Spans that are written together."""
_EVERY = 1_000_000_000
"""Nanoseconds after which a span that ends is written with those before it."""
_WORDS = {inf: "Infinity", -inf: "-Infinity"}
_BEGIN, _END = b'{"resourceSpans":[', b"]}"


class OtlpFile(SpanProcessor):
    """Writes spans to a file in batches. The file is one JSON document at any time, on one line.

    Safe from any thread: `_lock` guards the spans that wait, and the file.
    """

    def __init__(self, path: Path) -> None:
        """Begin the file anew. Raises `OSError`."""
        self._file: BinaryIO | None = path.open("wb")
        self._file.write(_BEGIN + _END)
        self._file.flush()
        self._lock = new_lock(Rank.RECORDS)
        self._waiting: list[ReadableSpan] = []
        self._written_at = 0
        self._first = True

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span that has ended."""
        with self._lock:
            self._waiting.append(span)
            ended = span.end_time or 0
            if len(self._waiting) >= _BATCH or ended - self._written_at >= _EVERY:
                self._written_at = ended
                self._write()

    def force_flush(self, timeout_millis: int | None = None) -> bool:  # noqa: ARG002 - the signature of span processors
        """Write the spans that wait."""
        with self._lock:
            self._write()
        return True

    def shutdown(self) -> None:
        """Write the spans that wait, and close the file."""
        with self._lock:
            self._write()
            if self._file is not None:
                self._file.close()
                self._file = None

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        if self._file is None or not waiting:
            return
        body = b",".join(msgspec.json.encode(each) for each in _grouped(waiting))
        self._file.seek(-len(_END), 2)
        self._file.write((b"" if self._first else b",") + body + _END)
        self._file.flush()
        self._first = False


def _grouped(spans: list[ReadableSpan]) -> list[dict[str, Any]]:
    """Return spans by resource and scope."""
    # By identity, for a resource takes long to compare.
    groups: dict[tuple[int, int], list[ReadableSpan]] = {}
    for span in spans:
        groups.setdefault((id(span.resource), id(span.instrumentation_scope)), []).append(span)
    return [
        {
            "resource": {"attributes": _attributes(members[0].resource.attributes)},
            "scopeSpans": [{"scope": {"name": _scope(members[0])}, "spans": [_span(span) for span in members]}],
        }
        for members in groups.values()
    ]


def _scope(span: ReadableSpan) -> str:
    return span.instrumentation_scope.name if span.instrumentation_scope is not None else ""


def _span(span: ReadableSpan) -> dict[str, Any]:
    written: dict[str, Any] = {
        **_ids(span.get_span_context()),
        "name": span.name,
        # The protocol counts from 1, for 0 means that the kind is unknown.
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": _attributes(span.attributes or {}),
        "status": {"code": span.status.status_code.value},
    }
    if span.parent is not None:
        written["parentSpanId"] = _ids(span.parent)["spanId"]
    if span.status.description:
        written["status"]["message"] = span.status.description
    if span.links:
        written["links"] = [{**_ids(link.context), "attributes": _attributes(link.attributes or {})} for link in span.links]
    if span.events:
        written["events"] = [
            {"timeUnixNano": str(event.timestamp), "name": event.name, "attributes": _attributes(event.attributes or {})}
            for event in span.events
        ]
    return written


def _ids(context: Any) -> dict[str, str]:
    return {"traceId": f"{context.trace_id:032x}", "spanId": f"{context.span_id:016x}"}


def _attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        # The JSON of protocol buffers has words for what JSON has no number for.
        return {"doubleValue": value if isfinite(value) else _WORDS.get(value, "NaN")}
    if isinstance(value, str):
        return {"stringValue": value}
    return {"arrayValue": {"values": [_value(each) for each in value]}}
