"""The settings of a simulation as one value: mode, membership, limits."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from coterie.errors import StageFailed, describe
from coterie.kernel import Checkpointable
from coterie.rounds.collecting import Reporter
from coterie.rounds.gathering import Closing
from coterie.rounds.graph import Graph
from coterie.rounds.proposals import Binding
from coterie.runtime import Dispatcher
from coterie.world import View, World
from coterie.world.resolvers import Resolver


class Mode(enum.StrEnum):
    """The choice of where agents wait for each other. The engine is the same in all modes."""

    LOCKSTEP = "lockstep"
    """After every stage, for all others."""
    SYNC_POINTS = "sync-points"
    """At together-stages, and at the end of the round. The same outcome as `LOCKSTEP`."""
    PIPELINES = "pipelines"
    """At the end of the round only. Every stage reads the round's opening view; a together-stage takes each agent's
    proposals alone, and its verdicts bind when the round closes."""
    TOKENS = "tokens"
    """Nowhere, except to stay within `max_lead` rounds of the slowest. A together-stage serves agents in the order of
    their arrival; that order is recorded, and replayed exactly."""

    @property
    def alone(self) -> bool:
        """True if a together-stage takes each agent alone."""
        return self in (Mode.PIPELINES, Mode.TOKENS)


class Activation(enum.StrEnum):
    """The order of the agents within a stage."""

    AT_ONCE = "at-once"
    """All see the same view; their intents are decided together at the next commit."""
    RANDOM = "random"
    """One after another, in an order that the seed gives anew for each round and stage. Each sees what those before it did."""
    BY_NAME = "by-name"
    """One after another, in the order of their names. Each sees what those before it did."""


class OnError(enum.StrEnum):
    """The reaction to a stage that raises for every agent in its first round."""

    RAISE = "raise"
    """The run stops with `StageFailed`, whose cause is the error. A turn that raises at any other time is forfeited."""
    FORFEIT = "forfeit"
    """The turns are forfeited, as at any other time."""


class Change(msgspec.Struct, frozen=True):
    """The agents that join and leave before a round."""

    join: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()


Membership: TypeAlias = Callable[[int, View], Change | None]
"""Takes the number of the next round and the view; returns the agents that join and leave. It must be pure and quick."""

Settle: TypeAlias = Callable[[Closing], object]
"""Takes the end of a round and changes the world by itself. It must be pure and quick."""


class Plan(msgspec.Struct, frozen=True, eq=False):
    """The settings of a simulation: world, agents, graph, mode, limits."""

    world: World
    agents: Mapping[str, Any]
    graph: Graph
    mode: Mode
    seed: int | str
    resolver: Resolver
    mechanisms: Mapping[str, Binding]
    settle: Settle | None
    membership: Membership | None
    members: Iterable[str] | None
    turn_timeout: float | None
    on_error: OnError
    halt_on: tuple[type[Exception], ...]
    max_lead: int | None
    round_seconds: float
    dispatcher: Dispatcher | None
    keep: Mapping[str, Checkpointable]
    checkpoints: bool
    spans: int
    activation: Activation = Activation.AT_ONCE
    born: Callable[[str], Any] | None = None
    """Returns the agent of a name that is born."""
    rules: str = ""
    """Text that identifies the rules; empty if it is not known."""
    collect: Mapping[str, Reporter] = {}
    """What to collect after each round, by column."""


def change_of(plan: Plan, number: int) -> Change:
    """Return the agents that join and leave before a round. Raises `StageFailed` if the function fails."""
    if plan.membership is None:
        return Change()
    try:
        change = plan.membership(number, plan.world.view())
    except Exception as error:
        raise StageFailed("membership", number, f"it raised {describe(error)}") from error
    if change is None:
        return Change()
    if not isinstance(change, Change):
        raise StageFailed("membership", number, f"it returned {change!r}; return Change(join=[...], leave=[...]), or None")
    given: tuple[Any, ...] = (change.join, change.leave)
    if any(isinstance(names, str) or not isinstance(names, Iterable) for names in given):
        raise StageFailed("membership", number, f"it returned {change!r}; both are lists of names")
    return Change(tuple(change.join), tuple(change.leave))
