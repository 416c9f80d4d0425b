"""The parts of a message's context that leave the process with it: the trace context, and chosen context variables."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextvars import Context, ContextVar
from typing import Any

import msgspec

from coterie.errors import EncodeFailed, InvalidSetting
from coterie.kernel import SystemClock
from coterie.kernel.clock import Throttle
from coterie.telemetry.trace_context import enter_trace, trace_headers

_log = logging.getLogger(__name__)

_MOST_BYTES = 8_192
"""Bytes of the values of all variables of one message."""
_MOST_WARNINGS = 10
"""Warnings of variables that cannot be read, in a minute."""


class CarriedContext(msgspec.Struct, frozen=True, omit_defaults=True):
    """The parts of a context on the wire, and in a store."""

    trace: dict[str, str] = {}
    """The headers of the trace context."""
    values: dict[str, bytes] = {}
    """The encoded values of variables, by name."""


class ContextCarrier:
    """Takes contexts apart and puts them together again. Safe from any thread; the variables never change.

    Only for messages that leave the process: within it a message has its whole context.
    """

    def __init__(self, variables: Iterable[ContextVar[Any]]) -> None:
        """Choose the variables; each is known by its name on both sides. Raises `InvalidSetting`."""
        need = "context variables of different names, such as [tenant, user]"
        try:
            chosen: list[Any] = list(variables)
        except TypeError:
            raise InvalidSetting("Runtime.context", variables, need) from None
        self._variables = {each.name: each for each in chosen if isinstance(each, ContextVar)}
        if len(self._variables) != len(chosen):
            raise InvalidSetting("Runtime.context", chosen, need)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(CarriedContext)
        self._throttle = Throttle(_MOST_WARNINGS, 60.0)

    def pack(self, context: Context | None) -> CarriedContext | None:
        """Return the parts of a context that leave the process; None if there are none.

        No code may run in the context. Raises `EncodeFailed` for a variable whose value is not plain data, or for values that are
        too large.
        """
        if context is None:
            return None
        values = {name: self._encoded(name, context[each]) for name, each in self._variables.items() if each in context}
        size = sum(map(len, values.values()))
        if size > _MOST_BYTES:
            reason = f"they have {size:,} bytes, and {_MOST_BYTES:,} may leave the process with a message"
            raise EncodeFailed(f"the context variables {', '.join(values)}", reason, "short values, such as identifiers")
        trace = trace_headers(context)
        return CarriedContext(trace, values) if trace or values else None

    def unpack(self, carried: CarriedContext | None) -> Context | None:
        """Return the context for a message that came from elsewhere; None without one.

        Variables that were not chosen here, and values or a trace context that make no sense, are left out.
        """
        if carried is None:
            return None
        context = Context()
        enter_trace(context, carried.trace)
        if sum(map(len, carried.values.values())) > _MOST_BYTES:
            self._warn("values of context variables that came with a message are too large, and were left out")
            return context
        for name, body in carried.values.items():
            variable = self._variables.get(name)
            if variable is None:
                continue
            try:
                value = msgspec.msgpack.decode(body)
            except (msgspec.DecodeError, RecursionError) as error:
                self._warn(f"the value of the context variable {name!r} makes no sense, and was left out: {error}")
            else:
                context.run(variable.set, value)
        return context

    def to_bytes(self, context: Context | None) -> bytes | None:
        """Return the parts of a context for a store; see `pack`."""
        carried = self.pack(context)
        return None if carried is None else self._encoder.encode(carried)

    def from_bytes(self, body: bytes | None) -> Context | None:
        """Return the context that `to_bytes` has taken apart; see `unpack`."""
        if body is None:
            return None
        try:
            return self.unpack(self._decoder.decode(body))
        except (msgspec.DecodeError, RecursionError) as error:
            self._warn(f"the stored context of a message makes no sense, and was left out: {error}")
            return None

    def _encoded(self, name: str, value: Any) -> bytes:
        try:
            body = self._encoder.encode(value)
            same = msgspec.msgpack.decode(body)
        except Exception as error:
            raise _not_plain(name, error) from error
        if same != value or type(same) is not type(value):
            raise _not_plain(name, f"it would arrive as {type(same).__qualname__}, not {type(value).__qualname__}")
        return body

    def _warn(self, text: str) -> None:
        if self._throttle.permit(SystemClock.monotonic()) is not None:
            _log.warning("%s", text)


def _not_plain(name: str, reason: object) -> EncodeFailed:
    use = "text, numbers, bytes, or lists and dicts of those"
    return EncodeFailed(f"the context variable {name!r}", reason, use)
