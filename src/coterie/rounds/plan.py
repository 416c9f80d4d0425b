"""The settings of a simulation as one value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from coterie.kernel import Checkpointable
from coterie.rounds.gathering import Closing
from coterie.rounds.graph import Graph
from coterie.rounds.mode import Mode, OnError
from coterie.rounds.proposals import Binding
from coterie.runtime import Dispatcher
from coterie.world import View, World
from coterie.world.resolvers import Resolver


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
    rules: str = ""
    """Text that identifies the rules; empty if it is not known."""
