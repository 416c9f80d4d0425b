"""The span of a run, in which the spans of its rounds are."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from coterie.rounds.plan import Plan
from coterie.telemetry import spans

P = ParamSpec("P")


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


class Runner(Protocol):
    """A simulation."""

    @property
    def plan(self) -> Plan:
        """Its settings."""
        ...


R = TypeVar("R", bound=RunResult)
S = TypeVar("S", bound=Runner)


def in_run_span(run: Callable[Concatenate[S, P], R], /) -> Callable[Concatenate[S, P], R]:
    """Return a method that runs a simulation in one span."""

    @wraps(run)
    def run_in_span(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if not spans.is_tracing():
            return run(self, *args, **kwargs)
        plan = self.plan
        about: dict[str, Any] = {"mode": str(plan.mode), "seed": str(plan.seed), "agents": len(plan.agents)}
        with spans.span("simulation", {f"coterie.{name}": value for name, value in about.items()}) as span:
            result = run(self, *args, **kwargs)
            span.set({"coterie.rounds": result.rounds, "coterie.digest": result.digest})
            return result

    return run_in_span
