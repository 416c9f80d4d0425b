"""The invitations to one meeting: ask the guests, open the meeting with those that come, or cancel it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Protocol

from coterie.kernel import Address
from coterie.meetings.host.local_meeting import LocalMeeting
from coterie.meetings.host.local_member import LocalMember
from coterie.meetings.host.messages import CancelMeeting, HostReplica, InvitationReply, InviteGuest, NotHeld
from coterie.meetings.host.responses import ask_local_guest, ask_remote_guest
from coterie.meetings.messages import Accept, Invitation, MeetingCancelled
from coterie.meetings.raft.messages import ProposalResult
from coterie.meetings.state import events
from coterie.meetings.state.events import AnyEvent, Refusal
from coterie.meetings.state.records import MemberLocation
from coterie.runtime import AgentRef, Context

INVITATION_SERVICE = "coterie/meetings"
"""The name of the agent on each node that invites guests there for other nodes."""
_LATE_PATIENCE = 60.0
"""Seconds in which a late reply must be committed."""


class MembershipHost(Protocol):
    """The methods of a replica host that invitations need."""

    def add_member(self, name: str, agent: AgentRef, accepted: Accept) -> LocalMember:
        """Make a replica for a member on this node."""

    def location(self, name: str, agent: AgentRef, accepted: Accept) -> MemberLocation:
        """Return the location of a member on this node."""

    async def propose_and_wait(self, member: LocalMember, event: AnyEvent, patience: float) -> ProposalResult:
        """Propose an event, and return the result."""

    def propose(self, member: LocalMember, event: AnyEvent, patience: float) -> None:
        """Propose an event without waiting for the result."""

    def exchange(self, members: dict[str, LocalMember]) -> None:
        """Act on the effects of these members' replicas."""

    def end(self) -> None:
        """End the work for this meeting."""


