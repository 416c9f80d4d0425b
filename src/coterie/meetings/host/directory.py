"""The directory of the meetings on one node, and the agent that invites guests there for other nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from coterie.concurrency import Rank, new_lock
from coterie.errors import CoterieError, EncodeFailed, InvalidSetting, UnknownMeeting, describe
from coterie.kernel import Address, Codec
from coterie.kernel.codec import Packed
from coterie.meetings.host.invitations import INVITATION_SERVICE
from coterie.meetings.host.local_meeting import LocalMeeting
from coterie.meetings.host.messages import AddMember, CancelMeeting, HostReplica, InvitationReply
from coterie.meetings.host.replica_host import ReplicaHost
from coterie.meetings.host.responses import ask_local_guest
from coterie.meetings.messages import Accept, MeetingCancelled
from coterie.meetings.minutes import MinutesFile
from coterie.meetings.raft.state import Timing
from coterie.meetings.state.floor import Floor, Selector
from coterie.messaging import MailboxPolicy, Message
from coterie.runtime import Agent, AgentRef, Runtime, on

_MAX_FORMER = 1_000
"""Finished meetings that stay known."""


class MeetingDirectory:
    """The open and the recent meetings on one node, with their replica hosts.

    `forgotten` is called with a meeting when it is over, and again when it is forgotten altogether.

    Safe from any thread. `_lock` guards the tables; a meeting itself belongs to its replica host.
    """

    def __init__(
        self, runtime: Runtime, folder: Path | None, timing: Timing, forgotten: Callable[[LocalMeeting], object]
    ) -> None:
        self._runtime = runtime
        self._folder = folder
        self._timing = timing
        self._forgotten = forgotten
        self._lock = new_lock(Rank.RECORDS)
        self._codec = Codec()
        self._open: dict[str, LocalMeeting] = {}
        self._former: dict[str, LocalMeeting] = {}
        self._max_former = _MAX_FORMER

    def __deepcopy__(self, memo: object) -> MeetingDirectory:
        return self

    @property
    def open(self) -> tuple[str, ...]:
        """The ids of the open meetings."""
        with self._lock:
            return tuple(self._open)

    def find(self, meeting: str) -> LocalMeeting:
        """Return an open or a recent meeting. Raises `UnknownMeeting`."""
        with self._lock:
            found = self._open.get(meeting) or self._former.get(meeting)
        if found is None:
            raise UnknownMeeting(meeting, "there is no meeting of that id here, or it ended long ago")
        return found

    def create(
        self, meeting: str, topic: str, floor: Floor | None = None, record: str | None = None
    ) -> tuple[LocalMeeting, AgentRef]:
        """Return a meeting and its replica host; create both unless they exist.

        `floor` is the policy itself on the caller's node; elsewhere it comes with the opening. `record` names the file of
        the minutes. Raises `InvalidSetting` if an open meeting writes that file.
        """
        runtime = self._runtime
        resolve = self.unpack_floor if floor is None else lambda _: floor
        file = MinutesFile(self._folder, meeting, topic, runtime.node, record) if self._folder is not None else None
        made = LocalMeeting(meeting, topic, runtime.clock, resolve, self._timing, file, self._forget)
        with self._lock:
            if file is not None and file.path is not None:
                path = file.path
                if any(each.file is not None and each.file.path == path for each in self._open.values()):
                    raise InvalidSetting("call.record", record, f"another name: an open meeting writes {path.name}")
            found = self._open.setdefault(meeting, made)
        if found.host is None:
            # Lost messages are sent again, so their senders must not wait for room.
            policy = MailboxPolicy(capacity=100_000, overflow="drop-oldest")
            found.host = runtime.spawn(ReplicaHost, found, mailbox=policy, name=f"{INVITATION_SERVICE}/{meeting}")
        return found, found.host

    def host_for(self, meeting: str, topic: str) -> AgentRef | None:
        """Return the replica host of a meeting that was called elsewhere; None if the meeting is over here."""
        with self._lock:
            found = self._open.get(meeting)
        return found.host if found is not None else self.create(meeting, topic)[1]

    def cancel(self, meeting: str) -> None:
        """Forget a meeting that was called elsewhere and is not held."""
        with self._lock:
            found = self._open.get(meeting)
        if found is not None:
            if (host := found.host) is not None:
                host.stop()
            self._forget(found)

    def current_agent(self) -> AgentRef | None:
        """Return the agent whose code calls this; None outside of all agents."""
        return self._runtime.current

    def guest(self, guest: AgentRef | str) -> AgentRef:
        """Return the reference of a guest that is given as one or as a name; the agent need not exist."""
        if isinstance(guest, AgentRef):
            return guest
        if not Address.is_name(guest):
            raise InvalidSetting("a guest", guest, "a reference, or the name of an agent")
        return self._runtime.find(guest) or self._runtime.reference(Address(self._runtime.node, guest))

    def pack_floor(self, floor: Floor) -> Packed:
        """Return a policy as it is sent to other nodes. One that cannot be sent serves on this node alone."""
        self._register(type(floor))
        try:
            return self._codec.pack(msgspec.structs.replace(floor, function="") if isinstance(floor, Selector) else floor)
        except EncodeFailed:
            return Packed("", b"")

    def unpack_floor(self, packed: Packed) -> Floor:
        """Return the policy of a meeting that was called elsewhere. Raises `DecodeFailed`."""
        self._register_subclasses(Floor)
        return self._codec.unpack(packed, Floor)

    def _register(self, kind: type[Floor]) -> None:
        self._codec.register(kind, vars(kind).get("stored_name", ""))

    def _register_subclasses(self, base: type[Floor]) -> None:
        for kind in base.__subclasses__():
            self._register(kind)
            self._register_subclasses(kind)

    def _forget(self, meeting: LocalMeeting) -> None:
        """Move a meeting that is over to the recent ones, and finish its minutes. Raises `OSError`."""
        dropped = [meeting]
        with self._lock:
            if self._open.pop(meeting.meeting, None) is None:
                return
            if meeting.committed:
                self._former[meeting.meeting] = meeting
            while len(self._former) > self._max_former:
                # Its members may have asked for it since it was over.
                dropped.append(self._former.pop(next(iter(self._former))))
        for each in dropped:
            self._forgotten(each)
        if meeting.file is not None:
            meeting.file.finish(meeting.entries())


def name_for(guest: AgentRef, known: Mapping[str, str]) -> str:
    """Return a guest's name in a meeting whose members have names already, given with their addresses."""
    taken = known.get(guest.name)
    if taken is None or taken == str(guest.address):
        return guest.name
    return f"{guest.name}@{guest.address.node}"


_MAX_REMEMBERED = 10_000
_TOO_LATE = InvitationReply("unreachable", "it accepted after the meeting had been called off")


class InvitationService(Agent):
    """Invites guests for other nodes. Each guest is invited once, however often a request is repeated."""

    records_spans = False

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
