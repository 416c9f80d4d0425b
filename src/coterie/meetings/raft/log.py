"""The log of one replica: entries in order, committed or not, and the membership by them."""

from __future__ import annotations

from coterie.meetings.state import events
from coterie.meetings.state.events import LogEntry
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
