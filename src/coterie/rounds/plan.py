"""What a simulation is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from coterie.kernel import Checkpointable
from coterie.rounds.graph.graph import Graph
from coterie.rounds.mode import Mode
from coterie.rounds.turns.gathering import Closing
from coterie.rounds.turns.proposals import Binding
from coterie.runtime import Dispatcher
from coterie.world import View, World
from coterie.world.resolvers import Resolver


class Change(msgspec.Struct, frozen=True):
    """Who joins and who leaves before a round."""

    join: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()


Membership: TypeAlias = Callable[[int, View], Change | None]
"""Takes the number of the round that is about to begin and the view; returns who joins and leaves. Pure, and quick."""

Settle: TypeAlias = Callable[[Closing], object]
"""Takes a round that closes, and says what becomes of the world by itself. Pure, and quick."""


class Plan(msgspec.Struct, frozen=True, eq=False):
    """What a simulation is made of: world, agents, graph, mode, and how they are run."""

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
    halt_on: tuple[type[Exception], ...]
    max_lead: int | None
    round_seconds: float
    dispatcher: Dispatcher | None
    keep: Mapping[str, Checkpointable]
    checkpoints: bool
    spans: int
