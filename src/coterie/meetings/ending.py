"""When a meeting is over by itself: conditions that combine with ``|`` and ``&``.

::

    MaxTurns(20) | Said("done") | Silence(30)

A condition is data, so every member has it and can see for itself that it holds. The member that orders the events
closes the meeting when it does.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import msgspec

from coterie.errors import InvalidSetting
from coterie.kernel import check_instance, check_number

if TYPE_CHECKING:
    from coterie.meetings.minutes.records import Utterance
    from coterie.meetings.minutes.state import MeetingState


class Ending(msgspec.Struct, frozen=True, tag=True):
    """The base of all conditions. A condition keeps nothing: it is a function of the state and the time."""

    @abstractmethod
    def met(self, state: MeetingState, now: float) -> str:
        """Return why the meeting is over; an empty text if it is not."""

    def deadline(self, state: MeetingState, after: float) -> float | None:  # noqa: ARG002 - for overriding
        """Return when next after a time it may come to hold if nothing happens until then; None if never."""
        return None

    def __or__(self, other: Condition) -> AnyOf:
        return AnyOf((*_parts(self, AnyOf), *_parts(other, AnyOf)))

    def __and__(self, other: Condition) -> AllOf:
        return AllOf((*_parts(self, AllOf), *_parts(other, AllOf)))


class MaxTurns(Ending, frozen=True):
    """So many turns have been taken or missed. On an open floor each utterance is a turn."""

    turns: int

    def __post_init__(self) -> None:
        check_number("MaxTurns.turns", self.turns, least=1, whole=True)

    def met(self, state: MeetingState, now: float) -> str:  # noqa: ARG002, D102 - see Ending
        return f"{self.turns} turns are over" if state.turns >= self.turns else ""


class Said(Ending, frozen=True):
    """Somebody, or `by`, has said something that contains a text; in data, a text anywhere in it that is equal to it.

    Once said, it holds: ``Said("done") & Silence(30)`` waits for silence after it, whatever else is said in between.
    """

    text: str
    by: str = ""
    """A member's name (or a reference, of which the name is kept); empty for anybody."""

    def __post_init__(self) -> None:
        check_instance("Said.text", self.text, str, "text")
        if not self.text:
            raise InvalidSetting("Said.text", self.text, "text that is not empty")
        msgspec.structs.force_setattr(self, "by", getattr(self.by, "name", self.by))
        check_instance("Said.by", self.by, str, "a name, or a reference")

    def met(self, state: MeetingState, now: float) -> str:  # noqa: ARG002, D102 - see Ending
        return state.first_said(self)

    def fits(self, utterance: Utterance) -> bool:
        """Return whether this is what was to be said."""
        return self.by in ("", utterance.by) and _contains(utterance.content, self.text)


class Silence(Ending, frozen=True):
    """Nobody has said anything for so many seconds."""

    seconds: float

    def __post_init__(self) -> None:
        check_number("Silence.seconds", self.seconds, above=0)

    def met(self, state: MeetingState, now: float) -> str:  # noqa: D102 - see Ending
        return f"nobody spoke for {self.seconds:g} s" if now >= state.quiet_since + self.seconds else ""

    def deadline(self, state: MeetingState, after: float) -> float | None:  # noqa: D102 - see Ending
        when = state.quiet_since + self.seconds
        return when if when > after else None


class Lasted(Ending, frozen=True):
    """The meeting has lasted so many seconds."""

    seconds: float

    def __post_init__(self) -> None:
        check_number("Lasted.seconds", self.seconds, above=0)

    def met(self, state: MeetingState, now: float) -> str:  # noqa: D102 - see Ending
        return f"{self.seconds:g} s are over" if now >= state.opened_at + self.seconds else ""

    def deadline(self, state: MeetingState, after: float) -> float | None:  # noqa: D102 - see Ending
        when = state.opened_at + self.seconds
        return when if when > after else None


class Decided(Ending, frozen=True):
    """Everybody has voted on a motion, or on any if none is named."""

    motion: str = ""

    def __post_init__(self) -> None:
        check_instance("Decided.motion", self.motion, str, "text")

    def met(self, state: MeetingState, now: float) -> str:  # noqa: ARG002, D102 - see Ending
        for name, motion in state.motions.items():
            if self.motion in ("", name) and set(state.members) <= set(motion.votes):
                return f"all have voted on {name!r}"
        return ""


class AnyOf(Ending, frozen=True):
    """One of several conditions holds; made by ``|``."""

    conditions: tuple[Condition, ...]

    def met(self, state: MeetingState, now: float) -> str:  # noqa: D102 - see Ending
        return next((reason for each in self.conditions if (reason := each.met(state, now))), "")

    def deadline(self, state: MeetingState, after: float) -> float | None:  # noqa: D102 - see Ending
        return _earliest(self.conditions, state, after)


class AllOf(Ending, frozen=True):
    """All of several conditions hold; made by ``&``."""

    conditions: tuple[Condition, ...]

    def met(self, state: MeetingState, now: float) -> str:  # noqa: D102 - see Ending
        reasons = [each.met(state, now) for each in self.conditions]
        return " and ".join(reasons) if all(reasons) else ""

    def deadline(self, state: MeetingState, after: float) -> float | None:  # noqa: D102 - see Ending
        # Not the last of them: a part may be one that holds already, whatever it has been waiting for.
        return _earliest(self.conditions, state, after)


Condition: TypeAlias = Union[MaxTurns, Said, Silence, Lasted, Decided, AnyOf, AllOf]  # noqa: UP007 - it names itself


def _parts(condition: Any, kind: type[AnyOf | AllOf]) -> tuple[Any, ...]:
    if not isinstance(condition, Ending):
        raise InvalidSetting("a condition", condition, "one of MaxTurns, Said, Silence, Lasted, Decided, joined by | and &")
    return condition.conditions if isinstance(condition, kind) else (condition,)


def _contains(content: Any, text: str) -> bool:
    if isinstance(content, str):
        return text in content
    if isinstance(content, dict):
        return any(_equals(each, text) for pair in content.items() for each in pair)
    return _equals(content, text)


def _equals(content: Any, text: str) -> bool:
    if isinstance(content, dict):
        return any(_equals(each, text) for pair in content.items() for each in pair)
    if isinstance(content, list | tuple):
        return any(_equals(each, text) for each in content)
    return bool(content == text)


def _earliest(conditions: Iterable[Ending], state: MeetingState, after: float) -> float | None:
    return min((when for each in conditions if (when := each.deadline(state, after)) is not None), default=None)
