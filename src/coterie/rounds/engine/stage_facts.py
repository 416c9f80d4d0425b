"""The constant facts about a stage of a graph."""

from __future__ import annotations

import msgspec

from coterie.rounds.graph import END, Graph, Stage


class StageFacts(msgspec.Struct, frozen=True, eq=False):
    """A stage, and what follows from its graph. Worked out once, for it is needed in each turn."""

    stage: Stage
    place: int
    """Its position in the graph."""
    may_be_last: bool
    """Whether a round can end after it without another per-agent stage."""
    target: str | None
    """The stage after it; None if conditions decide."""
    chosen: bool
    """Whether only some agents do it."""


def facts_of(graph: Graph) -> dict[str, StageFacts]:
    """Return the facts about all stages, by name."""
    found = {}
    for stage in graph.stages:
        conditional = stage.name in graph.conditional
        target = None if conditional else next((edge.target for edge in graph.edges if edge.source == stage.name), END)
        place, last = graph.places[stage.name], graph.may_be_last(stage.name)
        found[stage.name] = StageFacts(stage, place, last, target, bool(stage.of or stage.for_all))
    return found
