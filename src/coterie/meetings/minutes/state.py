"""The state of a meeting: the fold of its minutes. What every member computes for itself, and all alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from coterie.errors import InvalidSetting, describe
from coterie.kernel import Packed, check_number
from coterie.meetings.ending import Condition, Said
from coterie.meetings.floor.contract_net import Contract
from coterie.meetings.floor.policy import Floor, Open, Turn, following
from coterie.meetings.minutes import changes, rules
from coterie.meetings.minutes.events import AnyEvent, Entry, Place, Refusal
from coterie.meetings.minutes.records import Missed, Motion, Reaction, Utterance

_ENCODER = msgspec.msgpack.Encoder(order="deterministic")


class MeetingState:
    """What has happened in a meeting, folded. Pure: the same entries give the same state, and the same digest.

    Whoever folds owns it: one thread at a time may touch it. What its properties return is immutable, or a copy.
    """

    def __init__(self, meeting: str, resolve: Callable[[Packed], Floor]) -> None:  # noqa: PLR0915 - one line for each part
        self.meeting = meeting
        """The meeting's id."""
        self.resolve = resolve
        self.topic = ""
        self.caller = ""
        self.orderer = ""
        """Who orders the events at present."""
        self.epoch = 0
        self.sequence = 0
        """Of the last entry."""
        self.floor: Floor = Open()
        self.ending: Condition | None = None
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
        """When something was said last, in seconds since 1970; before that, when it was opened."""
        self.turn = Turn(0, (), 0.0)
        self.turns = 0
        """How many turns have been taken or missed."""
        self.hands: tuple[str, ...] = ()
        """Who wants to speak, the first first."""
        self.order: tuple[str, ...] = ()
        """Who was ever a member, in the order of joining."""
        self.bidders: tuple[str, ...] = ()
        self.contract: Contract | None = None
        self.contracts: tuple[Contract, ...] = ()
        """Those that are over."""
        self.failure = ""
        """What a policy raised, until it is in the minutes."""
        self.places: dict[str, Place] = {}
        self.members: Mapping[str, Place] = MappingProxyType(self.places)
        """Who is a member, in the order of joining."""
        self.invitations: dict[str, bool] = {}
        self.refusals: dict[str, str] = {}
        self.all_motions: dict[str, Motion] = {}
        self.spoken: list[Utterance] = []
        self.all_reactions: list[Reaction] = []
        self.all_missed: list[Missed] = []
        self.inner: list[tuple[str, str]] = []
        self.void: list[int] = []
        """Entries that break the rules of the meeting, and count nowhere: only a faulty orderer makes them."""
        self.accepted: dict[str, int] = {}
        """Sequence numbers by the ids of submissions."""
        self._found: dict[Said, tuple[int, str]] = {}
        """What was searched for among utterances: how many have been looked at, and who said it."""
        self._entries: list[Entry] = []
        self._hashed = 0
        self._chain = hashlib.blake2b(digest_size=32)

    # What others read.

    @property
    def pending(self) -> tuple[str, ...]:
        """Who was invited and has not answered."""
        return tuple(self.invitations)

    @property
    def declined(self) -> dict[str, str]:
        """Who is not coming, and why."""
        return dict(self.refusals)

    @property
    def motions(self) -> dict[str, Motion]:
        """What was put to the vote, and the votes."""
        return dict(self.all_motions)

    @property
    def reactions(self) -> tuple[Reaction, ...]:
        """All reactions, in order."""
        return tuple(self.all_reactions)

    @property
    def missed(self) -> tuple[Missed, ...]:
        """All turns that were missed."""
        return tuple(self.all_missed)

    @property
    def nested(self) -> tuple[tuple[str, str], ...]:
        """Id and topic of the meetings that were called within this one."""
        return tuple(self.inner)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The minutes so far."""
        return tuple(self._entries)

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """All that was said, in order."""
        return tuple(self.spoken)

    @property
    def last_utterance(self) -> Utterance | None:
        """What was said last."""
        return self.spoken[-1] if self.spoken else None

    def first_said(self, wanted: Said) -> str:
        """Return in words who said something first; an empty text if nobody has. Each utterance is looked at once."""
        looked_at, told = self._found.get(wanted, (0, ""))
        if not told and looked_at < len(self.spoken):
            by = next((said.by for said in self.spoken[looked_at:] if wanted.fits(said)), None)
            told = f"{by} said {wanted.text!r}" if by is not None else ""
            self._found[wanted] = len(self.spoken), told
        return told

    def digest(self) -> str:
        """Return a hash of all that has happened and what it came to, but for times, addresses and ids.

        Two members that have folded the same minutes have the same, and so has a meeting that is held again and goes alike.
        """
        for entry in self._entries[self._hashed :]:
            self._chain.update(_ENCODER.encode((entry.epoch, entry.sequence, entry.by, changes.lasting(entry.event))))
        self._hashed = len(self._entries)
        whole = self._chain.copy()
        whole.update(
            _ENCODER.encode(
                (
                    self.is_open,
                    self.orderer,
                    list(self.places),
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

    # Folding.

    def objection(self, by: str, event: AnyEvent, at: float) -> Refusal | None:
        """Return why an event may not happen now; None if it may. What a policy raises counts as its base's answer."""
        return rules.objection(self, by, event, at)

    def apply(self, entry: Entry) -> bool:
        """Take an entry in. Return whether it counts."""
        counts = not self._entries or rules.objection(self, entry.by, entry.event, entry.at) is None
        self._entries.append(entry)
        self.epoch = entry.epoch
        self.sequence = entry.sequence
        if entry.id:
            self.accepted[entry.id] = entry.sequence
        if counts:
            changes.apply(self, entry)
        else:
            self.void.append(entry.sequence)
        return counts

    def take_turn(self, by: str, event: AnyEvent, at: float) -> None:
        """Have a turn be over because somebody used it, or missed it."""
        self.turns += 1
        holders = self.turn.holders
        try:
            if self.floor.keeps_floor(self, event):
                return
        except Exception as error:  # noqa: BLE001 - somebody's policy; it gets into the minutes
            self._note_failure(error)
        if by in holders and len(holders) > 1:
            self.turn = msgspec.structs.replace(self.turn, holders=tuple(name for name in holders if name != by))
        elif by in holders or not holders:
            self.next_turn(by, at)

    def next_turn(self, last: str, at: float) -> None:
        """Give the floor to who comes after `last`."""
        floor = self.floor
        if floor.chooses:
            self.turn = Turn(self.turn.number + 1, (), at, floor.turn_limit, choosing=True)
            return
        try:
            holders = floor.next(self, last)
            if holders != ():
                holders = self._names(holders)
        except Exception as error:  # noqa: BLE001 - as above; every member asks the round robin instead
            self._note_failure(error)
            holders = following(self, last)
        self.give_turn(holders, at)

    def give_turn(self, holders: tuple[str, ...], at: float) -> None:
        """Give the floor to somebody."""
        number = self.turn.number if self.turn.choosing else self.turn.number + 1
        try:
            limit = self.floor.limit(self, holders)
            if limit is not None:
                check_number("the policy's limit", limit, above=0)
        except Exception as error:  # noqa: BLE001 - as above
            self._note_failure(error)
            limit = self.floor.turn_limit
        self.turn = Turn(number, holders, at, limit)

    def _names(self, holders: Any) -> tuple[str, ...]:
        """Return whom a policy has chosen, if it is a choice. Raises `InvalidSetting`."""
        if not isinstance(holders, tuple | list):
            raise InvalidSetting("the policy's choice", holders, "a tuple of members' names, which may be empty")
        for name in holders:
            if not isinstance(name, str) or name not in self.places:
                raise InvalidSetting("the policy's choice", name, f"one of {', '.join(self.places)}")
        return tuple(dict.fromkeys(holders))

    def _note_failure(self, error: Exception) -> None:
        self.failure = self.failure or describe(error)
