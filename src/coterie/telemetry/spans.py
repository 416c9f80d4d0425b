"""Spans: what happened, when, and within what. They are recorded while a `Tracing` is open; otherwise none is made.

The rooms call `span` and `begin` here, and know nothing of OpenTelemetry. Without a `Tracing` both return `NO_SPAN` at once;
on paths that take microseconds, ask `is_tracing` first, and make no attributes without need.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import Context
from typing import Literal, Protocol, TypeAlias

from coterie.concurrency import Rank, new_lock

Value: TypeAlias = str | bool | int | float | Sequence[str]
Attributes: TypeAlias = Mapping[str, Value]
SpanKind = Literal["internal", "client", "consumer"]


class TraceSpan:
    """One span. This class is the span that is not recorded: its methods do nothing. Safe from any thread."""

    __slots__ = ()

    def set(self, attributes: Attributes) -> None:
        """Set attributes."""

    def set_content(self, name: str, content: Callable[[], str]) -> None:
        """Set an attribute to a text of users, agents or models, if the trace records such content."""

    def fail(self, error: BaseException | str) -> None:
        """Mark the span as failed."""

    def end(self, error: BaseException | None = None) -> None:
        """End the span, as failed if there is an error. Only the first call counts."""

    def within(self) -> AbstractContextManager[None]:
        """Return a context manager in which this span is the current one: the parent of spans, and the sender of messages."""
        return nullcontext()


class SpanRecorder(Protocol):
    """Makes spans: an open `Tracing`."""

    def begin(self, name: str, attributes: Attributes, kind: SpanKind, parent: Context | None, *, linked: bool) -> TraceSpan:
        """Begin a span; see `begin`."""
        ...


class SpanListener(Protocol):
    """An object that depends on whether spans are recorded."""

    def spans_changed(self) -> None:
        """Note that a `Tracing` has opened or closed. Called on that thread; it must not block."""
        ...


class _Slot:
    """The place of the process's recorder. OpenTelemetry has one current span for a process too, and one place for exports."""

    recorder: SpanRecorder | None = None


NO_SPAN = TraceSpan()
"""The span that is not recorded."""
_NOTHING: Attributes = {}
_slot = _Slot()
_listeners: weakref.WeakSet[SpanListener] = weakref.WeakSet()
_lock = new_lock(Rank.RECORDS)
"""Guards the change of the recorder; reading it is one step."""


def is_tracing() -> bool:
    """Return whether spans are recorded."""
    return _slot.recorder is not None


def begin(
    name: str,
    attributes: Attributes = _NOTHING,
    *,
    kind: SpanKind = "internal",
    parent: Context | None = None,
    linked: bool = False,
) -> TraceSpan:
    """Begin a span, and return it. The caller ends it.

    Its parent is the current span, or that of the context `parent`. With `linked` it also has a link to its parent: it was
    caused by that, which does not wait for it.
    """
    recorder = _slot.recorder
    return NO_SPAN if recorder is None else recorder.begin(name, attributes, kind, parent, linked=linked)


def span(
    name: str,
    attributes: Attributes = _NOTHING,
    *,
    kind: SpanKind = "internal",
    parent: Context | None = None,
    linked: bool = False,
) -> AbstractContextManager[TraceSpan]:
    """Return a context manager that is one span, and the current one. An exception that leaves it marks it as failed."""
    if _slot.recorder is None:
        return _NOT_RECORDED
    return _recorded(begin(name, attributes, kind=kind, parent=parent, linked=linked))


@contextmanager
def _recorded(began: TraceSpan) -> Iterator[TraceSpan]:
    try:
        with began.within():
            yield began
    except BaseException as error:
        began.end(error)
        raise
    began.end()


_NOT_RECORDED = nullcontext(NO_SPAN)


def on_change(listener: SpanListener) -> None:
    """Tell an object whenever a `Tracing` opens or closes, for as long as it lives."""
    _listeners.add(listener)


def take_recorder(recorder: SpanRecorder) -> bool:
    """Make a recorder that of the process; return False if there is another. Only `Tracing` calls this."""
    with _lock:
        if _slot.recorder is not None:
            return False
        _slot.recorder = recorder
    _tell()
    return True


def drop_recorder(recorder: SpanRecorder) -> None:
    """Record no more spans by a recorder. Only `Tracing` calls this."""
    with _lock:
        if _slot.recorder is recorder:
            _slot.recorder = None
    _tell()


def _tell() -> None:
    for listener in list(_listeners):
        listener.spans_changed()
