"""A collector of OTLP over HTTP, and readers of spans."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from coterie.concurrency import start_thread


@dataclass(frozen=True)
class Read:
    """A span, as it was read."""

    trace: str
    id: str
    parent: str
    name: str
    kind: int
    began: int
    ended: int
    links: tuple[str, ...]
    failed: bool
    attributes: dict[str, Any] = field(hash=False)


class Spans(list[Read]):
    """The spans of a trace, with their relations."""

    def one(self, name: str, **attributes: Any) -> Read:
        """Return the only span of a name, and with attributes, whose dots are underscores here."""
        found = self.named(name, **attributes)
        assert len(found) == 1, [(each.name, each.attributes) for each in (found or self)]
        return found[0]

    def named(self, name: str, **attributes: Any) -> list[Read]:
        wanted = attributes.items()
        return [
            each
            for each in self
            if each.name == name
            and all(
                {key.replace(".", "_"): one for key, one in each.attributes.items()}.get(key) == value for key, value in wanted
            )
        ]

    def parent_of(self, span: Read) -> Read:
        (parent,) = [each for each in self if each.id == span.parent]
        assert parent.trace == span.trace
        return parent

    def path(self, span: Read) -> list[str]:
        """Return the names of a span and of those around it, inner first."""
        names = [span.name]
        while span.parent:
            span = self.parent_of(span)
            names.append(span.name)
        return names


class Collector:
    """A server that takes spans."""

    def __init__(self) -> None:
        self.spans = Spans()
        collected = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
                collected.extend(_of_request(request))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = start_thread(self._server.serve_forever, "collector")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def collector() -> Iterator[Collector]:
    made = Collector()
    try:
        yield made
    finally:
        made.close()


def read_file(path: Path) -> Spans:
    """Return the spans of a file, which must be one JSON document of OTLP that the parser of the protocol's own schema takes."""
    check_schema(json.loads(path.read_text()))
    return Spans(
        Read(
            each["traceId"],
            each["spanId"],
            each.get("parentSpanId", ""),
            each["name"],
            each["kind"],
            int(each["startTimeUnixNano"]),
            int(each["endTimeUnixNano"]),
            tuple(link["spanId"] for link in each.get("links", ())),
            each["status"]["code"] == 2,
            {one["key"]: _plain(one["value"]) for one in each["attributes"]},
        )
        for resource in json.loads(path.read_text())["resourceSpans"]
        for scope in resource["scopeSpans"]
        for each in scope["spans"]
    )


def check_schema(document: Any) -> None:
    """Parse a document by the schema of the protocol. Raises `ParseError` for a field or a value that it does not know.

    OTLP writes ids in hexadecimal, where the JSON of protocol buffers has base64.
    """
    ids = {"traceId", "spanId", "parentSpanId"}

    def changed(value: Any) -> Any:
        if isinstance(value, list):
            return list(map(changed, value))
        if isinstance(value, dict):
            return {
                key: b64encode(bytes.fromhex(each)).decode() if key in ids else changed(each) for key, each in value.items()
            }
        return value

    parse: Any = json_format.Parse
    parse(json.dumps(changed(document)), TracesData())


def _plain(value: dict[str, Any]) -> Any:
    ((kind, given),) = value.items()
    if kind == "arrayValue":
        return [_plain(each) for each in given["values"]]
    return int(given) if kind == "intValue" else given


def _of_request(request: Any) -> Iterator[Read]:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for each in scope.spans:
                attributes = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in each.attributes}
                yield Read(
                    each.trace_id.hex(),
                    each.span_id.hex(),
                    each.parent_span_id.hex(),
                    each.name,
                    each.kind,
                    each.start_time_unix_nano,
                    each.end_time_unix_nano,
                    tuple(link.span_id.hex() for link in each.links),
                    each.status.code == 2,
                    attributes,
                )
