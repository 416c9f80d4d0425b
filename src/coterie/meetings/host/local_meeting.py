"""One meeting on one node: its members here, its terms, its responses. It outlives restarts of its replica host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from coterie.kernel import Clock
from coterie.kernel.codec import Packed
from coterie.meetings.host.local_member import LocalMember
from coterie.meetings.host.responses import InvitationResponses
from coterie.meetings.messages import Batch
from coterie.meetings.minutes import MinutesFile
from coterie.meetings.raft.state import Timing
from coterie.meetings.state.events import LogEntry
from coterie.meetings.state.floor import Floor
from coterie.meetings.state.records import MemberLocation
from coterie.meetings.state.termination import AnyCondition
from coterie.runtime import AgentRef


class MeetingTerms(msgspec.Struct, frozen=True):
    """The terms on which a meeting is called."""

    topic: str
    floor: Packed
    floor_name: str
    quorum: int
    ending: AnyCondition | None
    parameters: dict[str, Any]
    parent: str
    closes_with_caller: bool
    timeout: float
    batch: Batch | None = None
    """How the caller wants utterances batched."""


class LocalMeeting:
    """One meeting on one node. Only its host's thread may use it, except for methods that say otherwise.

    `forget` is called with it when the meeting is over here.
    """

    def __init__(
        self,
        meeting: str,
        topic: str,
        clock: Clock,
        resolve: Callable[[Packed], Floor],
        timing: Timing,
        file: MinutesFile | None,
        forget: Callable[[LocalMeeting], object],
    ) -> None:
        self.meeting = meeting
        self.topic = topic
        self.resolve = resolve
        self.timing = timing
        self.file = file
        """The file of its minutes; None without a folder."""
        self.forget = forget
        self.host: AgentRef | None = None
        """Its replica host; None when the meeting is over here."""
        self.members: dict[str, LocalMember] = {}
        """Any thread may read it: it is replaced and never changed."""
        self.former: dict[str, LocalMember] = {}
        """Members that left, with their replicas. Any thread may read it: it is replaced and never changed."""
        self.caller: tuple[str, AgentRef] | None = None
        self.terms: MeetingTerms | None = None
        self.responses: InvitationResponses | None = None
        """On the caller's node, until the meeting is cancelled or over."""
        self.committed = 0
        """The number of entries that are known to be committed."""
        self.written = 0
        """The number of entries in the file."""
        self._clock = clock
        self._offset = clock.time() - clock.monotonic()

    def now(self) -> float:
        """Return the time in seconds since 1970, which never goes back here."""
        return self._offset + self._clock.monotonic()

    def location(self, name: str) -> MemberLocation | None:
        """Return a member's location by the logs and states of the replicas here; None if none has it."""
        for member in self.members.values():
            location = member.replica.log.members.get(name)
            if location is not None:
                return location
        for member in self.members.values():
            for location in member.replica.state.locations.values():
                if location.name == name:
                    return location
        return None

    def member(self, name: str) -> LocalMember | None:
        """Return a present or former member. From any thread."""
        return self.members.get(name) or self.former.get(name)

    def add(self, member: LocalMember) -> None:
        """Add a member."""
        self.members = {**self.members, member.name: member}

    def remove(self, name: str) -> None:
        """Make a member a former one."""
        if name in self.members:
            self.former = {**self.former, name: self.members[name]}
            self.members = {other: member for other, member in self.members.items() if other != name}

    def close(self) -> None:
        """End the work of all replicas; the committed entries stay readable."""
        self.host = self.responses = None
        for member in (*self.members.values(), *self.former.values()):
            member.replica.close()

    def entries(self) -> list[LogEntry]:
        """Return the committed entries, from the replica here that has most of them. From any thread."""
        members = (*self.members.values(), *self.former.values())
        return max((member.replica.log.entries[: member.replica.committed] for member in members), key=len, default=[])

    def __deepcopy__(self, memo: object) -> LocalMeeting:
        return self
