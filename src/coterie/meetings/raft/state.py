"""The state of a replica, with its log."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from coterie.kernel import check_number
from coterie.kernel.codec import Packed
from coterie.meetings.raft.messages import AnyRaftMessage, CatchUp, ReplicaEffect, Send
from coterie.meetings.state import events
from coterie.meetings.state.events import LogEntry
from coterie.meetings.state.floor import Floor
from coterie.meetings.state.meeting_state import MeetingState
from coterie.meetings.state.records import MemberLocation

_MEMBERSHIP_EVENTS = frozenset((events.MeetingOpened, events.Joined, events.Left))


class ReplicatedLog:
    """Log entries and the membership by them. The newest membership counts at once, committed or not (thesis, 4.1).

    Only uncommitted entries are ever truncated. Owned by one replica.
    """

    __slots__ = ("_memberships", "entries")

    def __init__(self) -> None:
        self.entries: list[LogEntry] = []
        self._memberships: list[tuple[int, dict[str, MemberLocation]]] = [(0, {})]

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def last_term(self) -> int:
        """The term of the last entry; 0 for an empty log."""
        return self.entries[-1].term if self.entries else 0

    @property
    def members(self) -> dict[str, MemberLocation]:
        """The members by the newest membership entry. A new dictionary for each membership."""
        return self._memberships[-1][1]

    @property
    def membership_changed(self) -> int:
        """The sequence number of the newest membership entry."""
        return self._memberships[-1][0]

    def term_at(self, sequence: int) -> int:
        """Return the term of an entry; 0 for sequence 0, -1 beyond the end."""
        if sequence == 0:
            return 0
        return self.entries[sequence - 1].term if sequence <= len(self.entries) else -1

    def since(self, sequence: int, until: int, max_entries: int) -> tuple[LogEntry, ...]:
        """Return the entries after `sequence` up to `until`, at most `max_entries`."""
        return tuple(self.entries[sequence : min(until, sequence + max_entries)])

    def append(self, entry: LogEntry) -> None:
        """Append an entry, whose sequence number must be the next."""
        self.entries.append(entry)
        event = entry.event
        if type(event) not in _MEMBERSHIP_EVENTS:
            return
        if isinstance(event, events.MeetingOpened):
            self._memberships.append((entry.sequence, {member.name: member for member in event.members}))
        elif isinstance(event, events.Joined):
            self._memberships.append((entry.sequence, {**self.members, event.member.name: event.member}))
        elif isinstance(event, events.Left):
            rest = {name: member for name, member in self.members.items() if name != event.member}
            self._memberships.append((entry.sequence, rest))

    def truncate(self, sequence: int) -> None:
        """Remove all entries after `sequence`."""
        del self.entries[sequence:]
        while self._memberships[-1][0] > sequence:
            self._memberships.pop()


MAX_ENTRIES = 200
"""Entries in one message at most."""


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """The times of the protocol, in seconds. They matter only between members on different nodes. Raises `InvalidSetting`."""

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
    """Time without a message from a member after which the leader removes it from the meeting."""

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
