"""A member's handle of a meeting."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

from coterie.errors import (
    AgentStopped,
    AskTimeout,
    ContributionRefused,
    EncodeFailed,
    InvalidSetting,
    InvitationDeclined,
    InvitationUnanswered,
    MeetingClosed,
    MeetingError,
    NoQuorum,
    NotAMember,
    NotYourTurn,
)
from coterie.errors.meetings import GuestUnreachable, MeetingNotHeld, QuorumMissed
from coterie.kernel import check_instance, check_number
from coterie.meetings.host.directory import MeetingDirectory, name_for
from coterie.meetings.host.local_meeting import LocalMeeting
from coterie.meetings.host.local_member import LocalMember
from coterie.meetings.host.messages import InviteGuest, NotHeld, SubmitProposal
from coterie.meetings.minutes import ENCODE_ERRORS, PLAIN_DATA, Transcript, stable_copy
from coterie.meetings.state import events, fold
from coterie.meetings.state.events import AnyEvent, Refusal
from coterie.meetings.state.meeting_state import MeetingState
from coterie.runtime import AgentRef
from coterie.telemetry import spans

_GRACE = 5.0
"""Seconds beyond a proposal's patience after which its replica host must have answered."""
_ERRORS: dict[str, type[Any]] = {
    "closed": MeetingClosed,
    "not-a-member": NotAMember,
    "not-your-turn": NotYourTurn,
    "no-quorum": NoQuorum,
}


_NOT_HELD: dict[str, type[MeetingNotHeld]] = {
    "declined": InvitationDeclined,
    "silent": InvitationUnanswered,
    "unreachable": GuestUnreachable,
    "quorum": QuorumMissed,
}


