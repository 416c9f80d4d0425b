"""The trace context: its form, and its way in and out of contexts, with and without OpenTelemetry."""

import sys
from contextvars import Context, copy_context
from typing import Any

import pytest

from coterie.telemetry import current_traceparent, traceparent
from coterie.telemetry.trace_context import enter_trace, is_traceparent, trace_headers

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("text", [PARENT, PARENT[:-2] + "00", "01" + PARENT[2:], "cc" + PARENT[2:] + "-what-follows"])
def test_a_trace_context_of_this_or_a_later_version_is_taken(text: str) -> None:
    assert is_traceparent(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        None,
        7,
        PARENT.upper(),
        PARENT + "\n",
        PARENT + "-more",
        "ff" + PARENT[2:],
        PARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        PARENT.replace("b7ad6b7169203331", "0" * 16),
        "cc" + PARENT[2:] + "-" + "x" * 300,
    ],
)
def test_what_is_not_a_trace_context_is_ignored(text: Any) -> None:
    assert not is_traceparent(text)
    context = Context()
    enter_trace(context, {"traceparent": text})
    assert traceparent not in context
    context.run(traceparent.set, text)
    assert trace_headers(context) == {}


@pytest.fixture
def without_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "opentelemetry.trace", raising=False)


@pytest.mark.usefixtures("without_telemetry")
def test_the_variable_is_the_trace_context_without_opentelemetry() -> None:
    def run() -> None:
        assert current_traceparent() is None
        token = traceparent.set(PARENT)
        assert current_traceparent() == PARENT
        assert trace_headers(copy_context()) == {"traceparent": PARENT}
        traceparent.reset(token)

    Context().run(run)
    context = Context()
    enter_trace(context, {"traceparent": PARENT, "tracestate": "a=1"})
    assert context.run(current_traceparent) == PARENT


def test_the_current_span_of_opentelemetry_goes_out_and_one_that_arrives_is_current() -> None:
    trace = pytest.importorskip("opentelemetry.trace")
    context = Context()
    enter_trace(context, {"traceparent": PARENT, "tracestate": "a=1"})

    def span() -> tuple[str, str, str]:
        found = trace.get_current_span().get_span_context()
        return format(found.trace_id, "032x"), format(found.span_id, "016x"), found.trace_state.to_header()

    assert context.run(span) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "a=1")
    assert trace_headers(context) == {"traceparent": PARENT, "tracestate": "a=1"}
    # The span that is current now counts, not the context that once arrived.
    other = trace.SpanContext(1, 2, is_remote=False, trace_flags=trace.TraceFlags(1))

    def begin() -> str | None:
        attach: Any = sys.modules["opentelemetry.context"].attach
        attach(trace.set_span_in_context(trace.NonRecordingSpan(other)))
        return current_traceparent()

    assert context.run(begin) == f"00-{1:032x}-{2:016x}-01"


def test_malformed_state_is_left_out_and_the_trace_stays() -> None:
    for state in "x" * 600, "\x00", 7:
        context = Context()
        enter_trace(context, {"traceparent": PARENT, "tracestate": state})
        assert trace_headers(context)["traceparent"] == PARENT
