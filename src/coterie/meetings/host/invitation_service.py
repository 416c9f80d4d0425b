"""The invitation service of a node: it invites guests there for meetings that are called on other nodes."""

from __future__ import annotations

import asyncio

import msgspec

from coterie.errors import CoterieError, describe
from coterie.meetings.host.directory import MeetingDirectory
from coterie.meetings.host.messages import AddMember, CancelMeeting, HostReplica, InvitationReply
from coterie.meetings.host.responses import ask_local_guest
from coterie.meetings.messages import Accept, MeetingCancelled
from coterie.messaging import Message
from coterie.runtime import Agent, on

_MAX_REMEMBERED = 10_000
_TOO_LATE = InvitationReply("unreachable", "it accepted after the meeting had been called off")


class InvitationService(Agent):
    """Invites guests for other nodes. Each guest is invited once, however often a request is repeated."""

    def __init__(self, directory: MeetingDirectory) -> None:
        self._directory = directory
        self._asked: dict[tuple[str, str], asyncio.Task[InvitationReply]] = {}
        self._cancelled: dict[str, None] = {}
        """The latest meetings that are not held: a guest may accept after that is known."""

    @on(interleave=True)
    async def host_replica(self, message: HostReplica) -> InvitationReply:
        """Invite a guest, and make its replica if it accepts."""
        key = message.invitation.meeting, message.name
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = self.context.create_task(self._invite(message))
            if len(self._asked) > _MAX_REMEMBERED:
                del self._asked[next(iter(self._asked))]
        return await asyncio.shield(task)

    async def _invite(self, message: HostReplica) -> InvitationReply:
        try:
            self._directory.unpack_floor(message.floor)
            reply = await ask_local_guest(message.guest, message.invitation, message.timeout)
            if reply.kind != "accepted":
                return reply
            invitation = message.invitation
            if invitation.meeting in self._cancelled:
                return _TOO_LATE
            host = self._directory.host_for(invitation.meeting, invitation.topic)
            if host is None:
                return _TOO_LATE
            request = AddMember(message.guest, message.name, reply.accepted or Accept(), message.timeout)
            location = await host.ask(request)
            if invitation.meeting in self._cancelled:
                self._directory.cancel(invitation.meeting)
                return _TOO_LATE
            return msgspec.structs.replace(reply, location=location)
        except CoterieError as error:
            return InvitationReply("unreachable", describe(error))

    @on
    def cancel(self, message: CancelMeeting) -> None:
        """Tell the guests here that a meeting is not held."""
        for guest in message.guests:
            if guest.is_alive and guest.handles(MeetingCancelled):
                guest.post(MeetingCancelled(message.meeting, message.topic, message.reason))
        self._cancelled[message.meeting] = None
        if len(self._cancelled) > _MAX_REMEMBERED:
            del self._cancelled[next(iter(self._cancelled))]
        self._directory.cancel(message.meeting)

    @on
    def ignore(self, message: Message) -> None:
        """Ignore other messages, such as a broadcast to all agents."""
