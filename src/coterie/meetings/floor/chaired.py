"""Policies by which somebody decides who speaks: a chair, or a function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from coterie.errors import InvalidSetting
from coterie.meetings.floor.policy import Floor, not_its_turn

if TYPE_CHECKING:
    from coterie.meetings.minutes.events import Event
    from coterie.meetings.minutes.state import MeetingState


class Chair(Floor, frozen=True, kw_only=True):
    """The chair speaks at any time and gives the floor; who got it says one thing and gives it back.

    A chair that is gone is replaced by who has been a member for longest.
    """

    chair: str = ""
    """Its name (or a reference, of which the name is kept); empty for the caller."""

    def __post_init__(self) -> None:
        Floor.__post_init__(self)
        msgspec.structs.force_setattr(self, "chair", getattr(self.chair, "name", self.chair))

    def presides(self, state: MeetingState) -> str:
        """Return who the chair is at present."""
        wanted = self.chair or state.caller
        return wanted if wanted in state.members else next((name for name in state.order if name in state.members), "")

    def next(self, state: MeetingState, last: str) -> tuple[str, ...]:  # noqa: ARG002, D102 - see Floor
        chair = self.presides(state)
        return (chair,) if chair else ()

    def objection(self, state: MeetingState, by: str, event: Event) -> str:  # noqa: ARG002, D102 - see Floor
        return "" if by == self.presides(state) else not_its_turn(state, by)

    def keeps_floor(self, state: MeetingState, event: Event) -> bool:  # noqa: ARG002, D102 - see Floor
        # The chair may go on, and who was given the floor does not lose it by what the chair throws in.
        return state.turn.holders == (self.presides(state),)

    def limit(self, state: MeetingState, holders: tuple[str, ...]) -> float | None:  # noqa: D102 - see Floor
        return None if holders == (self.presides(state),) else self.turn_limit


class Selector(Floor, frozen=True, kw_only=True):
    """A function picks who speaks next, of the state of the meeting.

    ::

        Selector(function=lambda state: "Ada" if state.turns % 2 else "Ben")

    It returns a name or a reference, or None to let everybody speak. It runs where the caller is, in the service that
    keeps the minutes, and its choice is recorded; should the caller be lost with its whole node, the floor goes round.
    It must be quick, and must not touch an agent.
    """

    function: Any
    """The function, of the meeting's state; on the wire an empty text."""

    def __post_init__(self) -> None:
        Floor.__post_init__(self)
        if not callable(self.function) and not isinstance(self.function, str):
            raise InvalidSetting("Selector.function", self.function, "a function of the meeting's state")

    @property
    def chooses(self) -> bool:  # noqa: D102 - see Floor
        return True

    def choose(self, state: MeetingState) -> str:
        """Return whom the function picks; an empty text for everybody. Raises what it raises, and `InvalidSetting`."""
        if isinstance(self.function, str):
            raise InvalidSetting("Selector.function", self.function, "a function that this node knows")
        chosen = self.function(state)
        name = "" if chosen is None else getattr(chosen, "name", chosen)
        if name and name not in state.members:
            raise InvalidSetting("the selector's choice", chosen, f"one of {', '.join(state.members)}, or None")
        return str(name)
