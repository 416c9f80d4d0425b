"""What a member holds of a meeting."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from coterie.errors import (
    AgentStopped,
    AskTimeout,
    ContributionRefused,
    EncodeFailed,
    InvalidSetting,
    MeetingClosed,
    MeetingError,
    NoQuorum,
    NotAMember,
    NotYourTurn,
)
from coterie.kernel import check_instance, check_number
from coterie.meetings.desk.letters import Invite, Submit
from coterie.meetings.desk.options import PLAIN, lasting_data
from coterie.meetings.minutes import events
from coterie.meetings.minutes.events import AnyEvent, Refusal
from coterie.meetings.minutes.state import MeetingState
from coterie.meetings.transcript import Transcript

if TYPE_CHECKING:
    from coterie.meetings.desk.desk import Desk
    from coterie.meetings.desk.seat import Seat
    from coterie.meetings.service import Meetings
    from coterie.runtime import AgentRef

_GRACE = 5.0
"""Seconds beyond a submission's patience after which its clerk must have answered."""
_ERRORS: dict[str, type[Any]] = {
    "closed": MeetingClosed,
    "not-a-member": NotAMember,
    "not-your-turn": NotYourTurn,
    "no-quorum": NoQuorum,
}


class Meeting:
    """A meeting as one of its members sees it.

    Its `state` is the member's own fold of the minutes, as far as they have come to this node; it shares nothing with
    other members' but entries, which never change. Use it on the member's thread only.

    What changes something is awaited until a majority of the members has it in its minutes, so that no take-over loses
    it; whoever goes on is told later. It raises `NotYourTurn`, `NotAMember`, `MeetingClosed`, `ContributionRefused`, and
    `NoQuorum` if no majority could be reached in time.
    """

    def __init__(self, meetings: Meetings, desk: Desk, seat: Seat) -> None:
        self._meetings = meetings
        self._desk = desk
        self._seat = seat
        self._state = MeetingState(desk.meeting, desk.resolve)

    def __repr__(self) -> str:
        return f"<Meeting {self.id} {self.topic!r} as {self.me}>"

    # What is known.

    @property
    def id(self) -> str:
        """The meeting's id, unique over all nodes."""
        return self._desk.meeting

    @property
    def topic(self) -> str:
        """What it is about."""
        return self._desk.topic

    @property
    def me(self) -> str:
        """What this member is called here."""
        return self._seat.name

    @property
    def state(self) -> MeetingState:
        """What has happened so far, folded: turn, motions, hands, who declined, and all else. Only to be read."""
        replica = self._seat.replica
        state = self._state
        for entry in replica.log.entries[state.sequence : replica.committed]:
            state.apply(entry)
        return state

    @property
    def is_open(self) -> bool:
        """Whether it is being held."""
        return self.state.is_open and not self._seat.replica.over

    @property
    def members(self) -> tuple[str, ...]:
        """Who is a member, in the order of joining."""
        return tuple(self.state.places)

    @property
    def caller(self) -> str:
        """Who called it."""
        return self.state.caller

    @property
    def outcome(self) -> Any:
        """What it was closed with."""
        return self.state.outcome

    @property
    def transcript(self) -> Transcript:
        """All that happened so far, in order."""
        state = self.state
        return Transcript(self.id, state.topic, state.entries, state.utterances)

    def digest(self) -> str:
        """Return the hash of this member's view."""
        return self.state.digest()

    # What a member can do. Each returns the sequence number of its event.

    async def say(self, content: Any, *, to: AgentRef | str | Iterable[AgentRef | str] = ()) -> int:
        """Say something, which is plain data: to all, or to some, who alone are sent it. The minutes have it in any case."""
        return await self._submit(events.Spoke(self._plain(content), _names("say.to", to)))

    async def react(self, to: int, sign: str) -> int:
        """React to the event of a sequence number with a sign, such as "+1"."""
        check_instance("react.sign", sign, str, "text")
        check_number("react.to", to, least=1, whole=True)
        return await self._submit(events.Reacted(to, sign))

    async def raise_hand(self) -> int:
        """Ask for the floor."""
        return await self._submit(events.HandRaised())

    async def lower_hand(self) -> int:
        """Ask for the floor no more."""
        return await self._submit(events.HandLowered())

    async def give_floor(self, member: AgentRef | str) -> int:
        """Give the floor to a member. Only the chair can."""
        return await self._submit(events.TurnGiven(_name("give_floor.member", member)))

    async def pass_turn(self) -> int:
        """Have nothing to say when it is one's turn."""
        return await self._submit(events.TurnPassed())

    async def put_to_vote(self, motion: str, choices: Iterable[str] = ("yes", "no")) -> int:
        """Put something to the vote."""
        check_instance("put_to_vote.motion", motion, str, "text")
        if isinstance(choices, str) or not isinstance(choices, Iterable):
            raise InvalidSetting("put_to_vote.choices", choices, "a list of texts")
        offered = tuple(choices)
        for choice in offered:
            check_instance("put_to_vote.choices", choice, str, "text")
        return await self._submit(events.MotionPut(motion, offered))

    async def vote(self, motion: str, choice: str) -> int:
        """Vote on a motion; the latest vote of each member counts. The votes are in `state.motions`."""
        check_instance("vote.motion", motion, str, "the text of a motion")
        check_instance("vote.choice", choice, str, "one of the motion's choices")
        return await self._submit(events.Voted(motion, choice))

    async def announce(self, task: Any) -> int:
        """Contract net: announce a task, for the others to bid."""
        return await self._submit(events.Announced(self._plain(task)))

    async def bid(self, offer: Any = None) -> int:
        """Contract net: bid for the task; without an offer, do not want it."""
        return await self._submit(events.Bid(self._plain(offer)))

    async def award(self, to: AgentRef | str | None) -> int:
        """Contract net: give the task to a bidder, or to nobody."""
        return await self._submit(events.Awarded(_name("award.to", to) if to is not None else ""))

    async def report(self, result: Any) -> int:
        """Contract net: tell how the task went."""
        return await self._submit(events.Reported(self._plain(result)))

    async def invite(self, guest: AgentRef | str, *, timeout: float | None = None) -> None:
        """Invite somebody else, and wait for the answer; who accepts is a member with all that was said before.

        Raises `InvitationDeclined`, `InvitationUnanswered` or `GuestUnreachable` if it does not come.
        """
        self._be_the_member()
        limit = self._meetings.timeout if timeout is None else timeout
        check_number("invite.timeout", limit, above=0)
        reference = self._meetings.guest(guest)
        name = self._meetings.name_for(reference, {place.name: place.agent for place in self.state.places.values()})
        answer = await self._ask(Invite(self.me, reference, name, limit), limit + self._meetings.patience)
        if answer is not None:
            if answer.kind in ("declined", "silent", "unreachable"):
                raise self._meetings.not_held(f"{self.topic} (for {name})", answer)
            raise self._error(Refusal(answer.kind, answer.reason))

    async def call(self, topic: str, invite: Iterable[AgentRef | str] = (), **options: Any) -> Meeting:
        """Call a meeting within this one; the minutes of both are linked. Options are those of `Meetings.call`."""
        self._be_the_member()
        inner = await self._meetings.call(topic, invite, parent=self, **options)
        await self._submit(events.Nested(inner.id, topic))
        return inner

    async def leave(self, reason: str = "") -> int:
        """Be a member no more: hear nothing from now on."""
        check_instance("leave.reason", reason, str, "text")
        return await self._submit(events.Left(self.me, reason))

    async def close(self, outcome: Any = None) -> int:
        """End the meeting with an outcome, which is plain data. The caller can, and the chair; anybody once the caller is gone."""
        return await self._submit(events.Closed(self._plain(outcome)))

    def _plain(self, content: Any) -> Any:
        """Return a copy that nobody can change behind the minutes' back.

        Raises `EncodeFailed` for what is no data, or would not be the same once read back from a line of JSON.
        """
        if content is None or isinstance(content, str | bool | int) or (isinstance(content, float) and math.isfinite(content)):
            return content
        try:
            return lasting_data(content)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            raise EncodeFailed(f"a {type(content).__qualname__} for the minutes", error, PLAIN) from error

    def _be_the_member(self) -> None:
        """See that nobody uses what a member holds in its stead. Raises `ContributionRefused`."""
        current = self._meetings.current
        if current != self._seat.agent:
            who = "from outside" if current is None else f"by {current.name}"
            raise ContributionRefused(
                self.topic, f"the Meeting that {self.me} holds was used {who}; it is for {self.me}'s own handlers"
            )

    async def _submit(self, event: AnyEvent) -> int:
        self._be_the_member()
        if self._seat.replica.over:
            raise NotAMember(self.topic, f"{self.me} has left it")
        state = self.state
        if state.sequence and not state.is_open:
            raise MeetingClosed(self.topic, f"it is over: {state.reason}")
        _check(event, "what was to be said or done")
        patience = self._meetings.patience
        answer = await self._ask(Submit(self.me, event, patience), patience)
        if answer.refusal is not None:
            raise self._error(answer.refusal)
        return int(answer.sequence)

    async def _ask(self, message: Any, patience: float) -> Any:
        clerk = self._desk.clerk
        if clerk is None:
            raise MeetingClosed(self.topic, self.state.reason or "it is over")
        try:
            return await clerk.ask(message, timeout=patience + _GRACE)
        except AskTimeout as error:
            raise NoQuorum(self.topic, f"nothing was heard within {patience:g} s") from error
        except AgentStopped as error:
            raise MeetingClosed(self.topic, self.state.reason or "it is over") from error

    def _error(self, refusal: Refusal) -> MeetingError:
        kind = _ERRORS.get(refusal.kind, ContributionRefused)
        error: MeetingError = kind(self.topic, refusal.text)
        return error


def _check(value: Any, what: str) -> bytes:
    """See that something can be written down. Raises `EncodeFailed`, say for a number beyond 64 bits or half a character."""
    try:
        return msgspec.msgpack.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise EncodeFailed(what, error) from error


def _names(where: str, members: Any) -> tuple[str, ...]:
    """Return the names of members that are given as references or names, one or several. Raises `InvalidSetting`."""
    if isinstance(members, str) or hasattr(members, "address"):
        members = (members,)
    if not isinstance(members, Iterable):
        raise InvalidSetting(where, members, "references or names of members")
    return tuple(dict.fromkeys(_name(where, member) for member in members))


def _name(where: str, member: Any) -> str:
    name = getattr(member, "name", member)
    check_instance(where, name, str, "the reference or the name of a member")
    return str(name)
