"""Tokens: the position of each agent, and the state of open rounds."""

from __future__ import annotations

import enum
from heapq import heappop, heappush
from typing import Any, TypeVar

import msgspec

from coterie.rounds.proposals import Proposal, Verdict
from coterie.rounds.selection import NOBODY, Roster
from coterie.rounds.turn import Turn
from coterie.runtime import AgentRef
from coterie.telemetry.spans import NO_SPAN, TraceSpan
from coterie.world import Event, ExternalEvent, Intent, View

_Key = TypeVar("_Key", int, str)


class Status(enum.StrEnum):
    """The status of a token."""

    AT_GATE = "at-gate"
    """It has left its last round, and may enter the next when its mode allows it."""
    READY = "ready"
    """It has reached a stage, and has not begun it."""
    RUNNING = "running"
    """Its agent does the stage."""
    GONE = "gone"
    """Its agent takes no part any more."""


_AT_GATE, _READY, _RUNNING = Status.AT_GATE, Status.READY, Status.RUNNING
# To look a member of an enumeration up costs as much as the rest of a step.


class Token(msgspec.Struct, eq=False):
    """One agent on its way through the rounds. Only the engine's thread uses it."""

    name: str
    round: int = 0
    """The round that it is in or has left."""
    stage: str = ""
    status: Status = Status.AT_GATE
    inputs: dict[str, Any] = {}
    visits: dict[str, int] = {}
    intended: int = 0
    """The number of its intents in this round, so that each has an index of its own."""
    sequence: int = -1
    """The sequence number of the view of its running turn."""
    proposals: list[Proposal] = []
    """Its proposals of this round without a verdict."""
    kept: bytes | None = None
    """Its agent's state at the end of its last round, for a rebuild."""
    latest: bytes | None = None
    """Its agent's state after its last turn."""
    last: int = -1
    """The last round that it takes part in, once its leave is requested; -1 before."""
    back: int = 0
    """The round in which it takes part again, if it joined again before it had left."""
    since: float = 0.0
    """The monotonic time at which it came to its position, in seconds."""
    host: AgentRef | None = None
    performer: Any = None
    """The `Performer` of its turns; None before the first."""
    turn: Turn | None = None
    hosts: int = 0
    """The number of its executors so far."""


class OpenRound(msgspec.Struct, eq=False):
    """A round that has begun and is not settled."""

    number: int
    view: View
    """The view that its stages read."""
    first: int
    """The sequence number of its first event."""
    intents: list[Intent] = []
    notes: list[ExternalEvent] = []
    verdicts: list[Verdict] = []
    """Verdicts that bind at the end of the round."""
    inside: set[str] = set()
    """The names of the tokens in it."""
    commits: int = 0
    gatherings: int = 0
    events: list[Event] = []
    """Its events so far."""
    roster: Roster = NOBODY
    born: list[str] = []
    """The agents that were born in it, and take part from the next round on."""
    dead: set[str] = set()
    """The agents that died in it, and do no further stage."""
    order: list[tuple[str, str]] = []
    """The names and stages of the agents that are still to act one after another, the next one last."""
    passes: int = 0
    """The number of such orders that were drawn in the round."""
    commits_made: list[tuple[View, tuple[Event, ...]]] = []
    """Its commits of intents, each with the view before it."""
    span: TraceSpan = NO_SPAN
    """The span of the round, in which its turns and commits are."""


