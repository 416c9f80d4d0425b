"""What each event does to the state of a meeting."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from coterie.meetings.floor.contract_net import Contract
from coterie.meetings.minutes import events
from coterie.meetings.minutes.events import AnyEvent, Entry
from coterie.meetings.minutes.records import Missed, Motion, Reaction, Utterance

if TYPE_CHECKING:
    from coterie.meetings.minutes.state import MeetingState

_replace = msgspec.structs.replace


def apply(state: MeetingState, entry: Entry) -> None:
    """Change a state by an event that may happen."""
    change = _CHANGES.get(type(entry.event))
    if change is not None:
        change(state, entry, entry.event)


def lasting(event: AnyEvent) -> AnyEvent:
    """Return an event without what differs each time a meeting is held: addresses and ids."""
    if isinstance(event, events.Opened):
        members = tuple(_anonymous(place) for place in event.members)
        return _replace(event, members=members, parent="yes" if event.parent else "")
    if isinstance(event, events.Joined):
        return events.Joined(_anonymous(event.member))
    if isinstance(event, events.Nested):
        return events.Nested("", event.topic)
    return event


def _anonymous(place: events.Place) -> events.Place:
    return events.Place(place.name, "", "", place.person)


def _opened(state: MeetingState, entry: Entry, event: events.Opened) -> None:
    state.topic = event.topic
    state.caller = state.orderer = event.caller
    state.floor = state.resolve(event.floor)
    state.ending = event.ending
    state.quorum = event.quorum
    state.parameters = MappingProxyType(event.parameters)
    state.parent = event.parent
    state.closes_with_caller = event.closes_with_caller
    state.places.update((place.name, place) for place in event.members)
    state.order = tuple(state.places)
    state.invitations.update(event.invited)
    state.refusals.update(event.declined)
    state.is_open = True
    state.opened_at = state.quiet_since = entry.at
    state.next_turn("", entry.at)


def _orderer_changed(state: MeetingState, entry: Entry, event: events.OrdererChanged) -> None:  # noqa: ARG001
    state.orderer = entry.by


def _invited(state: MeetingState, entry: Entry, event: events.Invited) -> None:  # noqa: ARG001
    state.invitations[event.guest] = False
    state.refusals.pop(event.guest, None)


def _declined(state: MeetingState, entry: Entry, event: events.Declined) -> None:  # noqa: ARG001
    del state.invitations[event.guest]
    state.refusals[event.guest] = event.reason


def _joined(state: MeetingState, entry: Entry, event: events.Joined) -> None:
    place = event.member
    del state.invitations[place.name]
    state.places[place.name] = place
    state.order = (*(name for name in state.order if name != place.name), place.name)
    if not state.turn.holders and not state.turn.choosing:
        state.next_turn("", entry.at)


def _left(state: MeetingState, entry: Entry, event: events.Left) -> None:
    name = event.member
    del state.places[name]
    state.hands = tuple(hand for hand in state.hands if hand != name)
    contract = state.contract
    if contract is not None:
        bids = {bidder: offer for bidder, offer in contract.bids.items() if bidder != name}
        state.contract = _replace(contract, bids=bids)
    _give_up_turn(state, name, entry.at)
    if not state.places:
        state.is_open = False
        state.reason = "everybody has left"


def _crashed(state: MeetingState, entry: Entry, event: events.Crashed) -> None:
    if event.member in state.turn.holders:
        state.all_missed.append(Missed(event.member, state.turn.number, f"it crashed: {event.reason}"))
        state.turns += 1
        _give_up_turn(state, event.member, entry.at)


def _turn_missed(state: MeetingState, entry: Entry, event: events.TurnMissed) -> None:
    state.all_missed.append(Missed(event.member, event.turn, event.reason))
    state.turns += 1
    _give_up_turn(state, event.member, entry.at)


def _turn_passed(state: MeetingState, entry: Entry, event: events.TurnPassed) -> None:  # noqa: ARG001
    state.turns += 1
    _give_up_turn(state, entry.by, entry.at)


def _give_up_turn(state: MeetingState, name: str, at: float) -> None:
    """Take the floor from somebody who did not use it."""
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
        state.next_turn(name, at)


def _turn_given(state: MeetingState, entry: Entry, event: events.TurnGiven) -> None:
    state.give_turn((event.member,) if event.member else (), entry.at)


def _spoke(state: MeetingState, entry: Entry, event: events.Spoke) -> None:
    if state.hands and entry.by in state.turn.holders:
        state.hands = tuple(hand for hand in state.hands if hand != entry.by)
    _utter(state, entry, "said", event.content, event.to)


def _announced(state: MeetingState, entry: Entry, event: events.Announced) -> None:
    _archive(state, "failed")
    state.bidders = tuple(name for name in state.places if name != entry.by)
    state.contract = Contract(event.task, entry.sequence, state="bidding" if state.bidders else "awarding")
    _utter(state, entry, "announced", event.task)


def _bid(state: MeetingState, entry: Entry, event: events.Bid) -> None:
    assert state.contract is not None
    bids = {**state.contract.bids, entry.by: event.offer} if event.offer is not None else state.contract.bids
    state.bidders = tuple(name for name in state.bidders if name != entry.by)
    state.contract = _replace(state.contract, bids=bids, state="bidding" if state.bidders else "awarding")
    _utter(state, entry, "bid", event.offer)


def _awarded(state: MeetingState, entry: Entry, event: events.Awarded) -> None:
    assert state.contract is not None
    if event.to:
        state.contract = _replace(state.contract, winner=event.to, state="working")
    else:
        _archive(state, "failed")
    _utter(state, entry, "awarded", event.to)


def _reported(state: MeetingState, entry: Entry, event: events.Reported) -> None:
    assert state.contract is not None
    state.contract = _replace(state.contract, result=event.result)
    _archive(state, "done")
    _utter(state, entry, "reported", event.result)


def _archive(state: MeetingState, how: str) -> None:
    if state.contract is not None:
        state.contracts = (*state.contracts, _replace(state.contract, state=how))
        state.contract = None


def _utter(state: MeetingState, entry: Entry, kind: str, content: Any, to: tuple[str, ...] = ()) -> None:
    by = entry.by
    person = state.places[by].person
    state.spoken.append(Utterance(state.meeting, entry.sequence, by, content, to, kind, state.turn.number, person))
    state.quiet_since = entry.at
    state.take_turn(by, entry.event, entry.at)


def _reacted(state: MeetingState, entry: Entry, event: events.Reacted) -> None:
    state.all_reactions.append(Reaction(entry.by, event.to, event.sign))


def _raised(state: MeetingState, entry: Entry, event: events.HandRaised) -> None:  # noqa: ARG001
    state.hands = (*state.hands, entry.by)
    if not state.turn.holders and not state.turn.choosing:
        state.next_turn("", entry.at)


def _lowered(state: MeetingState, entry: Entry, event: events.HandLowered) -> None:  # noqa: ARG001
    state.hands = tuple(hand for hand in state.hands if hand != entry.by)


def _motion(state: MeetingState, entry: Entry, event: events.MotionPut) -> None:
    state.all_motions[event.motion] = Motion(entry.by, event.choices)


def _voted(state: MeetingState, entry: Entry, event: events.Voted) -> None:
    motion = state.all_motions[event.motion]
    state.all_motions[event.motion] = _replace(motion, votes={**motion.votes, entry.by: event.choice})


def _floor_failed(state: MeetingState, entry: Entry, event: events.FloorFailed) -> None:  # noqa: ARG001
    state.failure = ""


def _nested(state: MeetingState, entry: Entry, event: events.Nested) -> None:  # noqa: ARG001
    state.inner.append((event.meeting, event.topic))


def _closed(state: MeetingState, entry: Entry, event: events.Closed) -> None:
    state.is_open = False
    state.outcome = event.outcome
    state.reason = event.reason or f"{entry.by} closed it"
    state.turn = _replace(state.turn, holders=(), choosing=False)


_CHANGES: dict[type, Any] = {
    events.Opened: _opened,
    events.OrdererChanged: _orderer_changed,
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
