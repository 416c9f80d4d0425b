"""`Meetings`: the service with which agents call meetings and find theirs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from coterie.concurrency import Rank, new_lock
from coterie.errors import InvalidSetting, NotInAgent, UnknownMeeting
from coterie.kernel import check_instance, check_number
from coterie.meetings.host.directory import InvitationService, MeetingDirectory, name_for
from coterie.meetings.host.invitations import INVITATION_SERVICE
from coterie.meetings.host.local_meeting import LocalMeeting, MeetingTerms
from coterie.meetings.host.local_member import LocalMember
from coterie.meetings.host.messages import OpenMeeting
from coterie.meetings.host.responses import InvitationResponses
from coterie.meetings.meeting import Meeting, not_held_error
from coterie.meetings.messages import Batch
from coterie.meetings.minutes import ENCODE_ERRORS, PLAIN_DATA, stable_copy
from coterie.meetings.raft.state import Timing
from coterie.meetings.state import fold
from coterie.meetings.state.floor import Floor, Open
from coterie.meetings.state.meeting_state import MeetingState
from coterie.meetings.state.termination import AnyCondition, combined_condition
from coterie.runtime import AgentRef, Runtime


class MeetingStatus(msgspec.Struct, frozen=True):
    """The status of a meeting, as far as this node knows."""

    id: str
    topic: str
    caller: str
    members: tuple[str, ...]
    pending: tuple[str, ...]
    """Guests that have not answered."""
    declined: dict[str, str]
    """Guests that are not coming, and why."""
    is_open: bool
    sequence: int
    """The number of log entries."""
    outcome: Any = None
    digest: str = ""


class ReplicaStatus(msgspec.Struct, frozen=True):
    """The replica of one member."""

    member: str
    committed: int
    """The number of entries that it knows to be final."""
    digest: str
    """Of the state after these."""


class Meetings:
    """Calls and finds meetings of agents.

    ::

        runtime.provide(Meetings())
        ...
        meeting = await self.context.use(Meetings).call("budget", invite=[x, y], optional=[z], quorum=2, timeout=5)

    Each node with agents in meetings needs one of its own. Minutes are written to `folder` as entries are committed: a
    file of JSON lines for each meeting, and Markdown beside it at the end. Without a folder they stay in memory. Seconds:
    `timeout` for guests to answer, `patience` for a contribution to reach a majority.

    Raises `InvalidSetting` for an invalid time. Safe from any thread. `_lock` guards the handles.
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
        self.timeout = timeout
        self.patience = patience
        self.timing = timing if timing is not None else Timing()
        self._lock = new_lock(Rank.RECORDS)
        self._runtime: Runtime | None = None
        self._directory: MeetingDirectory | None = None
        self._numbers = itertools.count(1)
        self._handles: dict[tuple[str, str], tuple[LocalMember, Meeting]] = {}
        """Each member's handle, by the meeting's id and the member's name."""

    def __deepcopy__(self, memo: object) -> Meetings:
        return self

    def provided(self, runtime: Runtime) -> None:
        """Bind this service to a runtime; `runtime.provide` calls it. Raises `InvalidSetting` at the second runtime."""
        if self._runtime is not None:
            raise InvalidSetting("Meetings", self, "a runtime of its own: give each runtime another one")
        self._runtime = runtime
        self._directory = MeetingDirectory(runtime, self.folder, self.timing, self._forget_handles)
        runtime.spawn(InvitationService, self._directory, name=INVITATION_SERVICE)

    async def call(
        self,
        topic: str,
        invite: Iterable[AgentRef | str] = (),
        *,
        optional: Iterable[AgentRef | str] = (),
        floor: Floor | None = None,
        quorum: int = 1,
        timeout: float | None = None,
        ending: AnyCondition | None = None,
        max_turns: int | None = None,
        time_limit: float | None = None,
        parameters: Mapping[str, Any] | None = None,
        closes_with_caller: bool = False,
        parent: Meeting | None = None,
        record: str | None = None,
        batch: Batch | None = None,
        caller: AgentRef | None = None,
    ) -> Meeting:
        """Invite guests, open a meeting with those that come, and return it.

        All of `invite` must come. The opening does not wait for the `optional` guests, which may join within `timeout`
        seconds. `quorum` is the minimum number of members, the caller included, to open the meeting and to go on. A
        member closes it, or `ending`, `max_turns` turns or `time_limit` seconds do. `parameters` are plain data for all
        guests. `floor` is `Open()` by default. `record` names the file of the minutes; it replaces a file of that name,
        but two open meetings cannot share one. `batch` batches the utterances to the caller. The caller is the calling
        agent, or `caller`. When the caller leaves, the others go on, unless `closes_with_caller`.

        Raises `MeetingNotHeld`: `InvitationDeclined`, `InvitationUnanswered`, `GuestUnreachable` or `QuorumMissed`; all
        guests are told. Also raises `InvalidSetting` and `NotInAgent`.
        """
        runtime = self._bound()
        directory = self._bound_directory()
        me = caller if caller is not None else runtime.current
        if me is None:
            raise NotInAgent("a meeting's caller")
        check_instance("call.caller", me, AgentRef, "the reference of an agent")
        check_instance("call.topic", topic, str, "text")
        _checked_parameters({"topic": topic})
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
        terms = MeetingTerms(
            topic,
            directory.pack_floor(policy),
            type(policy).__name__,
            quorum,
            combined_condition(ending, max_turns, time_limit),
            _checked_parameters(parameters),
            parent.id if parent is not None else "",
            closes_with_caller,
            limit,
            batch,
        )
        local, host = directory.create(meeting, topic, policy, record)
        local.caller = me.name, me
        local.terms = terms
        local.responses = InvitationResponses(required, others, quorum)
        verdict = await host.ask(OpenMeeting(), timeout=None)
        if verdict is not None:
            raise not_held_error(topic, verdict)
        return self._handle(local, me.name)

    def meeting(self, id: str, member: AgentRef | str | None = None) -> Meeting:  # noqa: A002 - the field's own name
        """Return the handle of the calling agent, or of `member`, also of a meeting that is over. Raises `UnknownMeeting`."""
        who = member if member is not None else self._bound().current
        if who is None:
            raise NotInAgent("a member's view of a meeting")
        local = self._bound_directory().find(id)
        if not isinstance(who, str):
            for each in (*local.members.values(), *local.former.values()):
                if each.agent == who:
                    return self._handle(local, each.name)
        elif local.member(who) is not None:
            return self._handle(local, who)
        raise UnknownMeeting(id, f"{who} is not a member of it")

    @property
    def held(self) -> tuple[str, ...]:
        """The ids of the meetings with members on this node that are not over."""
        return self._directory.open if self._directory is not None else ()

    def status(self, id: str) -> MeetingStatus:  # noqa: A002 - the field's own name
        """Return the status of a meeting. Raises `UnknownMeeting`."""
        local = self._bound_directory().find(id)
        state = MeetingState(id, local.resolve)
        entries = local.entries()
        for entry in entries:
            fold.apply(state, entry)
        caller = local.caller[0] if local.caller is not None else state.caller
        responses = local.responses
        pending = state.pending if entries or responses is None else tuple(responses.open)
        declined = state.declined if entries or responses is None else responses.not_coming
        return MeetingStatus(
            id,
            local.topic,
            caller,
            tuple(state.locations),
            pending,
            declined,
            state.is_open,
            state.sequence,
            state.outcome,
            state.digest(),
        )

    def state(self, id: str) -> MeetingState:  # noqa: A002 - the field's own name
        """Return a state of a meeting of the caller's own, folded from the entries known here. Raises `UnknownMeeting`."""
        return self._folded(id, None)

    def replicas(self, id: str) -> tuple[ReplicaStatus, ...]:  # noqa: A002 - the field's own name
        """Return how far the replica of each member on this node is. Raises `UnknownMeeting`."""
        local = self._bound_directory().find(id)
        committed = {name: member.replica.committed for name, member in (*local.members.items(), *local.former.items())}
        digests = {number: self._folded(id, number).digest() for number in set(committed.values())}
        return tuple(ReplicaStatus(name, number, digests[number]) for name, number in committed.items())

    def _folded(self, id: str, until: int | None) -> MeetingState:  # noqa: A002 - as above
        local = self._bound_directory().find(id)
        state = MeetingState(id, local.resolve)
        for entry in local.entries()[:until]:
            fold.apply(state, entry)
        return state

    def of(self, agent: AgentRef | str) -> tuple[MeetingStatus, ...]:
        """Return the status of each open meeting of an agent."""
        name = agent if isinstance(agent, str) else agent.name
        found = (self.status(id_) for id_ in self.held)
        return tuple(status for status in found if name in status.members or name == status.caller)

    def caller_of(self, id: str) -> str:  # noqa: A002 - the field's own name
        """Return the name of a meeting's caller. Raises `UnknownMeeting`."""
        return self.status(id).caller

    def _bound(self) -> Runtime:
        if self._runtime is None:
            raise InvalidSetting("Meetings", self, "a runtime: runtime.provide(Meetings())")
        return self._runtime

    def _bound_directory(self) -> MeetingDirectory:
        self._bound()
        assert self._directory is not None
        return self._directory

    def _guests(
        self, where: str, guests: Iterable[AgentRef | str], me: AgentRef, known: Mapping[str, str]
    ) -> dict[str, AgentRef]:
        if isinstance(guests, str | AgentRef) or not isinstance(guests, Iterable):
            raise InvalidSetting(where, guests, "a list of references or names")
        directory = self._bound_directory()
        found: dict[str, AgentRef] = {}
        for guest in guests:
            reference = directory.guest(guest)
            if reference == me or (reference.name == me.name and reference.address.node == me.address.node):
                raise InvalidSetting(where, guest, "guests other than the caller, who is a member anyway")
            taken = {**known, **{name: str(ref.address) for name, ref in found.items()}}
            name = name_for(reference, taken)
            if name in taken:
                if taken[name] == str(reference.address):
                    raise InvalidSetting(where, guest, "each guest once only")
                raise InvalidSetting(where, guest, "another name: two guests of one node have it")
            found[name] = reference
        return found

    def _handle(self, local: LocalMeeting, name: str) -> Meeting:
        member = local.member(name)
        assert member is not None
        directory = self._bound_directory()
        key = local.meeting, name
        with self._lock:
            made, handle = self._handles.get(key, (None, None))
            if handle is None or made is not member:
                handle = Meeting(
                    local, member, directory=directory, call=self.call, timeout=self.timeout, patience=self.patience
                )
                self._handles[key] = member, handle
            return handle

    def _forget_handles(self, local: LocalMeeting) -> None:
        with self._lock:
            for name in (*local.members, *local.former):
                self._handles.pop((local.meeting, name), None)


def _checked_parameters(parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of the caller's parameters. Raises `InvalidSetting` unless they are plain data."""
    if parameters is None:
        return {}
    check_instance("call.parameters", parameters, Mapping, "a mapping of names to plain data")
    try:
        return stable_copy(dict(parameters))  # type: ignore[no-any-return] # a mapping comes back as one
    except ENCODE_ERRORS as error:
        raise InvalidSetting("call.parameters", tuple(map(str, parameters)), f"{PLAIN_DATA} ({error})") from error
