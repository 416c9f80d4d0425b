"""Traces by OpenTelemetry (extra `otel`): to a file, to a collector, or to the program's own provider."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from coterie.errors import ExtraMissing, InvalidSetting
from coterie.telemetry.spans import drop_recorder, is_tracing, take_recorder


class Tracing:
    """Records spans of all runtimes, conversations and simulations of the process, from its making to `close`.

    ::

        with Tracing("trace.json"):
            ...

    `to` is the path of a file, which gets OTLP in JSON and is complete at any time; the address of an OTLP collector, such as
    ``http://localhost:4318``; or an OpenTelemetry ``TracerProvider`` of the program, which the program configures and closes.
    The prompts, answers, arguments and results of users, agents and models are recorded only with `content`; masked secrets
    stay masked. `service` is the name of the program in the trace.

    One at a time may be open in a process. Raises `ExtraMissing` without the extra `otel`, `InvalidSetting`, and `OSError` for
    a file that cannot be written.
    """

    def __init__(self, to: str | Path | Any, *, content: bool = False, service: str = "coterie") -> None:
        try:
            import opentelemetry.sdk.trace  # noqa: F401, PLC0415 - only with the extra
        except ImportError as error:
            raise ExtraMissing("a trace", "otel") from error
        from coterie.telemetry.recording import OtelRecorder, provider_for  # noqa: PLC0415 - as above

        own = isinstance(to, str | Path)
        if not own and not callable(getattr(to, "get_tracer", None)):
            raise InvalidSetting("Tracing.to", to, "a path, the address of a collector, or a TracerProvider")
        if is_tracing():
            raise _second(to)
        self._own = own
        self._provider: Any = provider_for(to, service) if isinstance(to, str | Path) else to
        self._recorder = OtelRecorder(self._provider, content=content)
        if not take_recorder(self._recorder):
            self._end()
            raise _second(to)
        self._open = True

    @property
    def provider(self) -> Any:
        """The provider of OpenTelemetry: `provider.get_tracer("mine")` makes spans of the program's own in the same trace."""
        return self._provider

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def flush(self) -> None:
        """Write or send all spans that have ended. Blocks."""
        if hasattr(self._provider, "force_flush"):
            self._provider.force_flush()

    def close(self) -> None:
        """Record no more spans, and write those that have ended. Closing twice is harmless."""
        if self._open:
            self._open = False
            drop_recorder(self._recorder)
            self._end()

    def _end(self) -> None:
        if self._own:
            self._provider.shutdown()
        else:
            self.flush()


def _second(to: object) -> InvalidSetting:
    return InvalidSetting("Tracing.to", to, "no other open Tracing: a process has one, so close the other first")
