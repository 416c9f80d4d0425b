"""What the orderer of an epoch does: rules on submissions, numbers them, sees that a majority has them, closes by rule."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from coterie.errors import describe
from coterie.meetings.floor.chaired import Selector
from coterie.meetings.floor.policy import following
from coterie.meetings.minutes import events, rules
from coterie.meetings.minutes.events import AnyEvent, Entry, Refusal
from coterie.meetings.minutes.state import MeetingState
from coterie.meetings.protocol import letters

if TYPE_CHECKING:
    from coterie.meetings.protocol.replica import Replica

_REMEMBERED = 1_000
_MEMBERSHIP = (events.Joined, events.Left)
_MOST = 200


class Ordering:
    """One replica while it orders. `draft` folds all entries, those that are not final yet among them."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.draft = self._folded()
        self._first = len(replica.log) + 1
        # At first everybody is taken to have what the orderer has; who has less says so. New members have nothing.
        self._next = dict.fromkeys(replica.log.members, self._first)
        self._match: dict[str, int] = {}
        self._confirmed: dict[str, int] = {}
        self._contact: dict[str, float] = {}
        self._leavers: dict[str, int] = {}
        """Who has left and does not know yet that this is final, with the number of the entry."""
        self._acks: Counter[int] = Counter()
        self._refused: dict[str, Refusal] = {}
        self._later: dict[str, tuple[str, AnyEvent]] = {}
        """Changes of membership that wait for another to be final."""
        self._beat_at = replica.now
        self._checked = replica.now
        """When it was seen last what follows by rule."""

    def begin(self, event: AnyEvent) -> None:
        """Begin the epoch, with its first event."""
        self._take(self._replica.me, "", event)
        self._go_on()

    def refold(self) -> None:
        """Fold anew, because entries came from elsewhere."""
        if self.draft.sequence != len(self._replica.log):
            self.draft = self._folded()

    def rule(self, by: str, id_: str, event: AnyEvent) -> None:
        """Take a submission in, or refuse it. One that came before counts once."""
        replica = self._replica
        sequence = self.draft.accepted.get(id_)
        if sequence is not None:
            if sequence <= replica.committed:
                self._answer(by, letters.Ruling(replica.epoch, id_, sequence))
            return
        refusal = self._refused.get(id_)
        if refusal is None:
            if id_ in self._later:
                return
            refusal = self.draft.objection(by, event, replica.now)
            if refusal is None:
                if isinstance(event, _MEMBERSHIP) and not self._membership_is_settled():
                    self._later[id_] = by, event
                    return
                self._take(by, id_, event)
                self._go_on()
                return
            self._refused[id_] = refusal
            if len(self._refused) > _REMEMBERED:
                del self._refused[next(iter(self._refused))]
            if self.draft.failure:
                self._go_on()
        self._answer(by, letters.Ruling(replica.epoch, id_, refusal=refusal))

    def hear(self, sender: str, have: letters.Have) -> None:
        """Note what a member has."""
        replica = self._replica
        self._contact[sender] = replica.now
        if have.committed > self._confirmed.get(sender, 0):
            self._confirmed[sender] = have.committed
        if self._leavers and sender in self._leavers and have.committed >= self._leavers[sender]:
            del self._leavers[sender]
        if not have.fits:
            self._next[sender] = min(self._next.get(sender, 1), have.sequence + 1)
            self._bring(sender)
            return
        before = self._match.get(sender, 0)
        if have.sequence > before:
            self._match[sender] = have.sequence
            if sender in replica.log.members:
                acks = self._acks
                for sequence in range(max(before, replica.committed) + 1, have.sequence + 1):
                    acks[sequence] += 1
                    # It is one vote more than half that makes the difference; those that follow change nothing.
                    if replica.majority(acks[sequence] + 1):
                        self._commit()
        if self._next.get(sender, 1) <= have.sequence:
            self._next[sender] = have.sequence + 1
        if replica.ordering is self and self._next[sender] <= len(replica.log):
            self._bring(sender)

    def forget(self, member: str) -> None:
        """Expect nothing more of a member that is gone."""
        self._leavers.pop(member, None)

    def tick(self) -> None:
        """Do what is due."""
        replica = self._replica
        self._go_on()
        if replica.ordering is not self or replica.now < self._beat_at or not replica.apart():
            return
        self._beat_at = replica.now + replica.timing.beat
        if self.finished():
            return
        for name in self._followers():
            if replica.apart(name):
                self._beat(name)
        self._drop_absent()

    def next_deadline(self, *, apart: bool) -> float | None:
        """Return when something is due."""
        state = self.draft
        times = [self._beat_at] if apart and not self.finished() else []
        if state.is_open:
            coming = (state.turn.until, state.ending.deadline(state, self._checked) if state.ending is not None else None)
            times.extend(when for when in coming if when is not None and when > self._checked)
        return min(times, default=None)

    def finished(self) -> bool:
        """Return whether the meeting is over, and everybody who can be reached knows."""
        replica = self._replica
        if self.draft.is_open or replica.committed < len(replica.log):
            return False
        return all(
            self._confirmed.get(name, 0) >= len(replica.log)
            or not replica.apart(name)
            or name in replica.lost
            or replica.now - self._contact.get(name, replica.now) > replica.timing.absent
            for name in self._followers()
        )

    def _folded(self) -> MeetingState:
        state = MeetingState(self._replica.meeting, self._replica.resolve)
        for entry in self._replica.log.entries:
            state.apply(entry)
        return state

    def _followers(self) -> list[str]:
        me = self._replica.me
        return [name for name in (*self._replica.log.members, *self._leavers) if name != me]

    def _answer(self, by: str, ruling: letters.Ruling) -> None:
        replica = self._replica
        if by == replica.me:
            replica._on_ruling(by, ruling)  # noqa: SLF001 - its own orderer
        else:
            replica.send(by, ruling)

    def _take(self, by: str, id_: str, event: AnyEvent) -> None:
        """Number an event, and fold it into the draft."""
        replica = self._replica
        entry = Entry(replica.epoch, len(replica.log) + 1, replica.now, by, id_, event)
        replica.log.append(entry)
        self.draft.apply(entry)
        if isinstance(event, events.Left) and event.member not in replica.lost and event.member != replica.me:
            self._leavers[event.member] = entry.sequence
        if isinstance(event, events.Opened | events.Joined | events.Left):
            # Whose votes count has changed.
            self._acks = Counter()
            for name, match in self._match.items():
                if name in replica.log.members:
                    self._acks.update(range(replica.committed + 1, match + 1))

    def _go_on(self) -> None:
        """Take in what follows by rule, send it all out, and see what is final."""
        self._checked = self._replica.now
        for _ in range(len(self.draft.order) + 4):
            event = self._due()
            if event is None:
                break
            self._take(self._replica.me, "", event)
        self._spread()
        self._commit()

    def _due(self) -> AnyEvent | None:
        """Return what follows from the state and the time by itself."""
        state, replica = self.draft, self._replica
        if not state.is_open or replica.me not in state.places:
            return None
        if state.failure:
            return events.FloorFailed(state.failure)
        if reason := rules.over(state, replica.now):
            return events.Closed(reason=reason)
        turn = state.turn
        if turn.choosing:
            return self._choice(state)
        if turn.until is not None and replica.now >= turn.until:
            return events.TurnMissed(turn.holders[0], turn.number, f"its time of {turn.limit:g} s was over")
        return None

    @staticmethod
    def _choice(state: MeetingState) -> AnyEvent:
        try:
            assert isinstance(state.floor, Selector)
            return events.TurnGiven(state.floor.choose(state))
        except Exception as error:  # noqa: BLE001 - somebody's function; it gets into the minutes
            last = state.spoken[-1].by if state.spoken else ""
            given = following(state, last)
            # First the turn, so that nobody chooses again; the failure follows as the next event.
            state.failure = describe(error)
            return events.TurnGiven(given[0] if given else "")

    def _spread(self) -> None:
        """Send everybody what it has not been sent yet."""
        replica = self._replica
        log = replica.log
        last = len(log)
        letter_by_next: dict[int, letters.Append] = {}
        for name in self._followers():
            following_ = self._next.get(name, 1)
            if following_ > last:
                continue
            letter = letter_by_next.get(following_)
            if letter is None:
                letter = letter_by_next[following_] = self._append(following_)
            self._next[name] = following_ + len(letter.entries)
            replica.send(name, letter)

    def _bring(self, name: str) -> None:
        """Send one member what it has not been sent yet."""
        letter = self._append(self._next[name])
        self._next[name] += len(letter.entries)
        self._replica.send(name, letter)

    def _beat(self, name: str) -> None:
        """Tell a member that the orderer is there, and what it should have by now."""
        letter = self._append(self._next.get(name, 1), entries=False)
        self._replica.send(name, letter)

    def _append(self, following_: int, *, entries: bool = True) -> letters.Append:
        replica = self._replica
        log = replica.log
        before = min(following_ - 1, len(log))
        found = log.since(before, len(log), _MOST) if entries else ()
        return letters.Append(replica.epoch, replica.me, before, log.epoch_at(before), found, replica.committed)

    def _commit(self) -> None:
        """See up to where a majority has the entries, fold that, and tell."""
        replica = self._replica
        log = replica.log
        own = 1 if replica.me in log.members else 0
        final = replica.committed
        # What a majority of nobody has is final: the last member has left.
        while final < len(log) and (replica.majority(self._acks[final + 1] + own) or not log.members):
            final += 1
        if final == replica.committed or log.epoch_at(final) != replica.epoch:
            return
        for sequence in range(replica.committed + 1, final + 1):
            del self._acks[sequence]
        replica.commit(final)
        if replica.over:
            self._resign()
            return
        tidings: dict[int, letters.Append] = {}
        for name in self._followers():
            following_ = self._next.get(name, 1)
            if following_ not in tidings:
                tidings[following_] = self._append(following_)
            replica.send(name, tidings[following_])
            self._next[name] = following_ + len(tidings[following_].entries)
            if name in self._leavers and not replica.apart(name) and self._leavers[name] <= final:
                del self._leavers[name]
        self._settle_later()

    def _resign(self) -> None:
        """Leave what is final with the others, and let one of them take over."""
        replica = self._replica
        replica.ordering = None
        for name in self._followers():
            replica.send(name, self._append(self._next.get(name, 1)))
            replica.send(name, letters.Resigned(replica.epoch))

    def _membership_is_settled(self) -> bool:
        replica = self._replica
        return replica.committed >= max(self._first, replica.log.membership_changed)

    def _settle_later(self) -> None:
        while self._later and self._membership_is_settled():
            id_ = next(iter(self._later))
            by, event = self._later.pop(id_)
            self.rule(by, id_, event)
            if self._replica.ordering is not self:
                return

    def _drop_absent(self) -> None:
        """Take out of the meeting who has not been heard of for too long."""
        replica = self._replica
        for name in replica.log.members:
            silent = replica.now - self._contact.setdefault(name, replica.now)
            if name != replica.me and replica.apart(name) and silent > replica.timing.absent and self.draft.is_open:
                reason = f"nothing was heard of it for {replica.timing.absent:g} s"
                self.rule(replica.me, f"~{replica.epoch}/{name}", events.Left(name, reason))
                return
