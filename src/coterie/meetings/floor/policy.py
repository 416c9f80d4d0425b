"""What a policy of the floor is, and the three that need nobody to decide: open, round robin, raised hands.

A policy is data, and its methods are pure functions of a meeting's state. The member that orders the events refuses by
it what is out of turn, and every member folds by it, so what one let through wrongly counts nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from coterie.errors import InvalidSetting
from coterie.kernel import check_number

if TYPE_CHECKING:
    from coterie.meetings.minutes.events import Event
    from coterie.meetings.minutes.state import MeetingState


class Turn(msgspec.Struct, frozen=True):
    """Whose the floor is."""

    number: int
    """Counted from 1 over the meeting."""
    holders: tuple[str, ...]
    """Who may speak; empty for whoever the policy lets."""
    since: float
    """When it began, in seconds since 1970."""
    limit: float | None = None
    """Seconds that it may take."""
    choosing: bool = False
    """Whether a selector has yet to choose."""

    @property
    def until(self) -> float | None:
        """When it is missed; None if it may take for ever, or is nobody's."""
        return None if self.limit is None or not self.holders else self.since + self.limit


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all policies. To write one of your own, subclass it at the top of a module and override `next`.

    A method that raises does no harm: that is recorded, and the floor goes to the next member in the order of joining.
    """

    turn_limit: float | None = None
    """Seconds that a turn may take; None sets no limit. Then the turn is missed, which is recorded, and passed on."""

    def __post_init__(self) -> None:
        check_number(f"{type(self).__name__}.turn_limit", self.turn_limit, above=0, optional=True)

    @property
    def chooses(self) -> bool:
        """Whether somebody's function chooses, rather than a rule that every member can compute."""
        return False

    def next(self, state: MeetingState, last: str) -> tuple[str, ...]:  # noqa: ARG002 - for overriding
        """Return who has the floor now that `last` had it; empty if it is nobody's in particular."""
        return ()

    def objection(self, state: MeetingState, by: str, event: Event) -> str:  # noqa: ARG002 - for overriding
        """Return why a member may not say this now; an empty text if it may."""
        return not_its_turn(state, by)

    def keeps_floor(self, state: MeetingState, event: Event) -> bool:  # noqa: ARG002 - for overriding
        """Return whether who has the floor keeps it after this."""
        return False

    def limit(self, state: MeetingState, holders: tuple[str, ...]) -> float | None:  # noqa: ARG002 - for overriding
        """Return how many seconds those who get the floor now may keep it; None for any number."""
        return self.turn_limit


def not_its_turn(state: MeetingState, by: str) -> str:
    """Return why a member may not speak if only who has the floor may; an empty text if it has it, or nobody has."""
    turn = state.turn
    if turn.choosing:
        return "who speaks next is being chosen"
    if turn.holders and by not in turn.holders:
        return f"it is the turn of {' and '.join(turn.holders)}"
    return ""


def following(state: MeetingState, last: str, order: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the member that comes after `last` in an order of names, by default that of joining; the first after the last."""
    names = list(order) or list(state.order)
    start = names.index(last) + 1 if last in names else 0
    for name in names[start:] + names[:start]:
        if name in state.members:
            return (name,)
    return ()


class Open(Floor, frozen=True, kw_only=True):
    """Everybody may speak at any time."""

    def objection(self, state: MeetingState, by: str, event: Event) -> str:  # noqa: ARG002, D102 - see Floor
        return ""


class RoundRobin(Floor, frozen=True, kw_only=True):
    """One after the other, an utterance each, in the order of joining with the caller first; or as `order` says."""

    order: tuple[Any, ...] = ()
    """Names (or references, of which the names are kept) of those who take turns; the others only listen. Empty for all."""

    def __post_init__(self) -> None:
        Floor.__post_init__(self)
        names = tuple(getattr(member, "name", member) for member in self.order)
        if not all(isinstance(name, str) for name in names):
            raise InvalidSetting("RoundRobin.order", self.order, "names or references, in their order")
        msgspec.structs.force_setattr(self, "order", names)

    def next(self, state: MeetingState, last: str) -> tuple[str, ...]:  # noqa: D102 - see Floor
        return following(state, last, self.order)

    def objection(self, state: MeetingState, by: str, event: Event) -> str:  # noqa: ARG002, D102 - see Floor
        return not_its_turn(state, by) or ("" if state.turn.holders else "none of those who take turns is here")


class RaisedHands(Floor, frozen=True, kw_only=True):
    """Who raised a hand first speaks first, one utterance for each hand."""

    def next(self, state: MeetingState, last: str) -> tuple[str, ...]:  # noqa: ARG002, D102 - see Floor
        return state.hands[:1]

    def objection(self, state: MeetingState, by: str, event: Event) -> str:  # noqa: ARG002, D102 - see Floor
        return not_its_turn(state, by) or ("" if state.turn.holders else "raise a hand first")
