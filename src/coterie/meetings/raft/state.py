"""The state of one replica that its election, its leadership and the replica itself share, and its timing."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from coterie.kernel import Packed, check_number
from coterie.meetings.raft.log import ReplicatedLog
from coterie.meetings.raft.messages import AnyRaftMessage, CatchUp, ReplicaEffect, Send
from coterie.meetings.state.floor import Floor
from coterie.meetings.state.meeting_state import MeetingState
from coterie.meetings.state.records import MemberLocation

MAX_ENTRIES = 200
"""Entries in one message at most."""


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """The times of the protocol, in seconds. They matter only between members on different nodes."""

    beat: float = 0.25
    """Interval of the leader's heartbeats."""
    patience: float = 1.5
    """Time without a heartbeat after which a member tries to take over: Raft's election timeout."""
    step: float = 0.4
    """Additional time for each further member in line, so that they do not all try at once."""
    retry: float = 0.5
    """Interval at which a proposal is sent again."""
    gossip: float = 1.0
    """Interval at which digests are exchanged."""
    absent: float = 60.0
    """Time without a word from a member after which the leader removes it from the meeting."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            check_number(f"Timing.{name}", getattr(self, name), above=0)


class RaftState:
    """Log, term, vote, leader, time and outgoing effects of one replica. Owned by that replica."""

    def __init__(
        self, me: str, meeting: str, host: str, resolve: Callable[[Packed], Floor], timing: Timing, now: float
    ) -> None:
        self.me = me
        self.meeting = meeting
        self.host = host
        """The address of the replica's host."""
        self.resolve = resolve
        self.timing = timing
        self.now = now
        self.log = ReplicatedLog()
        self.committed_state = MeetingState(meeting, resolve)
        """The fold of the committed entries."""
        self.term = 0
        self.voted_for = ""
        """The member that this one voted for in this term."""
        self.leader = ""
        """The leader of this term, as far as it is known."""
        self.is_leader = False
        self.heard = now
        """When the leader was heard last."""
        self.lost: dict[str, float] = {}
        """Members whose replicas are known to be gone, and since when."""
        self.left = False
        """Whether this member has left the meeting."""
        self.effects: list[ReplicaEffect] = []
        self._remote: tuple[dict[str, MemberLocation], bool] = ({}, False)

    @property
    def committed(self) -> int:
        """The sequence number of the last entry that is committed here."""
        return self.committed_state.sequence

    def send(self, to: str, message: AnyRaftMessage) -> None:
        """Queue a message to a member."""
        self.effects.append(Send(to, message))

    def send_missing(self, member: str, since: int) -> None:
        """Queue the committed entries after `since` for a member."""
        entries = self.log.since(since, self.committed, MAX_ENTRIES)
        if entries:
            self.send(member, CatchUp(self.term, entries))

    def is_remote(self, member: str) -> bool:
        """Return whether a member has another host, so that messages may be lost and its silence means something."""
        members = self.log.members
        return member not in members or members[member].host != self.host

    def any_remote(self) -> bool:
        """Return whether any member has another host."""
        members = self.log.members
        if self._remote[0] is not members:
            self._remote = members, any(member.host != self.host for member in members.values())
        return self._remote[1]

    def is_majority(self, count: int) -> bool:
        """Return whether `count` members are a majority."""
        return 2 * count > len(self.log.members)
