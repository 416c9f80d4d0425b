"""The messages between the replicas of a meeting, and the effects that a replica asks its host for."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from coterie.meetings.state.events import AnyEvent, LogEntry, Refusal


class RaftMessage(
    msgspec.Struct,
    frozen=True,
    tag=True,
    rename={
        "term": "epoch",
        "leader": "orderer",
        "previous": "before",
        "previous_term": "before_epoch",
        "success": "fits",
        "last_term": "last_epoch",
        "pre_vote": "trial",
        "vote_term": "polled",
    },
):
    """Base of the messages between replicas. Any may be lost, repeated, late or overtaken."""

    term: int
    """The newest term that the sender knows."""


class AppendEntries(RaftMessage, frozen=True, tag="Append"):
    """The leader's entries after a certain one; without entries a heartbeat."""

    leader: str
    previous: int
    """The sequence number of the entry before these; 0 at the beginning."""
    previous_term: int
    entries: tuple[LogEntry, ...]
    committed: int
    """The last sequence number that a majority has."""


class AppendReply(RaftMessage, frozen=True, tag="Have"):
    """A follower's answer to `AppendEntries`."""

    sequence: int
    """The last sequence number that follower and leader share, as far as the follower can tell."""
    committed: int
    success: bool
    """Whether the entries fitted the log; if not, the leader sends again from `sequence`."""


class RequestVote(RaftMessage, frozen=True, tag="Poll"):
    """A candidate for leader of the term in this message asks for a vote."""

    last: int
    """The sequence number of the candidate's last entry."""
    last_term: int
    committed: int
    pre_vote: bool
    """Whether it only asks for a vote it would get, so that a member that was cut off does not raise the term."""


class Vote(RaftMessage, frozen=True, tag="Ballot"):
    """The answer to `RequestVote`."""

    vote_term: int
    """The term of the request."""
    granted: bool
    pre_vote: bool


class Propose(RaftMessage, frozen=True, tag="Submission"):
    """A member proposes an event for the log."""

    id: str
    event: AnyEvent


class ProposeReply(RaftMessage, frozen=True, tag="Ruling"):
    """The leader's answer to `Propose`: the sequence number of the entry, or a refusal."""

    id: str
    sequence: int = 0
    refusal: Refusal | None = None


class StateDigest(RaftMessage, frozen=True, tag="Digest"):
    """The number of entries that the sender has folded, and the digest of its state."""

    committed: int
    digest: str


class CatchUp(RaftMessage, frozen=True, tag="Fill"):
    """Committed entries for a member that lacks them; any member may send them."""

    entries: tuple[LogEntry, ...]


class StepDown(RaftMessage, frozen=True, tag="Resigned"):
    """The leader has left the meeting; another member must take over."""


AnyRaftMessage: TypeAlias = (
    AppendEntries | AppendReply | RequestVote | Vote | Propose | ProposeReply | StateDigest | CatchUp | StepDown
)


class Send(msgspec.Struct, frozen=True, gc=False):
    """An effect: a message to another member."""

    to: str
    message: AnyRaftMessage


class Committed(msgspec.Struct, frozen=True, gc=False):
    """An effect: an entry is committed here and has been folded."""

    entry: LogEntry
    valid: bool
    """Whether it follows the rules, and so has an effect on the state."""


class ProposalResult(msgspec.Struct, frozen=True):
    """An effect: the result of a proposal of this member, by its id."""

    id: str = ""
    sequence: int = 0
    refusal: Refusal | None = None


class Diverged(msgspec.Struct, frozen=True):
    """An effect: another member has another digest for the same log. Only a fault makes one."""

    member: str
    sequence: int


ReplicaEffect: TypeAlias = Send | Committed | ProposalResult | Diverged
