"""One member's replica of a meeting: its log, its fold, and its part in the protocol.

The protocol is that of D. Ongaro and J. Ousterhout, "In Search of an Understandable Consensus Algorithm" (USENIX ATC
2014), with pre-votes (Ongaro's thesis, 9.6) and one change of membership at a time (4.1, with the correction of 2015).
It adds a rule for which member tries to take over first, proposals that count once, digests that members exchange, and
committed entries that any member may send to another that lacks them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from coterie.kernel.codec import Packed
from coterie.meetings.raft.election import Election
from coterie.meetings.raft.leader import Leader
from coterie.meetings.raft.messages import (
    AnyRaftMessage,
    AppendEntries,
    AppendReply,
    CatchUp,
    Committed,
    Diverged,
    ProposalResult,
    Propose,
    ProposeReply,
    ReplicaEffect,
    RequestVote,
    StateDigest,
    StepDown,
    Vote,
)
from coterie.meetings.raft.state import MAX_ENTRIES, RaftState, Timing
from coterie.meetings.state import events, fold
from coterie.meetings.state.events import AnyEvent, LogEntry, Refusal
from coterie.meetings.state.floor import Floor


class _Pending(msgspec.Struct):
    """A proposal of this member without a result."""

    event: AnyEvent
    until: float
    again: float


class Replica:
    """A pure state machine. Call `receive`, `propose`, `tick` and `member_gone` with the time, then act on `drain`.

    Times are in seconds since 1970 and never go back. Owned by one thread at a time.
    """

    def __init__(
        self, me: str, meeting: str, host: str, resolve: Callable[[Packed], Floor], timing: Timing, now: float
    ) -> None:
        raft = self._raft = RaftState(me, meeting, host, resolve, timing, now)
        self.me = me
        self.meeting = meeting
        self.host = host
        """The address of the replica's host."""
        self.log = raft.log
        self.state = raft.committed_state
        """The fold of the committed entries."""
        self.leading: Leader | None = None
        """This replica's leadership; None while it follows."""
        self._election = Election(raft, self._follow, self._take_over)
        self._pending: dict[str, _Pending] = {}
        self._gossip_at = now + timing.gossip
        self._gossiped = 0

    @property
    def committed(self) -> int:
        """The sequence number of the last entry that is committed here."""
        return self.state.sequence

    @property
    def term(self) -> int:
        """The newest term that this replica knows."""
        return self._raft.term

    @property
    def has_left(self) -> bool:
        """True once this member has left the meeting."""
        return self._raft.left

    def any_remote(self) -> bool:
        """Return whether any member has another host."""
        return self._raft.any_remote()

    def drain(self) -> list[ReplicaEffect]:
        """Return the effects since the last call, in order."""
        raft = self._raft
        effects, raft.effects = raft.effects, []
        return effects

    # Calls from the host.

    def open(self, event: events.MeetingOpened, now: float) -> None:
        """Open the meeting: lead its first term, with this event as the first entry."""
        raft = self._raft
        raft.now = now
        raft.term = 1
        raft.leader = raft.voted_for = raft.me
        self._lead(event)

    def propose(self, id: str, event: AnyEvent, now: float, until: float) -> None:  # noqa: A002 - the field's own name
        """Propose an event for the log. A `ProposalResult` follows, at `until` at the latest."""
        raft = self._raft
        raft.now = now
        if id in self._pending:
            return
        if id in self.state.accepted:
            raft.effects.append(ProposalResult(id, self.state.accepted[id]))
            return
        self._pending[id] = _Pending(event, until, now + raft.timing.retry)
        self._present(id, event)

    def receive(self, sender: str, message: AnyRaftMessage, now: float) -> None:
        """Handle a message from another member."""
        raft = self._raft
        raft.now = max(raft.now, now)
        if raft.left and not isinstance(message, RequestVote | StateDigest):
            return
        _HANDLERS[type(message)](self, sender, message)

    def member_gone(self, member: str, now: float) -> None:
        """Note that a member's replica is gone for good."""
        raft = self._raft
        raft.now = now
        raft.lost.setdefault(member, now)
        if self.leading is not None:
            self.leading.forget(member)
        self._election.consider()

    def tick(self, now: float) -> None:
        """Do everything that is due by now."""
        raft = self._raft
        raft.now = now
        if raft.left:
            return
        for id_, pending in list(self._pending.items()):
            if now >= pending.until:
                del self._pending[id_]
                text = "no majority of the members could be reached in time; if it was passed on, it may count later"
                raft.effects.append(ProposalResult(id_, refusal=Refusal("no-quorum", text)))
            elif now >= pending.again:
                pending.again = now + raft.timing.retry
                self._present(id_, pending.event)
        if self.leading is not None:
            self.leading.tick()
        else:
            self._election.consider()
        if now >= self._gossip_at:
            self._gossip()

    def next_deadline(self) -> float | None:
        """Return when `tick` has something to do; None if it has nothing."""
        raft = self._raft
        if raft.left:
            return None
        remote = raft.any_remote()
        leader = raft.leader
        leading = self.leading
        if not (remote or self._pending or leading is not None) and leader in self.log.members and leader not in raft.lost:
            return None  # all members have this host, and the leader is among them
        times = [pending.until for pending in self._pending.values()]
        if remote:
            times += [pending.again for pending in self._pending.values()]
            if self.state.is_open:
                times.append(self._gossip_at)
        when = leading.next_deadline(remote=remote) if leading is not None else self._election.next_deadline()
        if when is not None:
            times.append(when)
        return min(times, default=None)

    def close(self) -> None:
        """End the replica's work; the committed entries stay readable."""
        self._stop_leading()
        self._raft.effects.clear()
        self._pending.clear()

    # Roles.

    def _lead(self, first: AnyEvent) -> None:
        self._raft.is_leader = True
        self.leading = Leader(self._raft, commit=self._commit, reply=self._resolve, step_down=self._stop_leading)
        self.leading.begin(first)

    def _stop_leading(self) -> None:
        self._raft.is_leader = False
        self.leading = None

    def _follow(self, term: int, leader: str) -> None:
        """Follow in a term that is not older than the newest known; an empty `leader` is an unknown one."""
        raft = self._raft
        if term > raft.term:
            raft.term = term
            raft.voted_for = ""
        self._stop_leading()
        self._election.stop()
        changed = bool(leader) and leader != raft.leader
        raft.leader = leader
        if changed:
            for id_, pending in self._pending.items():
                self._present(id_, pending.event)

    def _take_over(self) -> None:
        """Lead the current term, for which a majority has voted."""
        self._election.stop()
        self._raft.leader = self.me
        self._lead(events.LeaderChanged())
        for id_, pending in list(self._pending.items()):
            self._present(id_, pending.event)

    def _commit(self, until: int) -> None:
        """Fold the entries up to `until`, which are committed now."""
        raft = self._raft
        entries = self.log.entries
        state = self.state
        effects = raft.effects
        while state.sequence < until:
            entry = entries[state.sequence]
            effects.append(Committed(entry, fold.apply(state, entry)))
            if entry.id and self._pending.pop(entry.id, None) is not None:
                effects.append(ProposalResult(entry.id, entry.sequence))
            if type(entry.event) is events.Left and entry.event.member == self.me:
                raft.left = True
                # A member that left cannot propose, so its pending proposals fail.
                refusal = Refusal("not-a-member", f"{self.me} has left the meeting")
                effects.extend(ProposalResult(id_, refusal=refusal) for id_ in self._pending)
                self._pending.clear()

    def _present(self, id_: str, event: AnyEvent) -> None:
        """Bring a proposal to the leader, if it is known."""
        raft = self._raft
        if self.leading is not None:
            self.leading.propose(self.me, id_, event)
        elif raft.leader and raft.leader not in raft.lost:
            raft.send(raft.leader, Propose(raft.term, id_, event))

    def _resolve(self, reply: ProposeReply) -> None:
        if self._pending.pop(reply.id, None) is not None:
            self._raft.effects.append(ProposalResult(reply.id, reply.sequence, reply.refusal))

    def _gossip(self) -> None:
        raft = self._raft
        self._gossip_at = raft.now + raft.timing.gossip
        others = [name for name, member in self.log.members.items() if member.host != self.host and name != self.me]
        if others and self.state.is_open:
            self._gossiped += 1
            raft.send(others[self._gossiped % len(others)], self._digest())

    def _digest(self) -> StateDigest:
        return StateDigest(self._raft.term, self.committed, self.state.digest())

    def _extend(self, entries: tuple[LogEntry, ...]) -> None:
        """Append entries to the log, in place of uncommitted ones of another term."""
        log = self.log
        for entry in entries:
            if entry.sequence <= len(log):
                if log.term_at(entry.sequence) == entry.term:
                    continue
                assert entry.sequence > self.committed, "a committed entry would change"
                log.truncate(entry.sequence - 1)
            log.append(entry)

    # Messages.

    def _on_append_entries(self, sender: str, message: AppendEntries) -> None:
        raft = self._raft
        if message.term < raft.term:
            raft.send(sender, AppendReply(raft.term, self.committed, self.committed, success=False))
            return
        if message.term > raft.term or raft.leader != message.leader or self._election.stage:
            self._follow(message.term, message.leader)
        raft.heard = raft.now
        if raft.lost:
            raft.lost.pop(message.leader, None)
        log = self.log
        found = log.term_at(message.previous)
        if found != message.previous_term:
            have = len(log) if found == -1 else self.committed
            raft.send(sender, AppendReply(raft.term, have, self.committed, success=False))
            return
        until = message.previous + len(message.entries)
        if message.entries:
            self._extend(message.entries)
        if message.committed > self.state.sequence:
            self._commit(min(message.committed, until))
        if not message.entries and not raft.is_remote(sender):
            return  # without entries there is nothing to acknowledge: within one host no message is lost
        raft.send(sender, AppendReply(raft.term, until, self.committed, success=True))

    def _on_append_reply(self, sender: str, message: AppendReply) -> None:
        raft = self._raft
        if message.term > raft.term:
            self._follow(message.term, "")
        elif self.leading is not None and message.term == raft.term:
            self.leading.on_reply(sender, message)

    def _on_propose(self, sender: str, message: Propose) -> None:
        if self.leading is not None:
            self.leading.propose(sender, message.id, message.event)

    def _on_digest(self, sender: str, message: StateDigest) -> None:
        if message.committed > self.committed:
            # It has more entries: tell it how few are here, and it sends the rest.
            self._raft.send(sender, self._digest())
        elif message.committed < self.committed:
            self._raft.send_missing(sender, message.committed)
        elif message.digest != self.state.digest():
            self._raft.effects.append(Diverged(sender, message.committed))

    def _on_catch_up(self, sender: str, message: CatchUp) -> None:
        raft = self._raft
        log = self.log
        for entry in message.entries:
            if entry.sequence > len(log) + 1:
                return
            if entry.sequence <= len(log):
                if log.term_at(entry.sequence) == entry.term:
                    continue
                if self.leading is not None:
                    self._follow(max(raft.term, message.term), "")
                log.truncate(entry.sequence - 1)
            log.append(entry)
        self._commit(max(self.committed, message.entries[-1].sequence if message.entries else 0))
        if self.leading is not None:
            self.leading.refold()
        if len(message.entries) == MAX_ENTRIES:
            raft.send(sender, self._digest())


_HANDLERS: dict[type, Any] = {
    AppendEntries: Replica._on_append_entries,  # noqa: SLF001 - its own
    AppendReply: Replica._on_append_reply,  # noqa: SLF001
    RequestVote: lambda replica, sender, message: replica._election.on_request_vote(sender, message),  # noqa: SLF001
    Vote: lambda replica, sender, message: replica._election.on_vote(sender, message),  # noqa: SLF001
    Propose: Replica._on_propose,  # noqa: SLF001
    ProposeReply: lambda replica, _, message: replica._resolve(message),  # noqa: SLF001
    StateDigest: Replica._on_digest,  # noqa: SLF001
    CatchUp: Replica._on_catch_up,  # noqa: SLF001
    StepDown: lambda replica, sender, _: replica.member_gone(sender, replica._raft.now),  # noqa: SLF001
}
