"""One member's replica of a meeting: its log, its fold, and what it says to the others'.

The protocol is that of D. Ongaro and J. Ousterhout, "In Search of an Understandable Consensus Algorithm" (USENIX ATC
2014), with trial polls (Ongaro's thesis, 9.6) and changes of membership one at a time (4.1, with the correction of 2015):
an epoch is a term, the orderer its leader. To it are added a rule for who tries to take over first, submissions that
count once, digests that members exchange, and final entries that any member may fill in for another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from coterie.kernel import Packed
from coterie.meetings.floor.policy import Floor
from coterie.meetings.minutes import events
from coterie.meetings.minutes.events import AnyEvent, Entry, Refusal
from coterie.meetings.minutes.state import MeetingState
from coterie.meetings.protocol import letters
from coterie.meetings.protocol.election import Election
from coterie.meetings.protocol.letters import AnyLetter, Committed, Diverged, Effect, Ruled, Send
from coterie.meetings.protocol.log import Log
from coterie.meetings.protocol.ordering import Ordering
from coterie.meetings.protocol.timing import Timing

MOST_ENTRIES = 200
"""Entries in one letter."""


class _Pending(msgspec.Struct):
    event: AnyEvent
    until: float
    again: float


class Replica:
    """A pure state machine. Call `receive`, `submit`, `tick` and `gone` with the time, then `drain` for what is to be done.

    Times are in seconds since 1970 and never go back. Owned by one thread at a time.
    """

    def __init__(
        self, me: str, meeting: str, where: str, resolve: Callable[[Packed], Floor], timing: Timing, now: float
    ) -> None:
        self.me = me
        self.meeting = meeting
        self.where = where
        self.resolve = resolve
        self.timing = timing
        self.now = now
        self.log = Log()
        self.state = MeetingState(meeting, resolve)
        self.epoch = 0
        self.voted = ""
        self.leader = ""
        """Who orders in this epoch, as far as is known."""
        self.heard = now
        """When it was heard last."""
        self.lost: dict[str, float] = {}
        """Who is known to be gone, and since when."""
        self.over = False
        """Whether this member has left."""
        self.ordering: Ordering | None = None
        self.election = Election(self)
        self._pending: dict[str, _Pending] = {}
        self._out: list[Effect] = []
        self._gossip_at = now + timing.gossip
        self._gossiped = 0
        self._apart: tuple[dict[str, events.Place], bool] = ({}, False)

    @property
    def committed(self) -> int:
        """Up to which entry the minutes are final here."""
        return self.state.sequence

    def drain(self) -> list[Effect]:
        """Return what is to be done, in order, and forget it."""
        out, self._out = self._out, []
        return out

    # What the outside does.

    def open(self, event: events.Opened, now: float) -> None:
        """Hold the meeting: order its first epoch, with this as its first event."""
        self.now = now
        self.epoch = 1
        self.leader = self.voted = self.me
        self.ordering = Ordering(self)
        self.ordering.begin(event)

    def submit(self, id: str, event: AnyEvent, now: float, until: float) -> None:  # noqa: A002 - the field's own name
        """Have something taken into the minutes; a `Ruled` tells what became of it, at `until` at the latest."""
        self.now = now
        if id in self._pending:
            return
        if id in self.state.accepted:
            self._out.append(Ruled(id, self.state.accepted[id]))
            return
        self._pending[id] = _Pending(event, until, now + self.timing.retry)
        self._present(id, event)

    def receive(self, sender: str, letter: AnyLetter, now: float) -> None:
        """Take a letter from another member."""
        self.now = max(self.now, now)
        if self.over and not isinstance(letter, letters.Poll | letters.Digest):
            return
        _HANDLERS[type(letter)](self, sender, letter)

    def gone(self, member: str, now: float) -> None:
        """Be told for sure that a member's replica is gone for good."""
        self.now = now
        self.lost.setdefault(member, now)
        if self.ordering is not None:
            self.ordering.forget(member)
        self.election.consider()

    def tick(self, now: float) -> None:
        """Do what is due by now."""
        self.now = now
        if self.over:
            return
        for id_, pending in list(self._pending.items()):
            if now >= pending.until:
                del self._pending[id_]
                text = "no majority of the members could be reached in time; if it was passed on, it may count later"
                self._out.append(Ruled(id_, refusal=Refusal("no-quorum", text)))
            elif now >= pending.again:
                pending.again = now + self.timing.retry
                self._present(id_, pending.event)
        if self.ordering is not None:
            self.ordering.tick()
        else:
            self.election.consider()
        if now >= self._gossip_at:
            self._gossip()

    def next_deadline(self) -> float | None:
        """Return when `tick` has something to do; None if it never has."""
        if self.over:
            return None
        apart = self.apart()
        leader = self.leader
        if not (apart or self._pending or self.ordering is not None) and leader in self.log.members and leader not in self.lost:
            return None  # all live here, and the orderer too
        times = [pending.until for pending in self._pending.values()]
        if apart:
            times += [pending.again for pending in self._pending.values()]
            if self.state.is_open:
                times.append(self._gossip_at)
        when = self.ordering.next_deadline(apart=apart) if self.ordering is not None else self.election.next_deadline()
        if when is not None:
            times.append(when)
        return min(times, default=None)

    def rest(self) -> None:
        """Be done: what is final is kept, and nothing else."""
        self.ordering = None
        self._out.clear()
        self._pending.clear()

    # What its parts use.

    def send(self, to: str, letter: AnyLetter) -> None:
        """Have a letter sent."""
        self._out.append(Send(to, letter))

    def apart(self, member: str | None = None) -> bool:
        """Return whether a member, or any, lives elsewhere, so that letters may be lost and silence means something."""
        places = self.log.members
        if member is not None:
            return member not in places or places[member].where != self.where
        if self._apart[0] is not places:
            self._apart = places, any(place.where != self.where for place in places.values())
        return self._apart[1]

    def majority(self, count: int) -> bool:
        """Return whether so many are a majority of the members."""
        return 2 * count > len(self.log.members)

    def commit(self, until: int) -> None:
        """Fold what is final now."""
        entries = self.log.entries
        state = self.state
        while state.sequence < until:
            entry = entries[state.sequence]
            self._out.append(Committed(entry, state.apply(entry)))
            if entry.id and self._pending.pop(entry.id, None) is not None:
                self._out.append(Ruled(entry.id, entry.sequence))
            if type(entry.event) is events.Left and entry.event.member == self.me:
                self.over = True
                # What was not taken in before never will be: nobody orders what one says who has left.
                refusal = Refusal("not-a-member", f"{self.me} has left the meeting")
                self._out.extend(Ruled(id_, refusal=refusal) for id_ in self._pending)
                self._pending.clear()

    def follow(self, epoch: int, leader: str) -> None:
        """Be one who follows in an epoch that is not older than the newest known."""
        if epoch > self.epoch:
            self.epoch = epoch
            self.voted = ""
        self.ordering = None
        self.election.stop()
        changed = bool(leader) and leader != self.leader
        self.leader = leader
        if changed:
            for id_, pending in self._pending.items():
                self._present(id_, pending.event)

    def take_over(self) -> None:
        """Order a new epoch, for a majority has voted for it."""
        self.election.stop()
        self.leader = self.me
        self.ordering = Ordering(self)
        self.ordering.begin(events.OrdererChanged())
        for id_, pending in list(self._pending.items()):
            self._present(id_, pending.event)

    def _present(self, id_: str, event: AnyEvent) -> None:
        """Bring a submission to who orders, as far as that is known."""
        if self.ordering is not None:
            self.ordering.rule(self.me, id_, event)
        elif self.leader and self.leader not in self.lost:
            self.send(self.leader, letters.Submission(self.epoch, id_, event))

    def _gossip(self) -> None:
        self._gossip_at = self.now + self.timing.gossip
        others = [name for name, place in self.log.members.items() if place.where != self.where and name != self.me]
        if others and self.state.is_open:
            self._gossiped += 1
            self.send(others[self._gossiped % len(others)], self._digest())

    def _digest(self) -> letters.Digest:
        return letters.Digest(self.epoch, self.committed, self.state.digest())

    # Letters.

    def _on_append(self, sender: str, letter: letters.Append) -> None:
        if letter.epoch < self.epoch:
            self.send(sender, letters.Have(self.epoch, self.committed, self.committed, fits=False))
            return
        if letter.epoch > self.epoch or self.leader != letter.orderer or self.election.state:
            self.follow(letter.epoch, letter.orderer)
        self.heard = self.now
        if self.lost:
            self.lost.pop(letter.orderer, None)
        log = self.log
        found = log.epoch_at(letter.before)
        if found != letter.before_epoch:
            have = len(log) if found == -1 else self.committed
            self.send(sender, letters.Have(self.epoch, have, self.committed, fits=False))
            return
        until = letter.before + len(letter.entries)
        if letter.entries:
            self._extend(letter.entries)
        if letter.committed > self.state.sequence:
            self.commit(min(letter.committed, until))
        if not letter.entries and not self.apart(sender):
            return  # nothing was brought, and between replicas of one clerk nothing gets lost
        self.send(sender, letters.Have(self.epoch, until, self.committed, fits=True))

    def _extend(self, entries: tuple[Entry, ...]) -> None:
        log = self.log
        for entry in entries:
            if entry.sequence <= len(log):
                if log.epoch_at(entry.sequence) == entry.epoch:
                    continue
                assert entry.sequence > self.committed, "what is final would change"
                log.cut(entry.sequence - 1)
            log.append(entry)

    def _on_have(self, sender: str, letter: letters.Have) -> None:
        if letter.epoch > self.epoch:
            self.follow(letter.epoch, "")
        elif self.ordering is not None and letter.epoch == self.epoch:
            self.ordering.hear(sender, letter)

    def _on_submission(self, sender: str, letter: letters.Submission) -> None:
        if self.ordering is not None:
            self.ordering.rule(sender, letter.id, letter.event)

    def _on_ruling(self, sender: str, letter: letters.Ruling) -> None:  # noqa: ARG002 - whoever it was that ruled
        if self._pending.pop(letter.id, None) is not None:
            self._out.append(Ruled(letter.id, letter.sequence, letter.refusal))

    def _on_digest(self, sender: str, letter: letters.Digest) -> None:
        if letter.committed > self.committed:
            # It has more: tell it how little is here, and it fills that in.
            self.send(sender, self._digest())
        elif letter.committed < self.committed:
            self.fill(sender, letter.committed)
        elif letter.digest != self.state.digest():
            self._out.append(Diverged(sender, letter.committed))

    def fill(self, member: str, since: int) -> None:
        """Send a member what is final and what it misses."""
        entries = self.log.since(since, self.committed, MOST_ENTRIES)
        if entries:
            self.send(member, letters.Fill(self.epoch, entries))

    def _on_fill(self, sender: str, letter: letters.Fill) -> None:
        log = self.log
        for entry in letter.entries:
            if entry.sequence > len(log) + 1:
                return
            if entry.sequence <= len(log):
                if log.epoch_at(entry.sequence) == entry.epoch:
                    continue
                if self.ordering is not None:
                    self.follow(max(self.epoch, letter.epoch), "")
                log.cut(entry.sequence - 1)
            log.append(entry)
        self.commit(max(self.committed, letter.entries[-1].sequence if letter.entries else 0))
        if self.ordering is not None:
            self.ordering.refold()
        if len(letter.entries) == MOST_ENTRIES:
            self.send(sender, self._digest())

    def _on_resigned(self, sender: str, letter: letters.Resigned) -> None:  # noqa: ARG002 - every letter has the same form
        self.gone(sender, self.now)


_HANDLERS: dict[type, Any] = {
    letters.Append: Replica._on_append,  # noqa: SLF001 - its own
    letters.Have: Replica._on_have,  # noqa: SLF001
    letters.Poll: lambda replica, sender, letter: replica.election.on_poll(sender, letter),
    letters.Ballot: lambda replica, sender, letter: replica.election.on_ballot(sender, letter),
    letters.Submission: Replica._on_submission,  # noqa: SLF001
    letters.Ruling: Replica._on_ruling,  # noqa: SLF001
    letters.Digest: Replica._on_digest,  # noqa: SLF001
    letters.Fill: Replica._on_fill,  # noqa: SLF001
    letters.Resigned: Replica._on_resigned,  # noqa: SLF001
}
