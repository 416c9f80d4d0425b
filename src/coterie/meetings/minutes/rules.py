"""What may happen in a meeting when: the one place that both the orderer and every member's fold ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coterie.errors import describe
from coterie.meetings.floor.chaired import Chair
from coterie.meetings.floor.contract_net import ContractNet
from coterie.meetings.floor.policy import not_its_turn
from coterie.meetings.minutes import events
from coterie.meetings.minutes.events import AnyEvent, Refusal

if TYPE_CHECKING:
    from coterie.meetings.minutes.state import MeetingState

CONTRACT_NET = (events.Announced, events.Bid, events.Awarded, events.Reported)
UTTERANCES = (events.Spoke, *CONTRACT_NET)
"""What is delivered as an utterance, and uses a turn."""
_TURNS = frozenset((*UTTERANCES, events.TurnPassed))
_DUE = 1e-6
"""Seconds by which two clocks may differ in the last digit."""


def objection(state: MeetingState, by: str, event: AnyEvent, at: float) -> Refusal | None:
    """Return why `by` may not do this at the time `at`; None if it may."""
    kind = type(event)
    if kind is events.OrdererChanged:
        return None  # an epoch begins, also after the end
    if not state.is_open:
        return Refusal("closed", f"the meeting is over: {state.reason or 'it was closed'}")
    if by not in state.places:
        return Refusal("not-a-member", f"{by} is no member of this meeting")
    if kind in _TURNS:
        return _turn(state, by, event)
    check = _CHECKS.get(kind)
    problem = check(state, by, event, at) if check is not None else ""
    if problem:
        return Refusal("invalid" if kind in _INVALID else "not-allowed", problem)
    return None


def _turn(state: MeetingState, by: str, event: AnyEvent) -> Refusal | None:
    floor = state.floor
    if type(event) is events.Spoke:
        for name in event.to:
            if name not in state.places:
                return Refusal("invalid", f"{name} is no member of this meeting, so nothing can be said to it")
    elif type(event) is events.TurnPassed:
        return _passed(state, by)
    elif not isinstance(floor, ContractNet):
        return Refusal("not-allowed", f"the floor of this meeting is {type(floor).__name__}, no contract net")
    if state.turn.choosing:
        return Refusal("not-your-turn", not_its_turn(state, by))
    try:
        problem = str(floor.objection(state, by, event) or "")
    except Exception as error:  # noqa: BLE001 - somebody's policy; the orderer gets it into the minutes
        state.failure = state.failure or describe(error)
        problem = not_its_turn(state, by)
    if not problem:
        return None
    return Refusal("not-your-turn" if not_its_turn(state, by) else "not-allowed", problem)


def _passed(state: MeetingState, by: str) -> Refusal | None:
    if by in state.turn.holders:
        return None
    return Refusal("not-your-turn", not_its_turn(state, by) or "nobody has the floor")


def _opened(state: MeetingState, by: str, event: events.Opened, at: float) -> str:  # noqa: ARG001
    return "it has been opened"


def _by_orderer(state: MeetingState, by: str, event: AnyEvent, at: float) -> str:  # noqa: ARG001
    return "" if by == state.orderer else f"only {state.orderer}, which orders the events, can say so"


def _missed(state: MeetingState, by: str, event: events.TurnMissed, at: float) -> str:
    turn = state.turn
    if problem := _by_orderer(state, by, event, at):
        return problem
    if event.turn != turn.number or event.member not in turn.holders:
        return f"{event.member} does not have turn {event.turn}"
    return "" if turn.until is not None and at >= turn.until - _DUE else "its time is not over"


def _crashed(state: MeetingState, by: str, event: events.Crashed, at: float) -> str:  # noqa: ARG001
    return "" if event.member == by else f"{by} cannot say that {event.member} crashed"


def _given(state: MeetingState, by: str, event: events.TurnGiven, at: float) -> str:  # noqa: ARG001
    if event.member and event.member not in state.places:
        return f"{event.member} is no member of this meeting"
    if state.turn.choosing and by == state.orderer:
        return ""
    if isinstance(state.floor, Chair):
        chair = state.floor.presides(state)
        return "" if by == chair else f"only the chair, {chair}, gives the floor"
    return f"nobody gives the floor when its policy is {type(state.floor).__name__}"


def _invited(state: MeetingState, by: str, event: events.Invited, at: float) -> str:  # noqa: ARG001
    if event.guest in state.places:
        return f"{event.guest} is a member already"
    return f"{event.guest} has been invited already" if event.guest in state.invitations else ""


def _declined(state: MeetingState, by: str, event: events.Declined, at: float) -> str:  # noqa: ARG001
    return "" if event.guest in state.invitations else f"{event.guest} is not invited, or has answered"


def _joined(state: MeetingState, by: str, event: events.Joined, at: float) -> str:  # noqa: ARG001
    if event.member.name in state.places:
        return f"{event.member.name} is a member already"
    return "" if event.member.name in state.invitations else f"{event.member.name} is not invited"


def _left(state: MeetingState, by: str, event: events.Left, at: float) -> str:  # noqa: ARG001
    if event.member not in state.places:
        return f"{event.member} is no member of this meeting"
    return "" if by in (event.member, state.orderer) else f"{by} cannot make {event.member} leave"


def _reacted(state: MeetingState, by: str, event: events.Reacted, at: float) -> str:  # noqa: ARG001
    return "" if 0 < event.to <= state.sequence else f"there is no event {event.to} to react to"


def _raised(state: MeetingState, by: str, event: events.HandRaised, at: float) -> str:  # noqa: ARG001
    return f"{by} has raised its hand already" if by in state.hands else ""


def _lowered(state: MeetingState, by: str, event: events.HandLowered, at: float) -> str:  # noqa: ARG001
    return "" if by in state.hands else f"{by} has not raised its hand"


def _motion(state: MeetingState, by: str, event: events.MotionPut, at: float) -> str:  # noqa: ARG001
    if event.motion in state.all_motions:
        return f"{event.motion!r} has been put to the vote already"
    return "" if len(set(event.choices)) == len(event.choices) > 1 else "a motion needs two different choices or more"


def _voted(state: MeetingState, by: str, event: events.Voted, at: float) -> str:  # noqa: ARG001
    motion = state.all_motions.get(event.motion)
    if motion is None:
        return f"there is no motion {event.motion!r}"
    return "" if event.choice in motion.choices else f"{event.choice!r} is none of {', '.join(motion.choices)}"


def _closed(state: MeetingState, by: str, event: events.Closed, at: float) -> str:
    if event.reason:
        return "" if by == state.orderer and over(state, at) else "no rule closes the meeting now"
    floor = state.floor
    chair = floor.presides(state) if isinstance(floor, Chair) else ""
    if by in (state.caller, chair) or state.caller not in state.places:
        return ""
    return f"{state.caller} called the meeting and closes it; {by} can leave"


def over(state: MeetingState, now: float) -> str:
    """Return by which rule the meeting is over now; an empty text if by none."""
    if not state.is_open:
        return ""
    if state.closes_with_caller and state.caller not in state.places:
        return f"{state.caller}, who called it, has left"
    if len(state.places) < state.quorum:
        return f"{len(state.places)} of the {state.quorum} that are needed are left"
    return state.ending.met(state, now + _DUE) if state.ending is not None else ""


_CHECKS: dict[type, Any] = {
    events.Opened: _opened,
    events.TurnMissed: _missed,
    events.Crashed: _crashed,
    events.TurnGiven: _given,
    events.FloorFailed: _by_orderer,
    events.Invited: _invited,
    events.Declined: _declined,
    events.Joined: _joined,
    events.Left: _left,
    events.Reacted: _reacted,
    events.HandRaised: _raised,
    events.HandLowered: _lowered,
    events.MotionPut: _motion,
    events.Voted: _voted,
    events.Closed: _closed,
}
_INVALID = frozenset(_CHECKS) - {events.Closed, events.TurnGiven, events.TurnMissed, events.FloorFailed}
