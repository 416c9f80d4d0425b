"""The contract of a mind: a situation in, a decision out; and a mind with a fallback."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from types import UnionType
from typing import Any, Protocol, TypeAlias

from coterie.errors import describe
from coterie.kernel import Checkpointable, check_number
from coterie.personas.mind.actions import ActionSet
from coterie.personas.mind.state import ActionRecord, MentalState, PersonaAction, Stimulus, StimulusKind
from coterie.personas.profile.persona import Persona


@dataclass(frozen=True, slots=True)
class Situation:
    """The input of a decision. Frozen; one for every step."""

    persona: Persona
    who: str
    """The name of the agent."""
    mental_state: MentalState
    actions: ActionSet
    """The possible actions."""
    stimuli: tuple[Stimulus, ...] = ()
    """Stimuli since the last decision, oldest first."""
    recent: tuple[str, ...] = ()
    """The latest memories, oldest first, one line each."""
    accessible: Mapping[str, str] = field(default_factory=dict)
    """The names of the accessible agents, each with the relation to this persona."""
    documents: tuple[str, ...] = ()
    """The names of the documents to consult."""
    location: str = ""
    taken: tuple[ActionRecord, ...] = ()
    """The actions of this episode so far."""
    label: str = ""
    """Names the decision, for example ``episode 3/step 1``; the same in every run of the same simulation."""
    step: int = 1
    """The step of the episode, counted from 1."""
    random: Random = field(default_factory=lambda: Random(0))  # noqa: S311 - not for secrets
    """A random stream of this decision's own."""
    world: Mapping[str, Any] = field(default_factory=dict)
    """The view of the world, in a simulation."""

    def heard(self) -> tuple[Stimulus, ...]:
        """Return the speech heard since the last decision."""
        return tuple(each for each in self.stimuli if each.kind is StimulusKind.CONVERSATION)


@dataclass(frozen=True, slots=True)
class Decision:
    """The result of a decision, with its provenance."""

    actions: tuple[PersonaAction, ...] = ()
    mental_state: MentalState | None = None
    """The new mental state; None for no change."""
    fallback: str = ""
    """The reason why a fallback decided; empty if the first mind did. It is recorded."""
    attempts: int = 1
    """The number of attempts of the mind."""


_FIELDS = (("kind", str), ("content", str), ("target", str), ("arguments", dict))
"""The fields of an action, and their types."""
_STATE_OR_NONE = MentalState | None

Decided: TypeAlias = Decision | Sequence[PersonaAction] | PersonaAction | None


class Mind(Protocol):
    """Decides on the actions of a persona. It is called on the persona's own thread, once a step, one call at a time.

    A mind is copied at spawn, unless its `__deepcopy__` returns itself. Checkpoints hold its state if it has `snapshot` and
    `restore`.
    """

    async def decide(self, situation: Situation) -> Decided:
        """Return actions in their order; None or no action ends the episode."""
        ...


def as_decision(decided: Decided) -> Decision:
    """Return the result of a mind as a `Decision`. Raises `TypeError` for other values."""
    if isinstance(decided, Decision):
        actions: Any = decided.actions
        found = decided
    else:
        actions = () if decided is None else (decided,) if isinstance(decided, PersonaAction) else decided
        found = Decision()
    if isinstance(actions, str) or not isinstance(actions, Sequence):
        raise TypeError(f"a mind returned a {type(actions).__qualname__}: return actions, or a Decision")
    for each in actions:
        _check(each, PersonaAction, "among its actions")
        for name, kind in _FIELDS:
            _check(getattr(each, name), kind, "as the {} of an action", name)
        _check(each.mental_state, _STATE_OR_NONE, "as the mental state after an action")
    _check(found.mental_state, _STATE_OR_NONE, "as its mental state")
    _check(found.fallback, str, "as the reason for a fallback")
    _check(found.attempts, int, "as its attempts")
    return Decision(tuple(actions), found.mental_state, found.fallback, found.attempts)


def _check(value: object, kind: type | UnionType, place: str, field: str = "") -> None:
    if not isinstance(value, kind):
        raise TypeError(f"a mind returned a {type(value).__qualname__} {place.format(field)}")


class FallbackMind:
    """Asks `first`; asks `fallback` if the first raises or takes more than `timeout` seconds.

    The decision then holds the reason, and the agent records it. Errors in `raises` are raised.
    """

    def __init__(
        self, first: Mind, fallback: Mind, *, timeout: float | None = None, raises: tuple[type[Exception], ...] = ()
    ) -> None:
        check_number("FallbackMind.timeout", timeout, above=0, optional=True)
        self.first = first
        self.fallback = fallback
        self._timeout = timeout
        self._raises = raises

    async def decide(self, situation: Situation) -> Decision:
        """Return the decision of the first mind, or of the fallback. Raises the errors of the fallback."""
        try:
            async with asyncio.timeout(self._timeout) as limit:
                return as_decision(await self.first.decide(situation))
        except self._raises:
            raise
        except Exception as error:  # noqa: BLE001 - the decision holds the reason
            late = isinstance(error, TimeoutError) and limit.expired()
            reason = f"it took more than {self._timeout:g} s" if late and self._timeout is not None else describe(error)
        decision = as_decision(await self.fallback.decide(situation))
        return Decision(decision.actions, decision.mental_state, reason, decision.attempts)

    def snapshot(self) -> Any:
        """Return the states of both, where they have one."""
        return [each.snapshot() if isinstance(each, Checkpointable) else None for each in (self.first, self.fallback)]

    def restore(self, state: Any) -> None:
        """Give both their states back."""
        for each, kept in zip((self.first, self.fallback), state, strict=True):
            if isinstance(each, Checkpointable) and kept is not None:
                each.restore(kept)
