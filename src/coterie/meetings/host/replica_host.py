"""The replica host of one meeting on one node: it runs the replicas of the members there and tells their agents."""

from __future__ import annotations

import asyncio

from coterie.errors import describe
from coterie.meetings.host.invitations import Invitations
from coterie.meetings.host.local_meeting import LocalMeeting
from coterie.meetings.host.local_member import LocalMember
from coterie.meetings.host.messages import (
    AddMember,
    InviteGuest,
    NotHeld,
    OpenMeeting,
    ReplicaMessage,
    ReplicaMessages,
    SubmitProposal,
    Tick,
)
from coterie.meetings.messages import Accept
from coterie.meetings.raft.messages import Committed, Diverged, ProposalResult, Send
from coterie.meetings.raft.replica import Replica
from coterie.meetings.state import events
from coterie.meetings.state.events import AnyEvent, LogEntry, Refusal
from coterie.meetings.state.records import MemberLocation
from coterie.messaging import Message
from coterie.runtime import Agent, AgentDown, AgentRef, AgentRestarted, on
from coterie.runtime.references.agent_timer import AgentTimer


class _Effects:
    """The effects of one exchange of messages."""

    __slots__ = ("elsewhere", "news", "results", "touched")

    def __init__(self, touched: dict[str, LocalMember]) -> None:
        self.touched = touched
        self.news: list[tuple[LocalMember, LogEntry]] = []
        self.results: list[ProposalResult] = []
        self.elsewhere: dict[str, list[ReplicaMessage]] = {}


