"""Termination conditions: they close a meeting by rule, and combine with ``|`` and ``&``.

::

    MaxTurns(20) | TextSaid("done") | Silence(30)

A condition is data, so every member has it and can check that it holds. The leader closes the meeting when it does.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, TypeAlias, Union

import msgspec

from coterie.errors import InvalidSetting
from coterie.kernel import check_instance, check_number
from coterie.meetings.state.records import MeetingView, Utterance


class TerminationCondition(msgspec.Struct, frozen=True, tag=True):
    """Base of the termination conditions: pure functions of a meeting's state and the time."""

    @abstractmethod
    def met(self, state: MeetingView, now: float) -> str:
        """Return why the meeting is over at the time `now`, in seconds since 1970; an empty text if it is not."""

    def deadline(self, state: MeetingView, after: float) -> float | None:  # noqa: ARG002 - for overriding
        """Return the next time after `after` at which it may hold if no event comes first, or None."""
        return None

    def __or__(self, other: AnyCondition) -> AnyOf:
        return AnyOf((*_parts(self, AnyOf), *_parts(other, AnyOf)))

    def __and__(self, other: AnyCondition) -> AllOf:
        return AllOf((*_parts(self, AllOf), *_parts(other, AllOf)))


class MaxTurns(TerminationCondition, frozen=True):
    """Holds after `turns` turns, taken or missed. On an open floor each utterance is a turn. Raises `InvalidSetting`."""

    turns: int

    def __post_init__(self) -> None:
        check_number("MaxTurns.turns", self.turns, least=1, whole=True)

    def met(self, state: MeetingView, now: float) -> str:  # noqa: ARG002, D102 - see TerminationCondition
        return f"{self.turns} turns are over" if state.turns >= self.turns else ""


class TextSaid(TerminationCondition, frozen=True, tag="Said"):
    """Holds once a member, or the member `by`, has said `text`: a part of a text, or a whole text anywhere in plain data.

    It holds from then on: ``TextSaid("done") & Silence(30)`` waits for a silence after it, also if members speak in between.
    Raises `InvalidSetting` for an empty text.
    """

    text: str
    by: str = ""
    """A member's name, or a reference, whose name is kept; empty for any member."""

    def __post_init__(self) -> None:
        check_instance("TextSaid.text", self.text, str, "text")
        if not self.text:
            raise InvalidSetting("TextSaid.text", self.text, "text that is not empty")
        msgspec.structs.force_setattr(self, "by", getattr(self.by, "name", self.by))
        check_instance("TextSaid.by", self.by, str, "a name, or a reference")

    def met(self, state: MeetingView, now: float) -> str:  # noqa: ARG002, D102 - see TerminationCondition
        said = state.first_match(self)
        return f"{said.by} said {self.text!r}" if said is not None else ""

    def matches(self, utterance: Utterance) -> bool:
        """Return whether the utterance has the speaker and the text."""
        return self.by in ("", utterance.by) and _contains(utterance.content, self.text)


class Silence(TerminationCondition, frozen=True):
    """Holds after `seconds` seconds without an utterance. Raises `InvalidSetting`."""

    seconds: float

    def __post_init__(self) -> None:
        check_number("Silence.seconds", self.seconds, above=0)

    def met(self, state: MeetingView, now: float) -> str:  # noqa: D102 - see TerminationCondition
        return f"nobody spoke for {self.seconds:g} s" if now >= state.quiet_since + self.seconds else ""

    def deadline(self, state: MeetingView, after: float) -> float | None:  # noqa: D102 - see TerminationCondition
        when = state.quiet_since + self.seconds
        return when if when > after else None


class Lasted(TerminationCondition, frozen=True):
    """Holds when the meeting has lasted `seconds` seconds. Raises `InvalidSetting`."""

    seconds: float

    def __post_init__(self) -> None:
        check_number("Lasted.seconds", self.seconds, above=0)

    def met(self, state: MeetingView, now: float) -> str:  # noqa: D102 - see TerminationCondition
        return f"{self.seconds:g} s are over" if now >= state.opened_at + self.seconds else ""

    def deadline(self, state: MeetingView, after: float) -> float | None:  # noqa: D102 - see TerminationCondition
        when = state.opened_at + self.seconds
        return when if when > after else None


class Decided(TerminationCondition, frozen=True):
    """Holds when all members have voted on a motion; by default on any motion. Raises `InvalidSetting`."""

    motion: str = ""

    def __post_init__(self) -> None:
        check_instance("Decided.motion", self.motion, str, "text")

    def met(self, state: MeetingView, now: float) -> str:  # noqa: ARG002, D102 - see TerminationCondition
        for name, motion in state.motions.items():
            if self.motion in ("", name) and set(state.members) <= set(motion.votes):
                return f"all have voted on {name!r}"
        return ""


class AnyOf(TerminationCondition, frozen=True):
    """Holds when one of several conditions does; made by ``|``."""

    conditions: tuple[AnyCondition, ...]

    def met(self, state: MeetingView, now: float) -> str:  # noqa: D102 - see TerminationCondition
        return next((reason for each in self.conditions if (reason := each.met(state, now))), "")

    def deadline(self, state: MeetingView, after: float) -> float | None:  # noqa: D102 - see TerminationCondition
        return _earliest(self.conditions, state, after)


class AllOf(TerminationCondition, frozen=True):
    """Holds when several conditions all do; made by ``&``."""

    conditions: tuple[AnyCondition, ...]

    def met(self, state: MeetingView, now: float) -> str:  # noqa: D102 - see TerminationCondition
        reasons = [each.met(state, now) for each in self.conditions]
        return " and ".join(reasons) if all(reasons) else ""

    def deadline(self, state: MeetingView, after: float) -> float | None:  # noqa: D102 - see TerminationCondition
        # The earliest and not the latest: some parts may hold already.
        return _earliest(self.conditions, state, after)


AnyCondition: TypeAlias = Union[MaxTurns, TextSaid, Silence, Lasted, Decided, AnyOf, AllOf]  # noqa: UP007 - it names itself


def combined_condition(ending: AnyCondition | None, max_turns: int | None, time_limit: float | None) -> AnyCondition | None:
    """Return one condition for the three arguments of `Meetings.call`; None if all are None. Raises `InvalidSetting`."""
    if ending is not None:
        check_instance("call.ending", ending, TerminationCondition, "a condition such as MaxTurns(20) | TextSaid('done')")
    parts: list[Any] = [ending] if ending is not None else []
    if max_turns is not None:
        parts.append(MaxTurns(max_turns))
    if time_limit is not None:
        parts.append(Lasted(time_limit))
    whole: Any = None
    for part in parts:
        whole = part if whole is None else whole | part
    return whole  # type: ignore[no-any-return] # only conditions were put there


def _parts(condition: Any, kind: type[AnyOf | AllOf]) -> tuple[Any, ...]:
    if not isinstance(condition, TerminationCondition):
        raise InvalidSetting("a condition", condition, "one of MaxTurns, TextSaid, Silence, Lasted, Decided, joined by | and &")
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


def _earliest(conditions: Iterable[TerminationCondition], state: MeetingView, after: float) -> float | None:
    return min((when for each in conditions if (when := each.deadline(state, after)) is not None), default=None)
