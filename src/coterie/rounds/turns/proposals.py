"""Mechanisms that agents propose, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from coterie.world import View, thaw
from coterie.world.resolvers import Resolver

Binding: TypeAlias = Callable[[Resolver, Mapping[str, Any]], Resolver]
"""How a mechanism binds: takes the resolver that decides without it, and its parameters; returns the one that decides
with it. It raises if the parameters make no sense."""

PREFIX = "mechanism/"
"""What begins the keys under which accepted mechanisms are in the world: one of each kind, the last accepted."""


class Proposal(msgspec.Struct, frozen=True):
    """A mechanism that somebody proposes: a kind of rule, with parameters."""

    agent: str
    kind: str
    parameters: Mapping[str, Any] = {}
    round: int = 0
    stage: int = 0
    index: int = 0

    def accepted(self, reason: str) -> dict[str, Any]:
        """Return what is in the world of it once it is accepted."""
        return {
            f"{PREFIX}{self.kind}": {
                "parameters": thaw(self.parameters),
                "by": self.agent,
                "since": self.round,
                "reason": reason,
            }
        }


class Verdict(msgspec.Struct, frozen=True):
    """What was decided about a proposal, and why."""

    proposal: Proposal
    accepted: bool
    reason: str


def bound(resolver: Resolver, bindings: Mapping[str, Binding], view: View) -> Resolver:
    """Return `resolver` with all mechanisms that are in force in `view`, in the order of their kinds."""
    for kind, mechanism in view.under(PREFIX).items():
        if kind in bindings:
            resolver = bindings[kind](resolver, mechanism["parameters"])
    return resolver


def problem_of(proposal: Proposal, bindings: Mapping[str, Binding], resolver: Resolver) -> str:
    """Return why a proposal cannot even be judged; an empty text if it can."""
    if proposal.kind not in bindings:
        return f"no such mechanism: {proposal.kind}; there are {', '.join(sorted(bindings)) or 'none'}"
    try:
        bindings[proposal.kind](resolver, proposal.parameters)
    except Exception as error:  # noqa: BLE001 - it is the reason for which the proposal is rejected
        return f"its parameters make no sense: {error}"
    return ""
