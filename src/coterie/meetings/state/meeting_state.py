"""The data of a meeting's state, as it stands after the last folded entry."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from coterie.kernel.codec import Packed
from coterie.meetings.state import events
from coterie.meetings.state.events import AnyEvent, LogEntry
from coterie.meetings.state.floor import Floor, Open
from coterie.meetings.state.records import (
    Contract,
    FloorTurn,
    MemberLocation,
    Missed,
    Motion,
    Reaction,
    Utterance,
    UtteranceMatcher,
)
from coterie.meetings.state.termination import AnyCondition

_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_replace = msgspec.structs.replace


class MeetingState:
    """The state of a meeting: a fold of its log. The same entries give the same state, and the same digest.

    Not safe for several threads: its owner folds and reads it. Its properties return immutable values, or copies.
    """

    def __init__(self, meeting: str, resolve: Callable[[Packed], Floor]) -> None:  # noqa: PLR0915 - one line for each part
        self.meeting = meeting
        """The meeting's id."""
        self.resolve = resolve
        """Returns the floor policy of a packed one."""
        self.topic = ""
        self.caller = ""
        self.leader = ""
        """The member that leads by the log; the leader that a replica follows may be newer."""
        self.term = 0
        self.sequence = 0
        """The sequence number of the last entry."""
        self.floor: Floor = Open()
        self.ending: AnyCondition | None = None
        self.quorum = 1
        self.parameters: Mapping[str, Any] = MappingProxyType({})
        self.parent = ""
        self.closes_with_caller = False
        self.is_open = False
        self.outcome: Any = None
        self.reason = ""
        """Why it is over."""
        self.opened_at = 0.0
        self.quiet_since = 0.0
        """When the last utterance was made, or the meeting was opened, in seconds since 1970."""
        self.turn = FloorTurn(0, (), 0.0)
        self.turns = 0
        """The number of turns taken or missed."""
        self.hands: tuple[str, ...] = ()
        """Members that raised a hand, in that order."""
        self.order: tuple[str, ...] = ()
        """All present and former members, in the order of joining."""
        self.bidders: tuple[str, ...] = ()
        self.contract: Contract | None = None
        self.contracts: tuple[Contract, ...] = ()
        """The finished contracts."""
        self.failure = ""
        """The exception that a policy raised, in words, until it is logged."""
        self.locations: dict[str, MemberLocation] = {}
        self.members: Mapping[str, MemberLocation] = MappingProxyType(self.locations)
        """The present members, in the order of joining."""
        self.invitations: dict[str, bool] = {}
        """Guests that have not answered, and whether each is required."""
        self.refusals: dict[str, str] = {}
        self.all_motions: dict[str, Motion] = {}
        self.spoken: list[Utterance] = []
        self.all_reactions: list[Reaction] = []
        self.all_missed: list[Missed] = []
        self.inner: list[tuple[str, str]] = []
        self.void: list[int] = []
        """Entries that break the rules of the meeting and have no effect; only a faulty leader appends them."""
        self.accepted: dict[str, int] = {}
        """Sequence numbers by proposal id."""
        self._matches: dict[UtteranceMatcher, tuple[int, Utterance | None]] = {}
        """The number of utterances tested by each matcher, and the first match."""
        self.folded: list[LogEntry] = []
        self._hashed = 0
        self._chain = hashlib.blake2b(digest_size=32)

    @property
    def pending(self) -> tuple[str, ...]:
        """Guests that have not answered."""
        return tuple(self.invitations)

    @property
    def declined(self) -> dict[str, str]:
        """Guests that are not coming, and why."""
        return dict(self.refusals)

    @property
    def motions(self) -> dict[str, Motion]:
        """All motions with their votes, by text."""
        return dict(self.all_motions)

    @property
    def reactions(self) -> tuple[Reaction, ...]:
        """All reactions, in order."""
        return tuple(self.all_reactions)

    @property
    def missed(self) -> tuple[Missed, ...]:
        """All missed turns, in order."""
        return tuple(self.all_missed)

    @property
    def nested(self) -> tuple[tuple[str, str], ...]:
        """Id and topic of each meeting that was called within this one."""
        return tuple(self.inner)

    @property
    def entries(self) -> tuple[LogEntry, ...]:
        """All entries folded so far."""
        return tuple(self.folded)

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """All utterances, in order."""
        return tuple(self.spoken)

    @property
    def last_utterance(self) -> Utterance | None:
        """The last utterance; None before the first."""
        return self.spoken[-1] if self.spoken else None

    def first_match(self, wanted: UtteranceMatcher) -> Utterance | None:
        """Return the first utterance that matches; None without one. Each utterance is tested once by each matcher."""
        tested, found = self._matches.get(wanted, (0, None))
        if found is None and tested < len(self.spoken):
            found = next((said for said in self.spoken[tested:] if wanted.matches(said)), None)
            self._matches[wanted] = len(self.spoken), found
        return found

    def digest(self) -> str:
        """Return a hash of all entries and the state, without times, addresses and ids.

        Members that have folded the same log have the same digest, and so has a repetition of the meeting.
        """
        for entry in self.folded[self._hashed :]:
            self._chain.update(_ENCODER.encode((entry.term, entry.sequence, entry.by, _reproducible(entry.event))))
        self._hashed = len(self.folded)
        whole = self._chain.copy()
        whole.update(
            _ENCODER.encode(
                (
                    self.is_open,
                    self.leader,
                    list(self.locations),
                    self.hands,
                    self.turns,
                    self.turn.number,
                    self.turn.holders,
                    list(self.invitations),
                    self.refusals,
                    {name: motion.votes for name, motion in self.all_motions.items()},
                    self.void,
                )
            )
        )
        return whole.hexdigest()


def _reproducible(event: AnyEvent) -> AnyEvent:
    """Return an event without addresses and ids, which differ each time a meeting is held."""
    if isinstance(event, events.MeetingOpened):
        members = tuple(_anonymous(member) for member in event.members)
        return _replace(event, members=members, parent="yes" if event.parent else "")
    if isinstance(event, events.Joined):
        return events.Joined(_anonymous(event.member))
    if isinstance(event, events.Nested):
        return events.Nested("", event.topic)
    return event


def _anonymous(member: MemberLocation) -> MemberLocation:
    return MemberLocation(member.name, "", "", member.person)
