"""Mechanisms that agents propose, and the verdicts on them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import msgspec

from coterie.world import View, thaw
from coterie.world.resolvers import Resolver

Binding: TypeAlias = Callable[[Resolver, Mapping[str, Any]], Resolver]
"""Applies a mechanism: takes the resolver without it and its parameters, returns the resolver with it. Raises if the
parameters are invalid."""

_log = logging.getLogger(__name__)
_FIELDS = {"parameters", "by", "since", "reason"}

PREFIX = "mechanism/"
"""Prefix of the world's keys for mechanisms in force: one of each kind, the one accepted last."""


class Proposal(msgspec.Struct, frozen=True):
    """A mechanism that an agent proposes: a kind of rule with parameters."""

    agent: str
    kind: str
    parameters: Mapping[str, Any] = {}
    round: int = 0
    stage: int = 0
    index: int = 0

    def accepted(self, reason: str) -> dict[str, Any]:
        """Return the world's entry for it once it is accepted."""
        return {
            f"{PREFIX}{self.kind}": {
                "parameters": thaw(self.parameters),
                "by": self.agent,
                "since": self.round,
                "reason": reason,
            }
        }


class Verdict(msgspec.Struct, frozen=True):
    """The verdict on a proposal, and its reason."""

    proposal: Proposal
    accepted: bool
    reason: str


def bound(resolver: Resolver, bindings: Mapping[str, Binding], view: View) -> Resolver:
    """Return `resolver` with all mechanisms in force in `view`, applied in the order of their kinds.

    An entry that no accepted proposal made, or whose function raises, is not in force, and is logged.
    """
    for kind in sorted(bindings):
        entry = view.get(f"{PREFIX}{kind}")
        if entry is None:
            continue
        if not (isinstance(entry, Mapping) and entry.keys() == _FIELDS and isinstance(entry["parameters"], Mapping)):
            _log.warning("%s%s is %r, which no accepted proposal made; it is not in force", PREFIX, kind, entry)
            continue
        try:
            resolver = bindings[kind](resolver, entry["parameters"])
        except Exception:  # noqa: BLE001 - one mechanism cannot end the run of all
            _log.exception("the mechanism %s cannot be applied; it is not in force", kind)
    return resolver


def problem_of(proposal: Proposal, bindings: Mapping[str, Binding], resolver: Resolver) -> str:
    """Return the reason that makes a proposal invalid; an empty text if it is valid."""
    if proposal.kind not in bindings:
        return f"no such mechanism: {proposal.kind}; there are {', '.join(sorted(bindings)) or 'none'}"
    try:
        bindings[proposal.kind](resolver, proposal.parameters)
    except Exception as error:  # noqa: BLE001 - it becomes the reason of the rejection
        return f"its parameters are invalid: {error}"
    return ""


def checked(
    proposals: Iterable[Proposal], bindings: Mapping[str, Binding], resolver: Resolver
) -> tuple[list[Proposal], list[Verdict]]:
    """Return the valid proposals, and the rejections of the others."""
    sound, unsound = [], []
    for proposal in proposals:
        problem = problem_of(proposal, bindings, resolver)
        if problem:
            unsound.append(Verdict(proposal, False, problem))  # noqa: FBT003 - a field
        else:
            sound.append(proposal)
    return sound, unsound