class TokenTable:
    """All tokens, indexed by status, and the round of the slowest. Only the engine's thread uses it.

    No operation takes time in proportion to the number of all tokens, except `live`.
    """

    def __init__(self, together: frozenset[str], commits: frozenset[str]) -> None:
        self.tokens: dict[str, Token] = {}
        self.apart: dict[str, Token] = {}
        """The tokens that have reached a per-agent stage and not begun it."""
        self.come: dict[str, dict[str, Token]] = {}
        """The tokens that have reached a together-stage that has not begun for them, by stage."""
        self.gate: dict[int, dict[str, Token]] = {}
        """The tokens between two rounds, by the round that they have left."""
        self._together = together
        self._commits = commits
        self._arrivals: list[tuple[float, str]] = []
        """A heap of the arrivals at together-stages; entries of tokens that have gone on are dropped when they are met."""
        self._places: dict[str, int] = {}
        self._fronts: dict[int, int] = {}

    @property
    def live(self) -> list[Token]:
        """The tokens that take part, sorted by name."""
        return [token for _, token in sorted(self.tokens.items()) if token.status is not Status.GONE]

    @property
    def slowest(self) -> int:
        """The round of the slowest token, counting a token between rounds for the next; 0 without tokens."""
        return min(self._fronts, default=0)

    @property
    def first_come(self) -> Token | None:
        """The token that has waited longest at a together-stage; of several, the first by name. None without any."""
        while self._arrivals:
            since, name = self._arrivals[0]
            token = self.tokens[name]
            if token.since == since and token.status is Status.READY and token.stage in self._together:
                return token
            heappop(self._arrivals)
        return None

    def place(self, name: str) -> int:
        """Return the position of a token among all, sorted by name."""
        if not self._places:
            self._places = {name: place for place, name in enumerate(sorted(self.tokens))}
        return self._places[name]

    def add(self, token: Token) -> None:
        """Add a token at its position."""
        self.tokens[token.name] = token
        self._places = {}
        if token.status is Status.GONE:
            return
        self._front(token.round + (token.status is _AT_GATE), 1)
        if token.status is _AT_GATE:
            _put(self.gate, token.round, token, 1)
        elif token.status is _READY:
            self._join_group(token)

    def forget(self, token: Token) -> None:
        """Remove a token that takes no part any more."""
        del self.tokens[token.name]
        self._places = {}

    def arrive(self, token: Token, number: int, stage: str, now: float) -> None:
        """Let a token reach a stage of a round."""
        self._go(token, number)
        token.status, token.round, token.stage, token.since = _READY, number, stage, now
        self._join_group(token)

    def move(self, token: Token, status: Status, number: int) -> None:
        """Set the status, which is not `READY`, and the round of a token."""
        if token.status is status and token.round == number:
            return
        if status is Status.GONE:
            self._leave_group(token)
            self._front(token.round + (token.status is _AT_GATE), -1)
        else:
            self._go(token, number + (status is _AT_GATE))
        token.status, token.round = status, number
        if status is _AT_GATE:
            _put(self.gate, number, token, 1)

    def _go(self, token: Token, front: int) -> None:
        """Take a token out of its group, and count it for another round."""
        before = token.round + (token.status is _AT_GATE)
        if token.status is not _RUNNING:
            self._leave_group(token)
        if before != front:
            self._front(before, -1)
            self._front(front, 1)

    def _join_group(self, token: Token) -> None:
        if token.stage not in self._together:
            self.apart[token.name] = token
            return
        _put(self.come, token.stage, token, 1)
        if token.stage not in self._commits:
            heappush(self._arrivals, (token.since, token.name))

    def _leave_group(self, token: Token) -> None:
        if token.status is _AT_GATE:
            _put(self.gate, token.round, token, -1)
        elif token.status is _READY and token.stage in self._together:
            _put(self.come, token.stage, token, -1)
        elif token.status is _READY:
            del self.apart[token.name]

    def _front(self, number: int, by: int) -> None:
        left = self._fronts.get(number, 0) + by
        if left:
            self._fronts[number] = left
        else:
            del self._fronts[number]


def _put(groups: dict[_Key, dict[str, Token]], key: _Key, token: Token, by: int) -> None:
    """Add a token to its group, or remove it, and the group with the last one."""
    if by > 0:
        groups.setdefault(key, {})[token.name] = token
        return
    del groups[key][token.name]
    if not groups[key]:
        del groups[key]
