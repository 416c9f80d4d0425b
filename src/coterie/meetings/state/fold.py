"""The fold of a meeting's log: the effect of each entry on the state."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import msgspec

from coterie.errors import InvalidSetting, describe
from coterie.kernel import check_number
from coterie.meetings.state import events, rules
from coterie.meetings.state.events import AnyEvent, LogEntry
from coterie.meetings.state.floor import next_in_order
from coterie.meetings.state.meeting_state import MeetingState
from coterie.meetings.state.records import Contract, FloorTurn, Missed, Motion, Reaction, Utterance

_replace = msgspec.structs.replace


def apply(state: MeetingState, entry: LogEntry) -> bool:
    """Fold an entry into a state. Return whether it has an effect; an entry that breaks the rules has none."""
    valid = not state.folded or rules.objection(state, entry.by, entry.event, entry.at) is None
    state.folded.append(entry)
    state.term = entry.term
    state.sequence = entry.sequence
    if entry.id:
        state.accepted[entry.id] = entry.sequence
    if not valid:
        state.void.append(entry.sequence)
        return False
    change = _CHANGES.get(type(entry.event))
    if change is not None:
        change(state, entry, entry.event)
    return True


def _use_turn(state: MeetingState, by: str, event: AnyEvent, at: float) -> None:
    """Count a turn that a member used, and pass the floor on unless the policy lets the member keep it."""
    state.turns += 1
    holders = state.turn.holders
    try:
        if state.floor.keeps_floor(state, event):
            return
    except Exception as error:  # noqa: BLE001 - a user's policy; the failure is logged as an event
        _note_failure(state, error)
    if by in holders and len(holders) > 1:
        state.turn = _replace(state.turn, holders=tuple(name for name in holders if name != by))
    elif by in holders or not holders:
        _next_turn(state, by, at)


def _next_turn(state: MeetingState, last: str, at: float) -> None:
    """Give the floor to the members that come after `last` by the policy."""
    floor = state.floor
    if floor.chooses:
        state.turn = FloorTurn(state.turn.number + 1, (), at, floor.turn_limit, choosing=True)
        return
    try:
        holders = floor.next(state, last)
        if holders != ():
            holders = _checked_holders(state, holders)
    except Exception as error:  # noqa: BLE001 - as above; every member goes round instead
        _note_failure(state, error)
        holders = next_in_order(state, last)
    _give_turn(state, holders, at)


def _give_turn(state: MeetingState, holders: tuple[str, ...], at: float) -> None:
    number = state.turn.number if state.turn.choosing else state.turn.number + 1
    try:
        limit = state.floor.limit(state, holders)
        if limit is not None:
            check_number("the policy's limit", limit, above=0)
    except Exception as error:  # noqa: BLE001 - as above
        _note_failure(state, error)
        limit = state.floor.turn_limit
    state.turn = FloorTurn(number, holders, at, limit)


def _checked_holders(state: MeetingState, holders: Any) -> tuple[str, ...]:
    """Return the members that a policy has chosen. Raises `InvalidSetting` if they are not members."""
    if not isinstance(holders, tuple | list):
        raise InvalidSetting("the policy's choice", holders, "a tuple of members' names, which may be empty")
    for name in holders:
        if not isinstance(name, str) or name not in state.locations:
            raise InvalidSetting("the policy's choice", name, f"one of {', '.join(state.locations)}")
    return tuple(dict.fromkeys(holders))


def _note_failure(state: MeetingState, error: Exception) -> None:
    state.failure = state.failure or describe(error)


def _opened(state: MeetingState, entry: LogEntry, event: events.MeetingOpened) -> None:
    state.topic = event.topic
    state.caller = state.leader = event.caller
    state.floor = state.resolve(event.floor)
    state.ending = event.ending
    state.quorum = event.quorum
    state.parameters = MappingProxyType(event.parameters)
    state.parent = event.parent
    state.closes_with_caller = event.closes_with_caller
    state.locations.update((member.name, member) for member in event.members)
    state.order = tuple(state.locations)
    state.invitations.update(event.invited)
    state.refusals.update(event.declined)
    state.is_open = True
    state.opened_at = state.quiet_since = entry.at
    _next_turn(state, "", entry.at)


def _leader_changed(state: MeetingState, entry: LogEntry, event: events.LeaderChanged) -> None:  # noqa: ARG001
    state.leader = entry.by


def _invited(state: MeetingState, entry: LogEntry, event: events.Invited) -> None:  # noqa: ARG001
    state.invitations[event.guest] = False
    state.refusals.pop(event.guest, None)


def _declined(state: MeetingState, entry: LogEntry, event: events.Declined) -> None:  # noqa: ARG001
    del state.invitations[event.guest]
    state.refusals[event.guest] = event.reason


def _joined(state: MeetingState, entry: LogEntry, event: events.Joined) -> None:
    member = event.member
    del state.invitations[member.name]
    state.locations[member.name] = member
    state.order = (*(name for name in state.order if name != member.name), member.name)
    if not state.turn.holders and not state.turn.choosing:
        _next_turn(state, "", entry.at)


def _left(state: MeetingState, entry: LogEntry, event: events.Left) -> None:
    name = event.member
    del state.locations[name]
    state.hands = tuple(hand for hand in state.hands if hand != name)
    contract = state.contract
    if contract is not None:
        bids = {bidder: offer for bidder, offer in contract.bids.items() if bidder != name}
        state.contract = _replace(contract, bids=bids)
    _give_up_turn(state, name, entry.at)
    if not state.locations:
        state.is_open = False
        state.reason = "all members have left"


def _crashed(state: MeetingState, entry: LogEntry, event: events.Crashed) -> None:
    if event.member in state.turn.holders:
        state.all_missed.append(Missed(event.member, state.turn.number, f"it crashed: {event.reason}"))
        state.turns += 1
        _give_up_turn(state, event.member, entry.at)


def _turn_missed(state: MeetingState, entry: LogEntry, event: events.TurnMissed) -> None:
    state.all_missed.append(Missed(event.member, event.turn, event.reason))
    state.turns += 1
    _give_up_turn(state, event.member, entry.at)


def _turn_passed(state: MeetingState, entry: LogEntry, event: events.TurnPassed) -> None:  # noqa: ARG001
    state.turns += 1
    _give_up_turn(state, entry.by, entry.at)


def _give_up_turn(state: MeetingState, name: str, at: float) -> None:
    """Take the floor from a member that did not use it."""
    state.hands = tuple(hand for hand in state.hands if hand != name) if name in state.turn.holders else state.hands
    contract = state.contract
    if contract is not None and contract.state == "bidding":
        state.bidders = tuple(bidder for bidder in state.bidders if bidder != name)
        if not state.bidders:
            state.contract = _replace(contract, state="awarding")
    elif contract is not None and contract.state == "working" and contract.winner == name:
        bids = {bidder: offer for bidder, offer in contract.bids.items() if bidder != name}
        state.contract = _replace(contract, state="awarding", winner="", bids=bids)
    holders = state.turn.holders
    if name not in holders:
        return
    if len(holders) > 1:
        state.turn = _replace(state.turn, holders=tuple(holder for holder in holders if holder != name))
    else:
        _next_turn(state, name, at)


def _turn_given(state: MeetingState, entry: LogEntry, event: events.TurnGiven) -> None:
    _give_turn(state, (event.member,) if event.member else (), entry.at)


def _spoke(state: MeetingState, entry: LogEntry, event: events.Spoke) -> None:
    if state.hands and entry.by in state.turn.holders:
        state.hands = tuple(hand for hand in state.hands if hand != entry.by)
    _utter(state, entry, "said", event.content, event.to)


def _announced(state: MeetingState, entry: LogEntry, event: events.Announced) -> None:
    _archive(state, "failed")
    state.bidders = tuple(name for name in state.locations if name != entry.by)
    state.contract = Contract(event.task, entry.sequence, state="bidding" if state.bidders else "awarding")
    _utter(state, entry, "announced", event.task)


def _bid(state: MeetingState, entry: LogEntry, event: events.Bid) -> None:
    assert state.contract is not None
    bids = {**state.contract.bids, entry.by: event.offer} if event.offer is not None else state.contract.bids
    state.bidders = tuple(name for name in state.bidders if name != entry.by)
    state.contract = _replace(state.contract, bids=bids, state="bidding" if state.bidders else "awarding")
    _utter(state, entry, "bid", event.offer)


def _awarded(state: MeetingState, entry: LogEntry, event: events.Awarded) -> None:
    assert state.contract is not None
    if event.to:
        state.contract = _replace(state.contract, winner=event.to, state="working")
    else:
        _archive(state, "failed")
    _utter(state, entry, "awarded", event.to)


def _reported(state: MeetingState, entry: LogEntry, event: events.Reported) -> None:
    assert state.contract is not None
    state.contract = _replace(state.contract, result=event.result)
    _archive(state, "done")
    _utter(state, entry, "reported", event.result)


def _archive(state: MeetingState, how: str) -> None:
    if state.contract is not None:
        state.contracts = (*state.contracts, _replace(state.contract, state=how))
        state.contract = None


def _utter(state: MeetingState, entry: LogEntry, kind: str, content: Any, to: tuple[str, ...] = ()) -> None:
    by = entry.by
    person = state.locations[by].person
    state.spoken.append(Utterance(state.meeting, entry.sequence, by, content, to, kind, state.turn.number, person))
    state.quiet_since = entry.at
    _use_turn(state, by, entry.event, entry.at)


def _reacted(state: MeetingState, entry: LogEntry, event: events.Reacted) -> None:
    state.all_reactions.append(Reaction(entry.by, event.to, event.sign))


def _raised(state: MeetingState, entry: LogEntry, event: events.HandRaised) -> None:  # noqa: ARG001
    state.hands = (*state.hands, entry.by)
    if not state.turn.holders and not state.turn.choosing:
        _next_turn(state, "", entry.at)


def _lowered(state: MeetingState, entry: LogEntry, event: events.HandLowered) -> None:  # noqa: ARG001
    state.hands = tuple(hand for hand in state.hands if hand != entry.by)


def _motion(state: MeetingState, entry: LogEntry, event: events.MotionPut) -> None:
    state.all_motions[event.motion] = Motion(entry.by, event.choices)


def _voted(state: MeetingState, entry: LogEntry, event: events.Voted) -> None:
    motion = state.all_motions[event.motion]
    state.all_motions[event.motion] = _replace(motion, votes={**motion.votes, entry.by: event.choice})


def _floor_failed(state: MeetingState, entry: LogEntry, event: events.FloorFailed) -> None:  # noqa: ARG001
    state.failure = ""


def _nested(state: MeetingState, entry: LogEntry, event: events.Nested) -> None:  # noqa: ARG001
    state.inner.append((event.meeting, event.topic))


def _closed(state: MeetingState, entry: LogEntry, event: events.Closed) -> None:
    state.is_open = False
    state.outcome = event.outcome
    state.reason = event.reason or f"{entry.by} closed it"
    state.turn = _replace(state.turn, holders=(), choosing=False)


_CHANGES: dict[type, Any] = {
    events.MeetingOpened: _opened,
    events.LeaderChanged: _leader_changed,
    events.Invited: _invited,
    events.Declined: _declined,
    events.Joined: _joined,
    events.Left: _left,
    events.Crashed: _crashed,
    events.Spoke: _spoke,
    events.Reacted: _reacted,
    events.HandRaised: _raised,
    events.HandLowered: _lowered,
    events.TurnGiven: _turn_given,
    events.TurnPassed: _turn_passed,
    events.TurnMissed: _turn_missed,
    events.FloorFailed: _floor_failed,
    events.MotionPut: _motion,
    events.Voted: _voted,
    events.Announced: _announced,
    events.Bid: _bid,
    events.Awarded: _awarded,
    events.Reported: _reported,
    events.Nested: _nested,
    events.Closed: _closed,
}
