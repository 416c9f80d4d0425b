"""The leader of a term: it appends proposals, replicates the log, commits, and closes the meeting by rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from coterie.errors import describe
from coterie.meetings.raft.messages import AppendEntries, AppendReply, ProposeReply, StepDown
from coterie.meetings.raft.state import MAX_ENTRIES, RaftState
from coterie.meetings.state import events, fold, rules
from coterie.meetings.state.events import AnyEvent, LogEntry, Refusal
from coterie.meetings.state.floor import Selector, next_in_order
from coterie.meetings.state.meeting_state import MeetingState

_MAX_REFUSALS = 1_000
_MEMBERSHIP = (events.Joined, events.Left)


class Leader:
    """One replica while it leads. `draft` is the fold of all its entries, uncommitted ones included.

    `commit` commits up to an entry, `reply` takes the answer to a proposal of the leader itself, and `step_down` ends
    the leadership.
    """

    def __init__(
        self,
        raft: RaftState,
        *,
        commit: Callable[[int], object],
        reply: Callable[[ProposeReply], object],
        step_down: Callable[[], object],
    ) -> None:
        self._raft = raft
        self._commit_until = commit
        self._reply_to_self = reply
        self._step_down = step_down
        self.draft = self._folded()
        self._first = len(raft.log) + 1
        # At first every member is taken to have the leader's log; one with less says so. New members have nothing.
        self._next = dict.fromkeys(raft.log.members, self._first)
        self._match: dict[str, int] = {}
        self._confirmed: dict[str, int] = {}
        """The commit index of each member."""
        self._contact: dict[str, float] = {}
        self._leavers: dict[str, int] = {}
        """Members that left and do not know yet that this is committed, with the sequence number of the entry."""
        self._acks: Counter[int] = Counter()
        self._refused: dict[str, Refusal] = {}
        self._postponed: dict[str, tuple[str, AnyEvent]] = {}
        """Membership changes that wait until another is committed."""
        self._beat_at = raft.now
        self._checked = raft.now
        """When the rules were applied last."""

    def begin(self, event: AnyEvent) -> None:
        """Begin the term with its first event."""
        self._append(self._raft.me, "", event)
        self._advance()

    def refold(self) -> None:
        """Fold the draft again, because entries came from elsewhere."""
        if self.draft.sequence != len(self._raft.log):
            self.draft = self._folded()

    def propose(self, by: str, id_: str, event: AnyEvent) -> None:
        """Append a member's proposal, or refuse it. A repeated one counts once."""
        raft = self._raft
        sequence = self.draft.accepted.get(id_)
        if sequence is not None:
            if sequence <= raft.committed:
                self._answer(by, ProposeReply(raft.term, id_, sequence))
            return
        refusal = self._refused.get(id_)
        if refusal is None:
            if id_ in self._postponed:
                return
            refusal = rules.objection(self.draft, by, event, raft.now)
            if refusal is None:
                if isinstance(event, _MEMBERSHIP) and not self._membership_is_committed():
                    self._postponed[id_] = by, event
                    return
                self._append(by, id_, event)
                self._advance()
                return
            self._refused[id_] = refusal
            if len(self._refused) > _MAX_REFUSALS:
                del self._refused[next(iter(self._refused))]
            if self.draft.failure:
                self._advance()
        self._answer(by, ProposeReply(raft.term, id_, refusal=refusal))

    def on_reply(self, sender: str, reply: AppendReply) -> None:
        """Note which entries a member has, and send it the next ones."""
        raft = self._raft
        self._contact[sender] = raft.now
        if reply.committed > self._confirmed.get(sender, 0):
            self._confirmed[sender] = reply.committed
        if self._leavers and sender in self._leavers and reply.committed >= self._leavers[sender]:
            del self._leavers[sender]
        if not reply.success:
            self._next[sender] = min(self._next.get(sender, 1), reply.sequence + 1)
            self._send_next(sender)
            return
        before = self._match.get(sender, 0)
        if reply.sequence > before:
            self._match[sender] = reply.sequence
            if sender in raft.log.members:
                acks = self._acks
                for sequence in range(max(before, raft.committed) + 1, reply.sequence + 1):
                    acks[sequence] += 1
                    # The first reply beyond a half commits; later ones change nothing.
                    if raft.is_majority(acks[sequence] + 1):
                        self._commit()
        if self._next.get(sender, 1) <= reply.sequence:
            self._next[sender] = reply.sequence + 1
        if raft.is_leader and self._next[sender] <= len(raft.log):
            self._send_next(sender)

    def forget(self, member: str) -> None:
        """Stop waiting for a member that is gone."""
        self._leavers.pop(member, None)

    def tick(self) -> None:
        """Apply the rules, send heartbeats, and remove absent members, as far as they are due."""
        raft = self._raft
        self._advance()
        if not raft.is_leader or raft.now < self._beat_at or not raft.any_remote():
            return
        self._beat_at = raft.now + raft.timing.beat
        if self.finished():
            return
        for name in self._followers():
            if raft.is_remote(name):
                raft.send(name, self._entries_from(self._next.get(name, 1), entries=False))
        self._remove_absent()

    def next_deadline(self, *, remote: bool) -> float | None:
        """Return when `tick` has something to do; None if it has nothing. `remote` says whether any member is."""
        state = self.draft
        times = [self._beat_at] if remote and not self.finished() else []
        if state.is_open:
            coming = (state.turn.until, state.ending.deadline(state, self._checked) if state.ending is not None else None)
            times.extend(when for when in coming if when is not None and when > self._checked)
        return min(times, default=None)

    def finished(self) -> bool:
        """Return whether the meeting is over and every member that can be reached knows."""
        raft = self._raft
        if self.draft.is_open or raft.committed < len(raft.log):
            return False
        return all(
            self._confirmed.get(name, 0) >= len(raft.log)
            or not raft.is_remote(name)
            or name in raft.lost
            or raft.now - self._contact.get(name, raft.now) > raft.timing.absent
            for name in self._followers()
        )

    def _folded(self) -> MeetingState:
        state = MeetingState(self._raft.meeting, self._raft.resolve)
        for entry in self._raft.log.entries:
            fold.apply(state, entry)
        return state

    def _followers(self) -> list[str]:
        me = self._raft.me
        return [name for name in (*self._raft.log.members, *self._leavers) if name != me]

    def _answer(self, by: str, reply: ProposeReply) -> None:
        if by == self._raft.me:
            self._reply_to_self(reply)
        else:
            self._raft.send(by, reply)

    def _append(self, by: str, id_: str, event: AnyEvent) -> None:
        """Append an event to the log, and fold it into the draft."""
        raft = self._raft
        entry = LogEntry(raft.term, len(raft.log) + 1, raft.now, by, id_, event)
        raft.log.append(entry)
        fold.apply(self.draft, entry)
        if isinstance(event, events.Left) and event.member not in raft.lost and event.member != raft.me:
            self._leavers[event.member] = entry.sequence
        if isinstance(event, events.MeetingOpened | events.Joined | events.Left):
            # Other members count towards a majority now.
            self._acks = Counter()
            for name, match in self._match.items():
                if name in raft.log.members:
                    self._acks.update(range(raft.committed + 1, match + 1))

    def _advance(self) -> None:
        """Append the events that follow by rule, replicate, and commit."""
        self._checked = self._raft.now
        for _ in range(len(self.draft.order) + 4):
            event = self._event_by_rule()
            if event is None:
                break
            self._append(self._raft.me, "", event)
        self._replicate()
        self._commit()

    def _event_by_rule(self) -> AnyEvent | None:
        """Return the event that the state and the time demand; None without one."""
        state, raft = self.draft, self._raft
        if not state.is_open or raft.me not in state.locations:
            return None
        if state.failure:
            return events.FloorFailed(state.failure)
        if reason := rules.closing_reason(state, raft.now):
            return events.Closed(reason=reason)
        turn = state.turn
        if turn.choosing:
            return self._choice(state)
        if turn.until is not None and raft.now >= turn.until:
            return events.TurnMissed(turn.holders[0], turn.number, f"its time of {turn.limit:g} s was over")
        return None

    @staticmethod
    def _choice(state: MeetingState) -> AnyEvent:
        try:
            assert isinstance(state.floor, Selector)
            return events.TurnGiven(state.floor.choose(state))
        except Exception as error:  # noqa: BLE001 - a user's function; the failure is logged as an event
            last = state.spoken[-1].by if state.spoken else ""
            given = next_in_order(state, last)
            # First the turn, so that the function is not called again; the failure follows as the next event.
            state.failure = describe(error)
            return events.TurnGiven(given[0] if given else "")

    def _replicate(self) -> None:
        """Send every follower the entries that it has not been sent yet."""
        raft = self._raft
        last = len(raft.log)
        message_by_next: dict[int, AppendEntries] = {}
        for name in self._followers():
            following = self._next.get(name, 1)
            if following > last:
                continue
            message = message_by_next.get(following)
            if message is None:
                message = message_by_next[following] = self._entries_from(following)
            self._next[name] = following + len(message.entries)
            raft.send(name, message)

    def _send_next(self, name: str) -> None:
        """Send one follower the entries that it has not been sent yet."""
        message = self._entries_from(self._next[name])
        self._next[name] += len(message.entries)
        self._raft.send(name, message)

    def _entries_from(self, following: int, *, entries: bool = True) -> AppendEntries:
        raft = self._raft
        log = raft.log
        previous = min(following - 1, len(log))
        found = log.since(previous, len(log), MAX_ENTRIES) if entries else ()
        return AppendEntries(raft.term, raft.me, previous, log.term_at(previous), found, raft.committed)

    def _commit(self) -> None:
        """Commit the entries that a majority has, and tell the followers."""
        raft = self._raft
        log = raft.log
        own = 1 if raft.me in log.members else 0
        last = raft.committed
        # Without members every entry is committed: the last member has left.
        while last < len(log) and (raft.is_majority(self._acks[last + 1] + own) or not log.members):
            last += 1
        # Only an entry of this term is committed by counting replicas (Raft, 5.4.2).
        if last == raft.committed or log.term_at(last) != raft.term:
            return
        for sequence in range(raft.committed + 1, last + 1):
            del self._acks[sequence]
        self._commit_until(last)
        if raft.left:
            self._hand_over()
            return
        message_by_next: dict[int, AppendEntries] = {}
        for name in self._followers():
            following = self._next.get(name, 1)
            if following not in message_by_next:
                message_by_next[following] = self._entries_from(following)
            raft.send(name, message_by_next[following])
            self._next[name] = following + len(message_by_next[following].entries)
            if name in self._leavers and not raft.is_remote(name) and self._leavers[name] <= last:
                del self._leavers[name]
        self._propose_postponed()

    def _hand_over(self) -> None:
        """Send the followers the committed entries, and let one of them take over."""
        raft = self._raft
        self._step_down()
        for name in self._followers():
            raft.send(name, self._entries_from(self._next.get(name, 1)))
            raft.send(name, StepDown(raft.term))

    def _membership_is_committed(self) -> bool:
        raft = self._raft
        return raft.committed >= max(self._first, raft.log.membership_changed)

    def _propose_postponed(self) -> None:
        while self._postponed and self._membership_is_committed():
            id_ = next(iter(self._postponed))
            by, event = self._postponed.pop(id_)
            self.propose(by, id_, event)
            if not self._raft.is_leader:
                return

    def _remove_absent(self) -> None:
        """Propose to remove a member that has been silent for too long."""
        raft = self._raft
        for name in raft.log.members:
            silent = raft.now - self._contact.setdefault(name, raft.now)
            if name != raft.me and raft.is_remote(name) and silent > raft.timing.absent and self.draft.is_open:
                reason = f"nothing was heard of it for {raft.timing.absent:g} s"
                self.propose(raft.me, f"~{raft.term}/{name}", events.Left(name, reason))
                return