class ReplicaHost(Agent):
    """Hosts the replicas of a meeting's members beside their agents, so that they answer while those are busy.

    Replicas here exchange their messages within one call; those elsewhere get them as `ReplicaMessages`.
    """

    records_spans = False

    def __init__(self, meeting: LocalMeeting) -> None:
        self.meeting = meeting
        self._waiting: dict[str, asyncio.Future[ProposalResult]] = {}
        """Futures of proposals, by their ids."""
        self._timer: AgentTimer | None = None
        self._planned = 0.0
        self._deadlines: dict[str, float | None] = {}
        """The next deadline of each replica."""
        self._references: dict[str, AgentRef] = {}
        self._senders: dict[str, str] = {}
        """The host of each member that sent a message."""
        self._linger: float | None = None
        self._opens_by: float | None = None

    def on_start(self) -> None:
        """Start with the members of the meeting, if this host was restarted."""
        self._invitations = Invitations(self.meeting, self.context, self)
        for member in self.meeting.members.values():
            self.context.watch(member.agent)
        self.exchange(dict(self.meeting.members))

    # Messages.

    @on(interleave=True)
    async def open_meeting(self, message: OpenMeeting) -> NotHeld | None:  # noqa: ARG002 - the meeting has the terms
        """Invite the guests and open the meeting."""
        return await self._invitations.open_meeting()

    @on(interleave=True)
    async def invite(self, message: InviteGuest) -> NotHeld | None:
        """Invite a guest to the open meeting."""
        return await self._invitations.invite(message, self._present(message.member))

    @on(interleave=True)
    async def submit(self, message: SubmitProposal) -> ProposalResult:
        """Propose an event, and wait for the result."""
        member = self._present(message.member)
        if member is None:
            return ProposalResult(refusal=Refusal("not-a-member", f"{message.member} is not a member of this meeting"))
        return await self.propose_and_wait(member, message.event, message.patience)

    @on
    def add_guest(self, message: AddMember) -> MemberLocation:
        """Make a replica for a guest before it is a member, so that the log can be replicated to it."""
        if message.name not in self.meeting.members:
            self.add_member(message.name, message.guest, message.accepted)
            if not self.meeting.committed:
                # The meeting is opened by then, or never: its caller is lost.
                self._opens_by = self.meeting.now() + message.timeout + self.meeting.timing.absent
                self._plan(self.meeting.now())
        return self.location(message.name, message.guest, message.accepted)

    @on
    def receive(self, message: ReplicaMessages) -> None:
        """Take messages from hosts on other nodes."""
        touched = {}
        now = self.meeting.now()
        for each in message.messages:
            self._senders[each.by] = message.host
            member = self.meeting.member(each.to)
            if member is not None:
                member.replica.receive(each.by, each.message, now)
                touched[member.name] = member
        self.exchange(touched)

    @on
    def tick(self, message: Tick) -> None:  # noqa: ARG002 - it has no content
        """Do everything that is due."""
        self._timer = None
        # A planned deadline is due now, whatever the last digit of the clock says.
        now = max(self.meeting.now(), self._planned)
        for member in self.meeting.members.values():
            member.replica.tick(now)
            member.flush_due(now)
        self.exchange(dict(self.meeting.members))

    @on
    def restarted(self, message: AgentRestarted) -> None:
        """Welcome a restarted member again, and log its crash."""
        for member in list(self.meeting.members.values()):
            if member.agent == message.agent and member.welcomed and not member.ended:
                member.welcome(again=True)
                # It loses a turn that it had; if the floor comes back to it, `YourTurn` follows this welcome.
                self.propose(member, events.Crashed(member.name, message.error), self.meeting.timing.absent)

    @on
    def down(self, message: AgentDown) -> None:
        """Let a member whose agent has ended leave."""
        if message.reason == "lost":
            # It may be heard again, and is a member as long as the others have not agreed on anything else.
            return
        why = f"its agent has {message.reason}" + (f": {message.error}" if message.error else "")
        for member in list(self.meeting.members.values()):
            if member.agent == message.agent and not member.replica.has_left:
                self.propose(member, events.Left(member.name, why), self.meeting.timing.absent)

    @on
    def ignore(self, message: Message) -> None:
        """Ignore other messages, such as a broadcast to all agents."""

    # Methods for the invitations.

    def add_member(self, name: str, agent: AgentRef, accepted: Accept) -> LocalMember:
        """Make a replica for a member on this node."""
        meeting = self.meeting
        host = str(self.context.self_ref.address)
        replica = Replica(name, meeting.meeting, host, meeting.resolve, meeting.timing, meeting.now())
        member = LocalMember(name, agent, accepted, replica)
        meeting.add(member)
        self.context.watch(agent)
        return member

    def location(self, name: str, agent: AgentRef, accepted: Accept) -> MemberLocation:
        """Return the location of a member on this node."""
        return MemberLocation(name, str(agent.address), str(self.context.self_ref.address), accepted.person)

    async def propose_and_wait(self, member: LocalMember, event: AnyEvent, patience: float) -> ProposalResult:
        """Propose an event, and return the result."""
        future: asyncio.Future[ProposalResult] = asyncio.get_running_loop().create_future()
        self.propose(member, event, patience, future)
        return future.result() if future.done() else await future

    def propose(
        self, member: LocalMember, event: AnyEvent, patience: float, future: asyncio.Future[ProposalResult] | None = None
    ) -> None:
        """Propose an event; the result goes to `future`."""
        member.proposals += 1
        id_ = f"{member.name}/{member.proposals}"
        if future is not None:
            self._waiting[id_] = future
        now = self.meeting.now()
        member.replica.propose(id_, event, now, now + patience)
        self.exchange({member.name: member})

    def exchange(self, members: dict[str, LocalMember]) -> None:
        """Exchange messages between the replicas here, then write, tell and send the effects."""
        now = self.meeting.now()
        effects = self._collect(members, now)
        self._write(effects.touched)
        for member, entry in effects.news:
            member.tell(entry, now)
        for result in effects.results:
            future = self._waiting.pop(result.id, None)
            if future is not None and not future.done():
                future.set_result(result)
        for host, messages in effects.elsewhere.items():
            self._reference(host).post(ReplicaMessages(str(self.context.self_ref.address), tuple(messages)))
        for name, member in effects.touched.items():
            member.tell_turn()
            self._deadlines[name] = member.replica.next_deadline()
            if member.replica.has_left and name in self.meeting.members:
                member.end()
                self.meeting.remove(name)
                del self._deadlines[name]
        if self.meeting.committed:
            self._invitations.note_opened()
        self._plan(now)

    def end(self) -> None:
        """End the work for this meeting, and stop."""
        meeting = self.meeting
        if meeting.responses is not None:
            for name in meeting.responses.open:
                self._invitations.tell_cancelled(meeting.responses.guests[name], "it is over")
        try:
            meeting.forget(meeting)
        except OSError as error:
            self.context.log.error("the minutes of %s cannot be written: %s", meeting.meeting, describe(error))  # noqa: TRY400
        meeting.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_result(ProposalResult(refusal=Refusal("closed", "the meeting is over")))
        self.context.self_ref.stop()

    # Effects and deadlines.

    def _present(self, name: str) -> LocalMember | None:
        member = self.meeting.members.get(name)
        return None if member is None or member.replica.has_left else member

    def _collect(self, pending: dict[str, LocalMember], now: float) -> _Effects:
        """Exchange messages between the replicas here until none is left, and return the other effects."""
        members = self.meeting.members
        effects = _Effects(dict(pending))
        while pending:
            name, member = next(iter(pending.items()))
            del pending[name]
            for effect in member.replica.drain():
                if type(effect) is Send:
                    target = members.get(effect.to)
                    if target is None:
                        self._route(member, effect, effects.elsewhere)
                        continue
                    target.replica.receive(name, effect.message, now)
                    pending[effect.to] = effects.touched[effect.to] = target
                elif type(effect) is Committed:
                    if effect.valid:
                        effects.news.append((member, effect.entry))
                elif type(effect) is ProposalResult:
                    effects.results.append(effect)
                elif type(effect) is Diverged:
                    meeting = self.meeting.meeting
                    self.context.log.error("%s: the state of %s differs for the same log", meeting, effect.member)
        return effects

    def _route(self, member: LocalMember, effect: Send, elsewhere: dict[str, list[ReplicaMessage]]) -> None:
        location = member.replica.log.members.get(effect.to) or self.meeting.location(effect.to)
        host = self._senders.get(effect.to, "") if location is None else location.host
        if host and host != member.replica.host:
            elsewhere.setdefault(host, []).append(ReplicaMessage(effect.to, member.name, effect.message))
        elif effect.to in self.meeting.former:
            self.meeting.former[effect.to].replica.receive(member.name, effect.message, self.meeting.now())

    def _reference(self, host: str) -> AgentRef:
        found = self._references.get(host)
        if found is None:
            found = self._references[host] = self.context.runtime.reference(host)
        return found

    def _write(self, touched: dict[str, LocalMember]) -> None:
        """Write newly committed entries to the file, before any member is told."""
        meeting = self.meeting
        for member in touched.values():
            committed = member.replica.committed
            if committed > meeting.committed:
                meeting.committed = committed
                if meeting.file is None:
                    continue
                try:
                    # With the entries of failed writes: the disk may have room again.
                    meeting.file.write(member.replica.log.entries[meeting.written : committed])
                    meeting.written = committed
                except OSError as error:
                    self.context.log.error("the minutes of %s cannot be written: %s", meeting.meeting, describe(error))  # noqa: TRY400

    def _plan(self, now: float) -> None:
        """Set a timer for the next deadline, or end if there will never be one."""
        if self._is_done(now):
            self.end()
            return
        times = [when for when in (*self._deadlines.values(), self._opens_by) if when is not None]
        times += [when for member in self.meeting.members.values() if (when := member.batch_deadline) is not None]
        if self._linger is not None:
            times.append(max(self._linger, now + self.meeting.timing.beat))
        if not times:
            return
        when = min(times)
        if self._timer is not None:
            if self._planned <= when:
                return
            self._timer.cancel()
        self._planned = when
        self._timer = self.context.after(max(0.0, when - now), Tick())

    def _is_done(self, now: float) -> bool:
        """Return whether the meeting is over and all members know, or will never be opened."""
        members = self.meeting.members.values()
        if not self.meeting.committed:
            if self._opens_by is None or now < self._opens_by:
                return False
            for member in members:
                self._invitations.tell_cancelled(member.agent, "nothing more was heard of its caller")
            return True
        self._opens_by = None
        if any(member.replica.state.is_open for member in members):
            return False
        if self._linger is None:
            remote = any(member.replica.any_remote() for member in members)
            self._linger = now + (3 * self.meeting.timing.patience if remote else 0.0)
        finished = all(member.replica.leading is None or member.replica.leading.finished() for member in members)
        return finished and now >= self._linger
