"""The reception of a node: where invitations for agents that live there arrive from other nodes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from coterie.errors import CoterieError, describe
from coterie.meetings.desk.clerk import TakeSeat
from coterie.meetings.desk.inviting import ask_here
from coterie.meetings.desk.letters import Answer, CallOff, Host
from coterie.meetings.messages import Accept, MeetingCancelled
from coterie.messaging import Message
from coterie.runtime import Agent, on

if TYPE_CHECKING:
    from coterie.meetings.service import Meetings

_REMEMBERED = 10_000
_TOO_LATE = Answer("unreachable", "it accepted after the meeting had been called off")


class Reception(Agent):
    """Asks guests on behalf of other nodes. Each is asked once, however often the question comes."""

    def __init__(self, meetings: Meetings) -> None:
        self._meetings = meetings
        self._asked: dict[tuple[str, str], asyncio.Task[Answer]] = {}
        self._called_off: dict[str, None] = {}
        """The latest meetings that are not held: a guest may accept after that is known."""

    @on(interleave=True)
    async def host(self, message: Host) -> Answer:
        """Ask a guest, and prepare its seat if it comes."""
        key = message.invitation.meeting, message.name
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = self.context.create_task(self._host(message))
            if len(self._asked) > _REMEMBERED:
                del self._asked[next(iter(self._asked))]
        return await asyncio.shield(task)

    async def _host(self, message: Host) -> Answer:
        try:
            self._meetings.resolve(message.floor)
            answer = await ask_here(message.guest, message.invitation, message.timeout)
            if answer.kind != "accepted":
                return answer
            invitation = message.invitation
            if invitation.meeting in self._called_off:
                return _TOO_LATE
            desk = self._meetings.desk_for(invitation.meeting, invitation.topic)
            if desk.clerk is None:
                return _TOO_LATE
            place = await desk.clerk.ask(TakeSeat(message.guest, message.name, answer.accepted or Accept(), message.timeout))
            if invitation.meeting in self._called_off:
                self._meetings.drop(invitation.meeting)
                return _TOO_LATE
            return msgspec.structs.replace(answer, place=place)
        except CoterieError as error:
            return Answer("unreachable", describe(error))

    @on
    def call_off(self, message: CallOff) -> None:
        """Tell guests here that a meeting is not held."""
        for guest in message.guests:
            if guest.is_alive and guest.handles(MeetingCancelled):
                guest.post(MeetingCancelled(message.meeting, message.topic, message.reason))
        self._called_off[message.meeting] = None
        if len(self._called_off) > _REMEMBERED:
            del self._called_off[next(iter(self._called_off))]
        self._meetings.drop(message.meeting)

    @on
    def ignore(self, message: Message) -> None:
        """Anything else is not for the reception: a broadcast to all agents, say."""
