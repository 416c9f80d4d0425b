"""The span of a run, in which the spans of its rounds are."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from coterie.rounds.engine.engine import RoundEngine
from coterie.telemetry import spans

P = ParamSpec("P")
S = TypeVar("S")


class RunResult(Protocol):
    """The result of a run."""

    @property
    def rounds(self) -> int:
        """The settled rounds."""
        ...

    @property
    def digest(self) -> str:
        """The digest of the world."""
        ...


R = TypeVar("R", bound=RunResult)


def in_run_span(drive: Callable[Concatenate[S, RoundEngine, P], R], /) -> Callable[Concatenate[S, RoundEngine, P], R]:
    """Return a method that drives an engine in one span. It also ends the spans of rounds that an error has left open."""

    @wraps(drive)
    def drive_in_span(self: S, engine: RoundEngine, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if not spans.is_tracing():
            return drive(self, engine, *args, **kwargs)
        plan = engine.plan
        about: dict[str, Any] = {"mode": str(plan.mode), "seed": str(plan.seed), "agents": len(plan.agents)}
        with spans.span("simulation", {f"coterie.{name}": value for name, value in about.items()}) as span:
            try:
                result = drive(self, engine, *args, **kwargs)
            except BaseException as error:
                for opened in engine.open.values():
                    opened.span.end(error)
                raise
            span.set({"coterie.rounds": result.rounds, "coterie.digest": result.digest})
            return result

    return drive_in_span