class Invitations:
    """The part of a replica host that invites, opens and cancels. Only the host's thread uses it."""

    def __init__(self, meeting: LocalMeeting, context: Context, host: MembershipHost) -> None:
        self._meeting = meeting
        self._context = context
        self._host = host
        self._opened: asyncio.Future[None] | None = None
        self._replied: asyncio.Event | None = None

    async def open_meeting(self) -> NotHeld | None:
        """Invite the guests, wait for the replies that matter, and open the meeting. Return why it is not held, if so."""
        meeting = self._meeting
        assert meeting.responses is not None
        assert meeting.terms is not None
        responses, terms = meeting.responses, meeting.terms
        self._replied = asyncio.Event()
        for name, guest in responses.guests.items():
            invite = self._invite(name, guest, required=name in responses.required, timeout=terms.timeout)
            self._context.create_task(invite)
        try:
            while (verdict := responses.verdict()) is False:
                self._replied.clear()
                await self._replied.wait()
        except asyncio.CancelledError:
            self._cancel("the caller took it back")
            raise
        if isinstance(verdict, NotHeld):
            self._cancel(verdict.reason)
            return verdict
        return await self._open()

    def note_opened(self) -> None:
        """Let `open_meeting` return: the opening is committed."""
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)

    async def invite(self, request: InviteGuest, inviter: LocalMember | None) -> NotHeld | None:
        """Invite a guest to the open meeting in the name of a member. Return why the guest is not a member, if so."""
        if inviter is None:
            return NotHeld("not-a-member", f"{request.member} is not a member of this meeting")
        result = await self._host.propose_and_wait(inviter, events.Invited(request.name), request.timeout)
        if result.refusal is not None:
            return NotHeld(result.refusal.kind, result.refusal.text)
        try:
            reply = await self._ask(request.name, request.guest, required=False, timeout=request.timeout)
        except asyncio.CancelledError:
            await self._log_reply(request.name, request.guest, InvitationReply("silent", "the invitation was taken back"))
            self.tell_cancelled(request.guest, "the invitation was taken back")
            raise
        refused = await self._log_reply(request.name, request.guest, reply)
        if reply.kind == "accepted":
            return refused
        return NotHeld(reply.kind, f"{request.name}: {reply.reason}", **{reply.kind: {request.name: reply.reason}})

    def tell_cancelled(self, guest: AgentRef, reason: str) -> None:
        """Tell a guest, if it handles that, that the meeting is not held or is over."""
        if guest.is_alive and guest.handles(MeetingCancelled):
            guest.post(MeetingCancelled(self._meeting.meeting, self._meeting.topic, reason))

    async def _invite(self, name: str, guest: AgentRef, *, required: bool, timeout: float) -> None:
        """Invite a guest, and handle its reply, which may come before the opening or after it."""
        reply = await self._ask(name, guest, required=required, timeout=timeout)
        responses = self._meeting.responses
        if responses is None:
            # The end of the meeting has told all guests that had not replied.
            return
        if responses.add(name, reply):
            if self._opened is None:
                assert self._replied is not None
                self._replied.set()
            else:
                await self._log_reply(name, guest, reply)

    async def _ask(self, name: str, guest: AgentRef, *, required: bool, timeout: float) -> InvitationReply:
        meeting = self._meeting
        terms, caller, responses = meeting.terms, meeting.caller, meeting.responses
        assert terms is not None
        assert caller is not None
        guests = tuple(responses.guests) if responses is not None else ()
        invitation = Invitation(
            meeting.meeting,
            terms.topic,
            caller[0],
            required,
            guests,
            terms.floor_name,
            terms.parameters,
            terms.parent,
            meeting.now() + timeout,
        )
        runtime = self._context.runtime
        if guest.address.node != runtime.node:
            service = runtime.reference(Address(guest.address.node, INVITATION_SERVICE))
            return await ask_remote_guest(service, HostReplica(guest, name, invitation, terms.floor, timeout), runtime.clock)
        return await ask_local_guest(guest, invitation, timeout)

    async def _open(self) -> NotHeld | None:
        """Open the meeting with the guests that have accepted by now."""
        meeting = self._meeting
        assert meeting.responses is not None
        assert meeting.terms is not None
        assert meeting.caller is not None
        responses, terms = meeting.responses, meeting.terms
        caller, agent = meeting.caller
        self._host.add_member(caller, agent, Accept(terms.batch))
        locations = [self._host.location(caller, agent, Accept())]
        for name in responses.coming:
            reply, guest = responses.replies[name], responses.guests[name]
            locations.append(reply.location or self._host.location(name, guest, reply.accepted or Accept()))
            if reply.location is None:
                self._host.add_member(name, guest, reply.accepted or Accept())
        self._opened = asyncio.get_running_loop().create_future()
        meeting.members[caller].replica.open(
            events.MeetingOpened(
                terms.topic,
                caller,
                tuple(locations),
                terms.floor,
                responses.open,
                responses.not_coming,
                terms.quorum,
                terms.ending,
                terms.parameters,
                terms.parent,
                terms.closes_with_caller,
            ),
            meeting.now(),
        )
        self._host.exchange({caller: meeting.members[caller]})
        await self._opened
        return None

    async def _log_reply(self, name: str, guest: AgentRef, reply: InvitationReply) -> NotHeld | None:
        """Propose a reply that came after the opening, in the name of a member here.

        Return why a guest that accepted is not a member nevertheless.
        """
        coming = reply.kind == "accepted"
        proposer = next((member for member in self._meeting.members.values() if not member.replica.has_left), None)
        if proposer is None:
            refusal: Refusal | None = Refusal("closed", "the meeting is over")
        elif coming:
            accepted = reply.accepted or Accept()
            location = reply.location or self._host.location(name, guest, accepted)
            if reply.location is None:
                self._host.add_member(name, guest, accepted)
            refusal = (await self._host.propose_and_wait(proposer, events.Joined(location), _LATE_PATIENCE)).refusal
        else:
            self._host.propose(proposer, events.Declined(name, reply.reason), _LATE_PATIENCE)
            refusal = None
        if refusal is None or not coming:
            return None
        self.tell_cancelled(guest, refusal.text)
        return NotHeld(refusal.kind, refusal.text)

    def _cancel(self, reason: str) -> None:
        """Tell all invited guests that the meeting is not held."""
        meeting = self._meeting
        assert meeting.responses is not None
        guests, meeting.responses = meeting.responses.guests, None
        runtime = self._context.runtime
        elsewhere: dict[str, list[AgentRef]] = defaultdict(list)
        for guest in guests.values():
            if guest.address.node == runtime.node:
                self.tell_cancelled(guest, reason)
            else:
                elsewhere[guest.address.node].append(guest)
        for node, theirs in elsewhere.items():
            service = runtime.reference(Address(node, INVITATION_SERVICE))
            service.post(CancelMeeting(meeting.meeting, meeting.topic, reason, tuple(theirs)))
        self._host.end()
