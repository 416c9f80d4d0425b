"""The election of another leader when the leader is gone."""

from __future__ import annotations

from collections.abc import Callable

from coterie.meetings.raft.messages import RequestVote, Vote
from coterie.meetings.raft.state import RaftState


class Election:
    """One replica's part in elections.

    All members know the order of candidates: the member that joined next after the lost leader, then the one after that, each
    a step later. A majority must vote for it, and a member votes for no candidate whose log is behind its own. So a new
    term begins with a log that has all committed entries.

    `follow` makes the replica follow in a newer term; `take_over` makes it the leader of the current one.
    """

    def __init__(self, raft: RaftState, follow: Callable[[int, str], object], take_over: Callable[[], object]) -> None:
        self._raft = raft
        self._follow = follow
        self._take_over = take_over
        self.stage = ""
        """"pre-vote", "vote", or empty when this member does not stand for election."""
        self._votes: set[str] = set()
        self._retry_at = 0.0

    def stop(self) -> None:
        """Stop standing for election: a leader is known."""
        self.stage = ""
        self._votes.clear()

    def next_deadline(self) -> float | None:
        """Return when to stand for election, or to try again; None while a leader is present."""
        raft = self._raft
        if not self._may_stand():
            return None
        leader = raft.leader
        if self.stage:
            return self._retry_at
        delay = self._rank() * raft.timing.step
        if leader in raft.lost:
            return raft.lost[leader] + delay
        if not leader or raft.is_remote(leader):
            return raft.heard + raft.timing.patience + delay
        return None

    def consider(self) -> None:
        """Stand for election if the time has come."""
        when = self.next_deadline()
        raft = self._raft
        if when is None or raft.now < when or raft.is_leader:
            return
        self.stage = "pre-vote"
        self._request_votes(raft.term + 1, pre_vote=True)

    def on_request_vote(self, sender: str, request: RequestVote) -> None:
        """Vote, or answer a pre-vote."""
        raft = self._raft
        if request.committed < raft.committed:
            raft.send_missing(sender, request.committed)
        if raft.left:
            return
        log = raft.log
        up_to_date = (request.last_term, request.last) >= (log.last_term, len(log))
        if request.pre_vote:
            granted = up_to_date and request.term > raft.term and not raft.is_leader and not self._leader_is_present()
        else:
            if request.term > raft.term:
                self._follow(request.term, "")
            granted = up_to_date and request.term == raft.term and raft.voted_for in ("", sender)
            if granted:
                raft.voted_for = sender
                raft.heard = raft.now
        raft.send(sender, Vote(raft.term, request.term, granted, request.pre_vote))

    def on_vote(self, sender: str, vote: Vote) -> None:
        """Count a vote."""
        raft = self._raft
        if vote.term > raft.term:
            self._follow(vote.term, "")
            return
        stage, term = ("pre-vote", raft.term + 1) if vote.pre_vote else ("vote", raft.term)
        if vote.granted and self.stage == stage and vote.vote_term == term and sender in raft.log.members:
            self._votes.add(sender)
            self._count()

    def _request_votes(self, term: int, *, pre_vote: bool) -> None:
        raft = self._raft
        log = raft.log
        self._votes = {raft.me}
        self._retry_at = raft.now + raft.timing.patience + self._rank() * raft.timing.step
        request = RequestVote(term, len(log), log.last_term, raft.committed, pre_vote)
        for name in log.members:
            if name != raft.me:
                raft.send(name, request)
        self._count()

    def _count(self) -> None:
        raft = self._raft
        if not raft.is_majority(len(self._votes)):
            return
        if self.stage == "pre-vote":
            self.stage = "vote"
            raft.term += 1
            raft.voted_for = raft.me
            raft.leader = ""
            self._request_votes(raft.term, pre_vote=False)
        elif self.stage == "vote":
            self._take_over()

    def _may_stand(self) -> bool:
        raft = self._raft
        # Only a committed end counts: a member that has not heard of the end goes on trying, and is told.
        over = not raft.committed_state.is_open and raft.committed > 0
        return raft.me in raft.log.members and not raft.left and not over

    def _leader_is_present(self) -> bool:
        raft = self._raft
        leader = raft.leader
        if not leader or leader in raft.lost or leader not in raft.log.members:
            return False
        return not raft.is_remote(leader) or raft.now - raft.heard < raft.timing.patience

    def _rank(self) -> int:
        """Return the position of this member among those that may take over, from 0."""
        raft = self._raft
        order = list(raft.log.members)
        start = order.index(raft.leader) + 1 if raft.leader in order else 0
        line = [name for name in order[start:] + order[:start] if name not in raft.lost and name != raft.leader]
        return line.index(raft.me) if raft.me in line else len(line)
