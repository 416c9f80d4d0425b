"""The entries that one replica has, final or not."""

from __future__ import annotations

from coterie.meetings.minutes import events
from coterie.meetings.minutes.events import Entry, Place

_ABOUT_MEMBERS = frozenset((events.Opened, events.Joined, events.Left))


class Log:
    """Entries in order, and who is a member by them. The newest membership counts at once, final or not.

    Only the end that is not final is ever cut off. Owned by one replica.
    """

    __slots__ = ("_memberships", "entries")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._memberships: list[tuple[int, dict[str, Place]]] = [(0, {})]

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def last_epoch(self) -> int:
        """The epoch of the last entry; 0 if there is none."""
        return self.entries[-1].epoch if self.entries else 0

    @property
    def members(self) -> dict[str, Place]:
        """Who is a member, by the newest entry about that."""
        return self._memberships[-1][1]

    @property
    def membership_changed(self) -> int:
        """The sequence number of the newest entry about who is a member."""
        return self._memberships[-1][0]

    def epoch_at(self, sequence: int) -> int:
        """Return the epoch of an entry; 0 for sequence 0, -1 for one that is not there."""
        if sequence == 0:
            return 0
        return self.entries[sequence - 1].epoch if sequence <= len(self.entries) else -1

    def since(self, sequence: int, until: int, most: int) -> tuple[Entry, ...]:
        """Return the entries after `sequence` up to `until`, but not more than `most`."""
        return tuple(self.entries[sequence : min(until, sequence + most)])

    def append(self, entry: Entry) -> None:
        """Add an entry, whose number must be the next."""
        self.entries.append(entry)
        event = entry.event
        if type(event) not in _ABOUT_MEMBERS:
            return
        if isinstance(event, events.Opened):
            self._memberships.append((entry.sequence, {place.name: place for place in event.members}))
        elif isinstance(event, events.Joined):
            self._memberships.append((entry.sequence, {**self.members, event.member.name: event.member}))
        elif isinstance(event, events.Left):
            rest = {name: place for name, place in self.members.items() if name != event.member}
            self._memberships.append((entry.sequence, rest))

    def cut(self, sequence: int) -> None:
        """Drop all entries after `sequence`."""
        del self.entries[sequence:]
        while self._memberships[-1][0] > sequence:
            self._memberships.pop()
