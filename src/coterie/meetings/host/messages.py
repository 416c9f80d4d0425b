"""The messages between replica hosts, invitation services and members' handles."""

from __future__ import annotations

import msgspec

from coterie.kernel.codec import Packed
from coterie.meetings.messages import Accept, Invitation
from coterie.meetings.raft.messages import AnyRaftMessage, ProposalResult
from coterie.meetings.state.events import AnyEvent
from coterie.meetings.state.records import MemberLocation
from coterie.messaging import Message, Request
from coterie.runtime import AgentRef


class ReplicaMessage(msgspec.Struct, frozen=True):
    """A message from one replica to another."""

    to: str
    by: str
    message: AnyRaftMessage = msgspec.field(name="letter")


class ReplicaMessages(Message):
    """Messages for replicas of the receiving host."""

    host: str = msgspec.field(name="where")
    """The address of the sending host: a replica with an empty log cannot look its members up."""
    messages: tuple[ReplicaMessage, ...] = msgspec.field(name="posts")


class Tick(Message):
    """A deadline of a replica, a batch or the meeting has come."""


class SubmitProposal(Request[ProposalResult]):
    """A member proposes an event for the log."""

    member: str
    event: AnyEvent
    patience: float
    """Seconds after which it fails."""


class NotHeld(msgspec.Struct, frozen=True):
    """The reason for which a meeting is not held."""

    kind: str
    """One of "declined", "silent", "unreachable", "quorum", "closed"."""
    reason: str
    declined: dict[str, str] = {}
    silent: dict[str, str] = {}
    unreachable: dict[str, str] = {}


class OpenMeeting(Request[NotHeld | None]):
    """Invite the guests and open the meeting."""


class InviteGuest(Request[NotHeld | None]):
    """Invite a guest to an open meeting."""

    member: str
    """The member that invites."""
    guest: AgentRef
    name: str
    """The guest's name in the meeting."""
    timeout: float


class InvitationReply(msgspec.Struct, frozen=True):
    """A guest's reply to an invitation."""

    kind: str
    """"accepted", "declined", "silent" or "unreachable"."""
    reason: str = ""
    accepted: Accept | None = None
    location: MemberLocation | None = msgspec.field(default=None, name="place")
    """The guest's location, if a replica host on its node has one already."""


class HostReplica(Request[InvitationReply]):
    """Invite a guest on the receiving node, and host its replica if it accepts."""

    guest: AgentRef
    name: str
    """The guest's name in the meeting."""
    invitation: Invitation
    floor: Packed
    timeout: float


class AddMember(Request[MemberLocation]):
    """Make a replica for a guest that has accepted, before it is a member."""

    guest: AgentRef
    name: str
    accepted: Accept
    timeout: float
    """Seconds that all guests have to reply."""


class CancelMeeting(Message):
    """A meeting is not held: tell its guests on the receiving node, and forget it."""

    meeting: str
    topic: str
    reason: str
    guests: tuple[AgentRef, ...]
