"""How another member takes over when the orderer is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coterie.meetings.protocol import letters

if TYPE_CHECKING:
    from coterie.meetings.protocol.replica import Replica


class Election:
    """One replica's part in elections.

    Who tries first follows from what all members know: the member that joined next after the one that is gone, and then
    the one after that, each a step later. A majority must vote for it, and nobody votes for one whose log is behind its
    own; so the new epoch begins with a log that has all that any majority ever had.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.state = ""
        """"asking" who would vote, "standing" for election, or neither."""
        self._ballots: set[str] = set()
        self._again = 0.0

    def stop(self) -> None:
        """Try no more, for somebody orders."""
        self.state = ""
        self._ballots.clear()

    def next_deadline(self) -> float | None:
        """Return when to suspect the orderer, or to try again; None if there is no need to."""
        replica = self._replica
        if not self._eligible():
            return None
        leader = replica.leader
        if self.state:
            return self._again
        rank = self._rank() * replica.timing.step
        if leader in replica.lost:
            return replica.lost[leader] + rank
        if not leader or replica.apart(leader):
            return replica.heard + replica.timing.patience + rank
        return None

    def consider(self) -> None:
        """Try to take over, if it is time to."""
        when = self.next_deadline()
        replica = self._replica
        if when is None or replica.now < when or replica.ordering is not None:
            return
        self.state = "asking"
        self._poll(replica.epoch + 1, trial=True)

    def on_poll(self, sender: str, poll: letters.Poll) -> None:
        """Vote, or say what one would."""
        replica = self._replica
        if poll.committed < replica.committed:
            replica.fill(sender, poll.committed)
        if replica.over:
            return
        log = replica.log
        complete = (poll.last_epoch, poll.last) >= (log.last_epoch, len(log))
        if poll.trial:
            granted = complete and poll.epoch > replica.epoch and replica.ordering is None and not self._orderer_is_there()
        else:
            if poll.epoch > replica.epoch:
                replica.follow(poll.epoch, "")
            granted = complete and poll.epoch == replica.epoch and replica.voted in ("", sender)
            if granted:
                replica.voted = sender
                replica.heard = replica.now
        replica.send(sender, letters.Ballot(replica.epoch, poll.epoch, granted, poll.trial))

    def on_ballot(self, sender: str, ballot: letters.Ballot) -> None:
        """Count a vote."""
        replica = self._replica
        if ballot.epoch > replica.epoch:
            replica.follow(ballot.epoch, "")
            return
        stage, epoch = ("asking", replica.epoch + 1) if ballot.trial else ("standing", replica.epoch)
        if ballot.granted and self.state == stage and ballot.polled == epoch and sender in replica.log.members:
            self._ballots.add(sender)
            self._count()

    def _poll(self, epoch: int, *, trial: bool) -> None:
        replica = self._replica
        log = replica.log
        self._ballots = {replica.me}
        self._again = replica.now + replica.timing.patience + self._rank() * replica.timing.step
        poll = letters.Poll(epoch, len(log), log.last_epoch, replica.committed, trial)
        for name in log.members:
            if name != replica.me:
                replica.send(name, poll)
        self._count()

    def _count(self) -> None:
        replica = self._replica
        if not replica.majority(len(self._ballots)):
            return
        if self.state == "asking":
            self.state = "standing"
            replica.epoch += 1
            replica.voted = replica.me
            replica.leader = ""
            self._poll(replica.epoch, trial=False)
        elif self.state == "standing":
            replica.take_over()

    def _eligible(self) -> bool:
        replica = self._replica
        # Over means final here; one who has not heard of the end goes on trying, and is told.
        over = not replica.state.is_open and replica.state.sequence > 0
        return replica.me in replica.log.members and not replica.over and not over

    def _orderer_is_there(self) -> bool:
        replica = self._replica
        leader = replica.leader
        if not leader or leader in replica.lost or leader not in replica.log.members:
            return False
        return not replica.apart(leader) or replica.now - replica.heard < replica.timing.patience

    def _rank(self) -> int:
        """Return the place of this member in the line of those who may take over."""
        replica = self._replica
        order = list(replica.log.members)
        start = order.index(replica.leader) + 1 if replica.leader in order else 0
        line = [name for name in order[start:] + order[:start] if name not in replica.lost and name != replica.leader]
        return line.index(replica.me) if replica.me in line else len(line)
