"""Where each agent is, and what a round has gathered so far."""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from coterie.rounds.turns.proposals import Proposal, Verdict
from coterie.rounds.turns.turn import Turn
from coterie.runtime import AgentRef
from coterie.world import Event, ExternalEvent, Intent, View


class Status(enum.StrEnum):
    """What a token is doing."""

    AT_GATE = "at-gate"
    """It has left its last round, and may enter the next when that is open to it."""
    READY = "ready"
    """It has come to a stage, and has not begun it."""
    RUNNING = "running"
    """Its agent is at it."""
    GONE = "gone"
    """Its agent takes no part any more."""


class Token(msgspec.Struct, eq=False):
    """One agent on its way through the rounds. Only the engine's thread touches it."""

    name: str
    round: int = 0
    """The round it is in, or has left."""
    stage: str = ""
    status: Status = Status.AT_GATE
    inputs: dict[str, Any] = {}
    visits: dict[str, int] = {}
    intended: int = 0
    """How many intents of this round it has made, so that each has a number of its own."""
    sequence: int = -1
    """The last event that the view of its running turn has seen."""
    proposals: list[Proposal] = []
    """What it proposed in this round, and nobody has judged."""
    kept: bytes | None = None
    """Its agent's state at the end of its last round: what it is rebuilt from."""
    latest: bytes | None = None
    """Its agent's state after its last turn."""
    last: int = -1
    """The last round that it takes part in, once it is to leave; -1 before that."""
    back: int = 0
    """The round in which it takes part again, if that was said before it had left."""
    since: float = 0.0
    """When it came to where it is, on the clock."""
    host: AgentRef | None = None
    turn: Turn | None = None
    hosts: int = 0
    """How many hosts it has had."""


class OpenRound(msgspec.Struct, eq=False):
    """A round that has begun and is not settled."""

    number: int
    view: View
    """What is seen in it."""
    first: int
    """The number of the first event of it."""
    intents: list[Intent] = []
    notes: list[ExternalEvent] = []
    verdicts: list[Verdict] = []
    """What binds only when the round closes."""
    inside: set[str] = set()
    """Whose tokens are in it."""
    commits: int = 0
    gatherings: int = 0
    events: list[Event] = []
    """What has happened in it so far."""
