"""The rules of a meeting: which events may happen now. The leader and every member's fold apply the same rules."""

from __future__ import annotations

from typing import Any

from coterie.errors import describe
from coterie.meetings.state import events
from coterie.meetings.state.events import AnyEvent, Refusal
from coterie.meetings.state.floor import Chair, ContractNet, turn_objection
from coterie.meetings.state.meeting_state import MeetingState

CONTRACT_NET = (events.Announced, events.Bid, events.Awarded, events.Reported)
UTTERANCES = (events.Spoke, *CONTRACT_NET)
"""Events that are delivered as utterances and use a turn."""
_TURNS = frozenset((*UTTERANCES, events.TurnPassed))
_DUE = 1e-6
"""Tolerance in seconds for rounding between two clocks."""


def objection(state: MeetingState, by: str, event: AnyEvent, at: float) -> Refusal | None:
    """Return why the member `by` may not do this at the time `at`; None if it may.

    If the policy raises, the floor's holders alone may speak, and the failure is noted in the state.
    """
    kind = type(event)
    if kind is events.LeaderChanged:
        return None  # a term may begin after the end, too
    if not state.is_open:
        return Refusal("closed", f"the meeting is over: {state.reason or 'it was closed'}")
    if by not in state.locations:
        return Refusal("not-a-member", f"{by} is not a member of this meeting")
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
            if name not in state.locations:
                return Refusal("invalid", f"{name} is not a member of this meeting, so it cannot be addressed")
    elif type(event) is events.TurnPassed:
        return _passed(state, by)
    elif not isinstance(floor, ContractNet):
        return Refusal("not-allowed", f"the floor of this meeting is {type(floor).__name__}, not ContractNet")
    if state.turn.choosing:
        return Refusal("not-your-turn", turn_objection(state, by))
    try:
        problem = str(floor.objection(state, by, event) or "")
    except Exception as error:  # noqa: BLE001 - a user's policy; the leader logs the failure as an event
        state.failure = state.failure or describe(error)
        problem = turn_objection(state, by)
    if not problem:
        return None
    return Refusal("not-your-turn" if turn_objection(state, by) else "not-allowed", problem)


def _passed(state: MeetingState, by: str) -> Refusal | None:
    if by in state.turn.holders:
        return None
    return Refusal("not-your-turn", turn_objection(state, by) or "no member has the floor")


def _opened(state: MeetingState, by: str, event: events.MeetingOpened, at: float) -> str:  # noqa: ARG001
    return "the meeting has been opened already"


def _by_leader(state: MeetingState, by: str, event: AnyEvent, at: float) -> str:  # noqa: ARG001
    return "" if by == state.leader else f"only the leader, {state.leader}, can decide this"


def _missed(state: MeetingState, by: str, event: events.TurnMissed, at: float) -> str:
    turn = state.turn
    if problem := _by_leader(state, by, event, at):
        return problem
    if event.turn != turn.number or event.member not in turn.holders:
        return f"{event.member} does not have turn {event.turn}"
    return "" if turn.until is not None and at >= turn.until - _DUE else "its time is not over"


def _crashed(state: MeetingState, by: str, event: events.Crashed, at: float) -> str:  # noqa: ARG001
    return "" if event.member == by else f"{by} cannot report a crash of {event.member}"


def _given(state: MeetingState, by: str, event: events.TurnGiven, at: float) -> str:  # noqa: ARG001
    if event.member and event.member not in state.locations:
        return f"{event.member} is not a member of this meeting"
    if state.turn.choosing and by == state.leader:
        return ""
    if isinstance(state.floor, Chair):
        chair = state.floor.presides(state)
        return "" if by == chair else f"only the chair, {chair}, gives the floor"
    return f"a floor of the policy {type(state.floor).__name__} cannot be given"


def _invited(state: MeetingState, by: str, event: events.Invited, at: float) -> str:  # noqa: ARG001
    if event.guest in state.locations:
        return f"{event.guest} is a member already"
    return f"{event.guest} has been invited already" if event.guest in state.invitations else ""


def _declined(state: MeetingState, by: str, event: events.Declined, at: float) -> str:  # noqa: ARG001
    return "" if event.guest in state.invitations else f"{event.guest} has no open invitation"


def _joined(state: MeetingState, by: str, event: events.Joined, at: float) -> str:  # noqa: ARG001
    if event.member.name in state.locations:
        return f"{event.member.name} is a member already"
    return "" if event.member.name in state.invitations else f"{event.member.name} is not invited"


def _left(state: MeetingState, by: str, event: events.Left, at: float) -> str:  # noqa: ARG001
    if event.member not in state.locations:
        return f"{event.member} is not a member of this meeting"
    return "" if by in (event.member, state.leader) else f"{by} cannot remove {event.member}"


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
    return "" if event.choice in motion.choices else f"{event.choice!r} is not one of {', '.join(motion.choices)}"


def _closed(state: MeetingState, by: str, event: events.Closed, at: float) -> str:
    if event.reason:
        return "" if by == state.leader and closing_reason(state, at) else "no rule closes the meeting now"
    floor = state.floor
    chair = floor.presides(state) if isinstance(floor, Chair) else ""
    if by in (state.caller, chair) or state.caller not in state.locations:
        return ""
    return f"{state.caller} called the meeting and closes it; {by} can leave"


def closing_reason(state: MeetingState, now: float) -> str:
    """Return the rule that closes the meeting now; an empty text without one."""
    if not state.is_open:
        return ""
    if state.closes_with_caller and state.caller not in state.locations:
        return f"{state.caller}, who called it, has left"
    if len(state.locations) < state.quorum:
        return f"{len(state.locations)} of the {state.quorum} that are needed are left"
    return state.ending.met(state, now + _DUE) if state.ending is not None else ""


_CHECKS: dict[type, Any] = {
    events.MeetingOpened: _opened,
    events.TurnMissed: _missed,
    events.Crashed: _crashed,
    events.TurnGiven: _given,
    events.FloorFailed: _by_leader,
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
