"""`Meetings`: the service through which agents call meetings, and find those that they are in."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from coterie.concurrency import Rank, new_lock
from coterie.errors import (
    EncodeFailed,
    GuestUnreachable,
    InvalidSetting,
    InvitationDeclined,
    InvitationUnanswered,
    MeetingNotHeld,
    NotInAgent,
    QuorumMissed,
    UnknownMeeting,
)
from coterie.kernel import Address, Codec, Packed, check_instance, check_number
from coterie.meetings.desk.clerk import Clerk
from coterie.meetings.desk.desk import Desk, Terms
from coterie.meetings.desk.inviting import RECEPTION, Gathering
from coterie.meetings.desk.letters import Hold, NotHeld
from coterie.meetings.desk.options import ending_of, plain_parameters
from coterie.meetings.desk.reception import Reception
from coterie.meetings.ending import Condition
from coterie.meetings.floor.chaired import Selector
from coterie.meetings.floor.policy import Floor, Open
from coterie.meetings.folder import MinutesFolder
from coterie.meetings.meeting import Meeting
from coterie.meetings.messages import Batch
from coterie.meetings.minutes.events import Entry
from coterie.meetings.minutes.state import MeetingState
from coterie.meetings.protocol.timing import Timing
from coterie.messaging import MailboxPolicy
from coterie.runtime import AgentRef, Runtime

_KINDS: dict[str, type[MeetingNotHeld]] = {
    "declined": InvitationDeclined,
    "silent": InvitationUnanswered,
    "unreachable": GuestUnreachable,
    "quorum": QuorumMissed,
}
_REMEMBERED = 1_000
"""Meetings that are over and still known."""


class MeetingStatus(msgspec.Struct, frozen=True):
    """How a meeting is, as far as this node knows."""

    id: str
    topic: str
    caller: str
    members: tuple[str, ...]
    pending: tuple[str, ...]
    """Who was invited and has not answered."""
    declined: dict[str, str]
    is_open: bool
    sequence: int
    """How long its minutes are."""
    outcome: Any = None
    digest: str = ""


class Meetings:
    """Holds meetings of agents.

    ::

        runtime.provide(Meetings())
        ...
        meeting = await self.context.use(Meetings).call("budget", invite=[x, y], optional=[z], quorum=2, timeout=5)

    Each node that has agents in meetings is given one of its own. `folder` is where minutes are written as they become
    final, a file of JSON lines for each meeting, and Markdown beside it when it is over; without, they are in memory
    alone. Seconds: `timeout` for guests to answer, `patience` for what is said to reach a majority.

    Safe from any thread. `_lock` guards the tables; a meeting itself belongs to its clerk.
    """

    def __init__(
        self,
        *,
        folder: Path | str | None = None,
        timeout: float = 30.0,
        patience: float = 10.0,
        timing: Timing | None = None,
    ) -> None:
        check_number("Meetings.timeout", timeout, above=0)
        check_number("Meetings.patience", patience, above=0)
        self.folder = Path(folder) if folder is not None else None
        self._keeps = MinutesFolder(self.folder) if self.folder is not None else None
        self.timeout = timeout
        self.patience = patience
        self.timing = timing if timing is not None else Timing()
        self._lock = new_lock(Rank.RECORDS)
        self._runtime: Runtime | None = None
        self._codec = Codec()
        self._numbers = itertools.count(1)
        self._desks: dict[str, Desk] = {}
        self._past: dict[str, Desk] = {}
        self._remembered = _REMEMBERED
        self._handles: dict[tuple[str, str], Meeting] = {}

    def __deepcopy__(self, memo: object) -> Meetings:
        return self

    def provided(self, runtime: Runtime) -> None:
        """Be told of the runtime, by `runtime.provide`."""
        if self._runtime is not None:
            raise InvalidSetting("Meetings", self, "a runtime of its own: give each runtime another one")
        self._runtime = runtime
        runtime.spawn(Reception, self, name=RECEPTION)

    # What agents call.

    async def call(
        self,
        topic: str,
        invite: Iterable[AgentRef | str] = (),
        *,
        optional: Iterable[AgentRef | str] = (),
        floor: Floor | None = None,
        quorum: int = 1,
        timeout: float | None = None,
        ending: Condition | None = None,
        max_turns: int | None = None,
        time_limit: float | None = None,
        parameters: Mapping[str, Any] | None = None,
        closes_with_caller: bool = False,
        parent: Meeting | None = None,
        record: str | None = None,
        batch: Batch | None = None,
        caller: AgentRef | None = None,
    ) -> Meeting:
        """Invite guests, and hold a meeting with those who come; return it once it is open.

        All of `invite` must come, and nobody waits for those who are `optional`: they may join for as long as `timeout`
        seconds. `quorum` is the least number of members, the caller among them, with which the meeting is held, and
        goes on. It is closed by somebody, by `ending`, or after `max_turns` turns or `time_limit` seconds.
        `parameters` are plain data for every guest to know. `floor` is `Open()` unless given. `record`
        names the file of the minutes; what is there is written over, but not by two meetings at once. `batch` is how the
        caller wants to be woken. The caller is the agent that calls this, unless `caller` says which. When the caller is gone the others go on, unless
        `closes_with_caller`.

        Raises `MeetingNotHeld`: `InvitationDeclined`, `InvitationUnanswered`, `GuestUnreachable`, `QuorumMissed`; all who
        were invited are then told. And `InvalidSetting`, `NotInAgent`.
        """
        runtime = self._bound()
        me = caller if caller is not None else runtime.current
        if me is None:
            raise NotInAgent("a meeting's caller")
        check_instance("call.caller", me, AgentRef, "the reference of an agent")
        check_instance("call.topic", topic, str, "text")
        plain_parameters({"topic": topic})
        required = self._guests("call.invite", invite, me, {me.name: str(me.address)})
        known = {me.name: str(me.address), **{name: str(ref.address) for name, ref in required.items()}}
        others = self._guests("call.optional", optional, me, known)
        check_number("call.quorum", quorum, least=1, whole=True)
        if quorum > 1 + len(required) + len(others):
            raise InvalidSetting("call.quorum", quorum, f"at most the {1 + len(required) + len(others)} who could be there")
        limit = self.timeout if timeout is None else timeout
        check_number("call.timeout", limit, above=0)
        policy = floor if floor is not None else Open()
        check_instance("call.floor", policy, Floor, "a policy such as RoundRobin()")
        if parent is not None:
            check_instance("call.parent", parent, Meeting, "the meeting within which this one is")
        if batch is not None:
            check_instance("call.batch", batch, Batch, "a Batch(wait=…, ceiling=…)")
        if record is not None:
            check_instance("call.record", record, str, "a name for the file of the minutes")
        check_instance("call.closes_with_caller", closes_with_caller, bool, "True or False")
        meeting = f"{next(self._numbers)}@{runtime.node}"
        terms = Terms(
            topic,
            self._pack(policy),
            type(policy).__name__,
            quorum,
            ending_of(ending, max_turns, time_limit),
            plain_parameters(parameters),
            parent.id if parent is not None else "",
            closes_with_caller,
            limit,
            batch,
        )
        desk = self._make_desk(meeting, topic, policy, record)
        desk.caller = me.name, me
        desk.terms = terms
        desk.gathering = Gathering(required, others, quorum)
        clerk = self._employ(desk)
        verdict = await clerk.ask(Hold(), timeout=None)
        if verdict is not None:
            raise self.not_held(topic, verdict)
        return self._handle(desk, me.name)

    def meeting(self, id: str, member: AgentRef | str | None = None) -> Meeting:  # noqa: A002 - the field's own name
        """Return a meeting as the calling agent, or `member`, sees it, also one that is over. Raises `UnknownMeeting`."""
        who = member if member is not None else self._bound().current
        if who is None:
            raise NotInAgent("a member's view of a meeting")
        desk = self._desk(id)
        if not isinstance(who, str):
            for seat in (*desk.seats.values(), *desk.past.values()):
                if seat.agent == who:
                    return self._handle(desk, seat.name)
        elif desk.seat_of(who) is not None:
            return self._handle(desk, who)
        raise UnknownMeeting(id, f"{who} is no member of it")

    # What anybody may look at.

    @property
    def held(self) -> tuple[str, ...]:
        """The ids of the meetings that are going on here."""
        with self._lock:
            return tuple(self._desks)

    def status(self, id: str) -> MeetingStatus:  # noqa: A002 - the field's own name
        """Return how a meeting is. Raises `UnknownMeeting`."""
        desk = self._desk(id)
        state = MeetingState(id, desk.resolve)
        minutes = desk.minutes()
        for entry in minutes:
            state.apply(entry)
        caller = desk.caller[0] if desk.caller is not None else state.caller
        gathering = desk.gathering
        pending = state.pending if minutes or gathering is None else tuple(gathering.open)
        declined = state.declined if minutes or gathering is None else gathering.not_coming
        return MeetingStatus(
            id,
            desk.topic,
            caller,
            tuple(state.places),
            pending,
            declined,
            state.is_open,
            state.sequence,
            state.outcome,
            state.digest(),
        )

    def of(self, agent: AgentRef | str) -> tuple[MeetingStatus, ...]:
        """Return the meetings that are going on here and in which an agent is."""
        name = agent if isinstance(agent, str) else agent.name
        found = (self.status(id_) for id_ in self.held)
        return tuple(status for status in found if name in status.members or name == status.caller)

    def caller_of(self, id: str) -> str:  # noqa: A002 - the field's own name
        """Return who called a meeting. Raises `UnknownMeeting`."""
        return self.status(id).caller

    # What its parts use.

    @property
    def current(self) -> AgentRef | None:
        """The agent whose code calls this; None outside of all."""
        return self._bound().current

    def guest(self, guest: AgentRef | str) -> AgentRef:
        """Return the reference of somebody who is to be invited, be there such an agent or not."""
        if isinstance(guest, AgentRef):
            return guest
        if not Address.is_name(guest):
            raise InvalidSetting("a guest", guest, "a reference, or the name of an agent")
        runtime = self._bound()
        return runtime.find(guest) or runtime.reference(Address(runtime.node, guest))

    def name_for(self, guest: AgentRef, known: Mapping[str, str]) -> str:
        """Return what a guest is called in a meeting where others have names already."""
        taken = known.get(guest.name)
        if taken is None or taken == str(guest.address):
            return guest.name
        return f"{guest.name}@{guest.address.node}"

    def not_held(self, topic: str, verdict: NotHeld) -> MeetingNotHeld:
        """Return the error that says why a meeting is not held."""
        kind = _KINDS.get(verdict.kind, MeetingNotHeld)
        return kind(topic, verdict.reason, declined=verdict.declined, silent=verdict.silent, unreachable=verdict.unreachable)

    def resolve(self, packed: Packed) -> Floor:
        """Return the policy of a meeting that was called elsewhere. Raises `DecodeFailed`."""
        return self._codec.unpack(packed, Floor)

    def desk_for(self, meeting: str, topic: str) -> Desk:
        """Return the desk of a meeting that was called elsewhere; make it if this is the first guest here."""
        with self._lock:
            desk = self._desks.get(meeting)
        if desk is None:
            desk = self._make_desk(meeting, topic)
            self._employ(desk)
        return desk

    def drop(self, meeting: str) -> None:
        """Have a meeting that was called off elsewhere be forgotten here."""
        with self._lock:
            desk = self._desks.get(meeting)
        if desk is not None:
            if (clerk := desk.clerk) is not None:
                clerk.stop()
            self._forget(desk)

    def _bound(self) -> Runtime:
        if self._runtime is None:
            raise InvalidSetting("Meetings", self, "a runtime: runtime.provide(Meetings())")
        return self._runtime

    def _guests(
        self, where: str, guests: Iterable[AgentRef | str], me: AgentRef, known: Mapping[str, str]
    ) -> dict[str, AgentRef]:
        if isinstance(guests, str | AgentRef) or not isinstance(guests, Iterable):
            raise InvalidSetting(where, guests, "a list of references or names")
        found: dict[str, AgentRef] = {}
        for guest in guests:
            reference = self.guest(guest)
            if reference == me or (reference.name == me.name and reference.address.node == me.address.node):
                raise InvalidSetting(where, guest, "others than the caller, who is there anyway")
            taken = {**known, **{name: str(ref.address) for name, ref in found.items()}}
            name = self.name_for(reference, taken)
            if name in taken:
                if taken[name] == str(reference.address):
                    raise InvalidSetting(where, guest, "everybody once only")
                raise InvalidSetting(where, guest, "another name: two guests of one node have it")
            found[name] = reference
        return found

    def _pack(self, floor: Floor) -> Packed:
        """Return a policy as other nodes get it. One with parts that cannot be sent serves on this node alone."""
        try:
            return self._codec.pack(msgspec.structs.replace(floor, function="") if isinstance(floor, Selector) else floor)
        except EncodeFailed:
            return Packed("", b"")

    def _make_desk(self, meeting: str, topic: str, floor: Floor | None = None, record: str | None = None) -> Desk:
        resolve = self.resolve if floor is None else lambda _: floor
        desk = Desk(meeting, topic, self._bound(), resolve, self.timing, self._record, self._forget)
        with self._lock:
            if record is not None and self._keeps is not None:
                desk.path = self._keeps.claim(record, [each.path for each in self._desks.values()])
            return self._desks.setdefault(meeting, desk)

    def _employ(self, desk: Desk) -> AgentRef:
        # Letters may be lost, for they are sent again; nobody who sends one is to wait for room.
        policy = MailboxPolicy(capacity=100_000, overflow="drop-oldest")
        if desk.clerk is None:
            desk.clerk = self._bound().spawn(Clerk, desk, mailbox=policy, name=f"{RECEPTION}/{desk.meeting}")
        return desk.clerk

    def _desk(self, meeting: str) -> Desk:
        with self._lock:
            desk = self._desks.get(meeting) or self._past.get(meeting)
        if desk is None:
            raise UnknownMeeting(meeting, "there is no meeting of that id here, or it has been over for long")
        return desk

    def _handle(self, desk: Desk, name: str) -> Meeting:
        seat = desk.seat_of(name)
        assert seat is not None
        key = desk.meeting, name
        with self._lock:
            handle = self._handles.get(key)
            if handle is None or handle._seat is not seat:  # noqa: SLF001 - service and handle are two sides of one thing
                handle = self._handles[key] = Meeting(self, desk, seat)
            return handle

    def _forget(self, desk: Desk) -> None:
        with self._lock:
            if self._desks.pop(desk.meeting, None) is None:
                return
            if desk.recorded:
                self._past[desk.meeting] = desk
            for name in (*desk.seats, *desk.past):
                self._handles.pop((desk.meeting, name), None)
            while len(self._past) > self._remembered:
                oldest = self._past.pop(next(iter(self._past)))
                # Those that asked for it after it was over have a handle.
                for name in (*oldest.seats, *oldest.past):
                    self._handles.pop((oldest.meeting, name), None)
        if self._keeps is not None:
            self._keeps.finish(desk)

    def _record(self, desk: Desk, entries: list[Entry]) -> None:
        if self._keeps is not None:
            self._keeps.write(desk, entries)