class Meeting:
    """A meeting as one of its members sees it.

    Its `state` is the member's own fold of the log, as far as entries are committed on this node. It shares only entries,
    which never change, with other members. Use it on the member's thread only.

    Methods that change something return when a majority of the members has the entry, so that no change of leader loses
    it. They raise `NotYourTurn`, `NotAMember`, `MeetingClosed`, `ContributionRefused`, and `NoQuorum` if no majority was
    reached in time. Each returns the sequence number of its entry.
    """

    def __init__(
        self,
        meeting: LocalMeeting,
        member: LocalMember,
        *,
        directory: MeetingDirectory,
        call: Callable[..., Awaitable[Meeting]],
        timeout: float,
        patience: float,
    ) -> None:
        self._meeting = meeting
        self._member = member
        self._directory = directory
        self._call = call
        self._timeout = timeout
        self._patience = patience
        self._state = MeetingState(meeting.meeting, meeting.resolve)

    def __repr__(self) -> str:
        return f"<Meeting {self.id} {self.topic!r} as {self.me}>"

    @property
    def id(self) -> str:
        """The meeting's id, unique over all nodes."""
        return self._meeting.meeting

    @property
    def topic(self) -> str:
        """The topic."""
        return self._meeting.topic

    @property
    def me(self) -> str:
        """This member's name in the meeting."""
        return self._member.name

    @property
    def state(self) -> MeetingState:
        """The state so far: turn, motions, hands, declined guests and so on. Only read it."""
        replica = self._member.replica
        state = self._state
        for entry in replica.log.entries[state.sequence : replica.committed]:
            fold.apply(state, entry)
        return state

    @property
    def is_open(self) -> bool:
        """True while the meeting is open and this member is in it."""
        return self.state.is_open and not self._member.replica.has_left

    @property
    def members(self) -> tuple[str, ...]:
        """The names of the members, in the order of joining."""
        return tuple(self.state.locations)

    @property
    def caller(self) -> str:
        """The name of the caller."""
        return self.state.caller

    @property
    def outcome(self) -> Any:
        """The outcome with which it was closed; None before that."""
        return self.state.outcome

    @property
    def transcript(self) -> Transcript:
        """The minutes so far."""
        state = self.state
        return Transcript(self.id, state.topic, state.entries, state.utterances)

    def digest(self) -> str:
        """Return the hash of this member's state."""
        return self.state.digest()

    async def say(self, content: Any, *, to: AgentRef | str | Iterable[AgentRef | str] = ()) -> int:
        """Say something, which is plain data, to all members, or `to` some, and return the entry's sequence number.

        Only the addressees are sent it; the minutes have it anyway. Raises the errors of this class, `EncodeFailed` for other
        data, and `InvalidSetting` for addressees that are neither references nor names.
        """
        return await self._submit(events.Spoke(self._plain(content), _names("say.to", to)))

    async def react(self, to: int, sign: str) -> int:
        """React to the event with a sequence number by a sign, such as "+1". Return the entry's sequence number.

        Raises `InvalidSetting` for a wrong type, and the errors of `say`.
        """
        check_instance("react.sign", sign, str, "text")
        check_number("react.to", to, least=1, whole=True)
        return await self._submit(events.Reacted(to, sign))

    async def raise_hand(self) -> int:
        """Ask for the floor. Return the entry's sequence number."""
        return await self._submit(events.HandRaised())

    async def lower_hand(self) -> int:
        """Withdraw the request for the floor. Return the entry's sequence number."""
        return await self._submit(events.HandLowered())

    async def give_floor(self, member: AgentRef | str) -> int:
        """Give the floor to a member. Only the chair may. Return the entry's sequence number."""
        return await self._submit(events.TurnGiven(_name("give_floor.member", member)))

    async def pass_turn(self) -> int:
        """Pass one's turn. Return the entry's sequence number."""
        return await self._submit(events.TurnPassed())

    async def put_to_vote(self, motion: str, choices: Iterable[str] = ("yes", "no")) -> int:
        """Put a motion to the vote, and return the entry's sequence number. Raises `InvalidSetting` for invalid choices."""
        check_instance("put_to_vote.motion", motion, str, "text")
        if isinstance(choices, str) or not isinstance(choices, Iterable):
            raise InvalidSetting("put_to_vote.choices", choices, "a list of texts")
        offered = tuple(choices)
        for choice in offered:
            check_instance("put_to_vote.choices", choice, str, "text")
        return await self._submit(events.MotionPut(motion, offered))

    async def vote(self, motion: str, choice: str) -> int:
        """Vote on a motion, and return the entry's sequence number. The latest vote of each member counts.

        The votes are in `state.motions`. Raises `ContributionRefused` for an unknown motion or choice.
        """
        check_instance("vote.motion", motion, str, "the text of a motion")
        check_instance("vote.choice", choice, str, "one of the motion's choices")
        return await self._submit(events.Voted(motion, choice))

    async def announce(self, task: Any) -> int:
        """Contract net: announce a task for the others to bid on. Return the entry's sequence number."""
        return await self._submit(events.Announced(self._plain(task)))

    async def bid(self, offer: Any = None) -> int:
        """Contract net: bid for the task, or decline it with an offer of None. Return the entry's sequence number."""
        return await self._submit(events.Bid(self._plain(offer)))

    async def award(self, to: AgentRef | str | None) -> int:
        """Contract net: award the task to a bidder, or withdraw it with None. Return the entry's sequence number."""
        return await self._submit(events.Awarded(_name("award.to", to) if to is not None else ""))

    async def report(self, result: Any) -> int:
        """Contract net: report the result of the task. Return the entry's sequence number."""
        return await self._submit(events.Reported(self._plain(result)))

    async def invite(self, guest: AgentRef | str, *, timeout: float | None = None) -> None:
        """Invite another guest, and wait up to `timeout` seconds. If it accepts, it becomes a member with the full history.

        Raises `InvitationDeclined`, `InvitationUnanswered` or `GuestUnreachable` if it does not come.
        """
        self._check_user()
        limit = self._timeout if timeout is None else timeout
        check_number("invite.timeout", limit, above=0)
        reference = self._directory.guest(guest)
        name = name_for(reference, {each.name: each.agent for each in self.state.locations.values()})
        answer = await self._ask(InviteGuest(self.me, reference, name, limit), limit + self._patience)
        if answer is not None:
            if answer.kind in ("declined", "silent", "unreachable"):
                raise not_held_error(f"{self.topic} (for {name})", answer)
            raise self._error(Refusal(answer.kind, answer.reason))

    async def call(self, topic: str, invite: Iterable[AgentRef | str] = (), **options: Any) -> Meeting:
        """Call a meeting within this one, and return it; the minutes of each name the other.

        The options are those of `Meetings.call`. Raises the same errors.
        """
        self._check_user()
        inner = await self._call(topic, invite, parent=self, **options)
        await self._submit(events.Nested(inner.id, topic))
        return inner

    async def leave(self, reason: str = "") -> int:
        """Leave the meeting, and return the entry's sequence number. Raises `InvalidSetting` if `reason` is not text."""
        check_instance("leave.reason", reason, str, "text")
        return await self._submit(events.Left(self.me, reason))

    async def close(self, outcome: Any = None) -> int:
        """Close the meeting with an outcome, which is plain data, and return the entry's sequence number.

        The caller and the chair may; any member may if the caller has left. Otherwise it raises `ContributionRefused`.
        """
        return await self._submit(events.Closed(self._plain(outcome)))

    def _plain(self, content: Any) -> Any:
        """Return a copy of plain data. Raises `EncodeFailed` for other data, and for data that JSON would change."""
        if content is None or isinstance(content, str | bool | int) or (isinstance(content, float) and math.isfinite(content)):
            return content
        try:
            return stable_copy(content)
        except ENCODE_ERRORS as error:
            raise EncodeFailed(f"a {type(content).__qualname__} for the minutes", error, PLAIN_DATA) from error

    def _check_user(self) -> None:
        """Raise `ContributionRefused` unless the member's own agent uses this handle."""
        current = self._directory.current_agent()
        if current != self._member.agent:
            who = "from outside" if current is None else f"by {current.name}"
            raise ContributionRefused(
                self.topic, f"the Meeting that {self.me} holds was used {who}; it is for {self.me}'s own handlers"
            )

    async def _submit(self, event: AnyEvent) -> int:
        self._check_user()
        if self._member.replica.has_left:
            raise NotAMember(self.topic, f"{self.me} has left it")
        state = self.state
        if state.sequence and not state.is_open:
            raise MeetingClosed(self.topic, f"it is over: {state.reason}")
        _check_encodable(event)
        about = {"coterie.meeting": self.id, "coterie.agent": self.me}
        with spans.span(f"meeting {type(event).__name__}", about) as span:
            answer = await self._ask(SubmitProposal(self.me, event, self._patience), self._patience)
            if answer.refusal is not None:
                raise self._error(answer.refusal)
            span.set({"coterie.sequence": int(answer.sequence)})
        return int(answer.sequence)

    async def _ask(self, message: Any, patience: float) -> Any:
        host = self._meeting.host
        if host is None:
            raise MeetingClosed(self.topic, self.state.reason or "it is over")
        try:
            return await host.ask(message, timeout=patience + _GRACE)
        except AskTimeout as error:
            raise NoQuorum(self.topic, f"nothing was heard within {patience:g} s") from error
        except AgentStopped as error:
            raise MeetingClosed(self.topic, self.state.reason or "it is over") from error

    def _error(self, refusal: Refusal) -> MeetingError:
        kind = _ERRORS.get(refusal.kind, ContributionRefused)
        error: MeetingError = kind(self.topic, refusal.text)
        return error


def not_held_error(topic: str, verdict: NotHeld) -> MeetingNotHeld:
    """Return the error for a meeting that is not held."""
    kind = _NOT_HELD.get(verdict.kind, MeetingNotHeld)
    return kind(topic, verdict.reason, declined=verdict.declined, silent=verdict.silent, unreachable=verdict.unreachable)


def _check_encodable(event: AnyEvent) -> None:
    """Raise `EncodeFailed` for an event that cannot be encoded: a number beyond 64 bits, say, or an unpaired surrogate."""
    try:
        msgspec.msgpack.encode(event)
    except ENCODE_ERRORS as error:
        raise EncodeFailed("the contribution", error) from error


def _names(where: str, members: Any) -> tuple[str, ...]:
    """Return the names of members given as references or names, one or several. Raises `InvalidSetting`."""
    if isinstance(members, str) or hasattr(members, "address"):
        members = (members,)
    if not isinstance(members, Iterable):
        raise InvalidSetting(where, members, "references or names of members")
    return tuple(dict.fromkeys(_name(where, member) for member in members))


def _name(where: str, member: Any) -> str:
    name = getattr(member, "name", member)
    check_instance(where, name, str, "the reference or the name of a member")
    return str(name)
