"""What a clerk works with: it stays when the clerk itself is rebuilt."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from coterie.kernel import Clock, Packed
from coterie.meetings.desk.inviting import Gathering
from coterie.meetings.desk.seat import Seat
from coterie.meetings.ending import Condition
from coterie.meetings.floor.policy import Floor
from coterie.meetings.messages import Batch
from coterie.meetings.minutes.events import Entry, Place
from coterie.meetings.protocol.timing import Timing

if TYPE_CHECKING:
    from coterie.runtime import AgentRef, Runtime


class Terms(msgspec.Struct, frozen=True):
    """On which terms a meeting is called."""

    topic: str
    floor: Packed
    floor_name: str
    quorum: int
    ending: Condition | None
    parameters: dict[str, Any]
    parent: str
    closes_with_caller: bool
    timeout: float
    batch: Batch | None = None
    """How the caller wants to be woken."""


class Desk:
    """One meeting on one node. Touched by its clerk's thread alone, but for what says otherwise."""

    def __init__(
        self,
        meeting: str,
        topic: str,
        runtime: Runtime,
        resolve: Callable[[Packed], Floor],
        timing: Timing,
        record: Callable[[Desk, list[Entry]], object],
        forget: Callable[[Desk], object],
    ) -> None:
        self.meeting = meeting
        self.topic = topic
        self.runtime = runtime
        self.resolve = resolve
        self.timing = timing
        self.record = record
        """Puts entries that are final where they last, before anybody is told of them."""
        self.forget = forget
        """Is told that the meeting is over here."""
        self.clerk: AgentRef | None = None
        """None again when the meeting is over here."""
        self.seats: dict[str, Seat] = {}
        """Read from any thread; replaced, never changed."""
        self.past: dict[str, Seat] = {}
        """Those who left, with what they knew."""
        self.caller: tuple[str, AgentRef] | None = None
        self.terms: Terms | None = None
        self.gathering: Gathering | None = None
        self.recorded = 0
        """How many entries are known to be final."""
        self.written = 0
        """How many of them are where they last."""
        self.path: Path | None = None
        """Where the minutes are written."""
        self.ids = itertools.count(1)
        self._offset = runtime.clock.time() - runtime.clock.monotonic()

    @property
    def clock(self) -> Clock:
        """The clock of the runtime."""
        return self.runtime.clock

    def now(self) -> float:
        """Return the time, in seconds since 1970, which never goes back here."""
        return self._offset + self.runtime.clock.monotonic()

    def place(self, name: str) -> Place | None:
        """Return where a member is, as far as the replicas here know."""
        for seat in self.seats.values():
            place = seat.replica.log.members.get(name)
            if place is not None:
                return place
        for seat in self.seats.values():
            for place in seat.replica.state.places.values():
                if place.name == name:
                    return place
        return None

    def seat_of(self, name: str) -> Seat | None:
        """Return the seat of a member, also of one that has left. From any thread."""
        return self.seats.get(name) or self.past.get(name)

    def add(self, seat: Seat) -> None:
        """Give a member its seat."""
        self.seats = {**self.seats, seat.name: seat}

    def remove(self, name: str) -> None:
        """Take a seat away."""
        if name in self.seats:
            self.past = {**self.past, name: self.seats[name]}
            self.seats = {other: seat for other, seat in self.seats.items() if other != name}

    def rest(self) -> None:
        """Keep of a meeting that is over what may be asked for. By its clerk, at its end."""
        self.clerk = self.gathering = None
        for seat in (*self.seats.values(), *self.past.values()):
            seat.replica.rest()

    def minutes(self) -> list[Entry]:
        """Return what is final, by the member here that has most of it. From any thread."""
        seats = (*self.seats.values(), *self.past.values())
        return max((seat.replica.log.entries[: seat.replica.committed] for seat in seats), key=len, default=[])

    def __deepcopy__(self, memo: object) -> Desk:
        return self
