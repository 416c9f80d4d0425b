"""Many replicas in one thread: messages that get lost, repeated, late and cut off, on virtual time, by a seed."""

import heapq
import itertools
from collections.abc import Iterable
from random import Random
from typing import Any

from coterie.kernel.codec import Packed
from coterie.meetings import Floor, Open
from coterie.meetings.raft.messages import Committed, Diverged, ProposalResult, Send
from coterie.meetings.raft.replica import Replica
from coterie.meetings.raft.state import Timing
from coterie.meetings.state.events import AnyEvent, Joined, MeetingOpened
from coterie.meetings.state.records import MemberLocation

TIMING = Timing()


class Hall:
    """Replicas by name, the messages between them, and their results."""

    def __init__(
        self,
        names: Iterable[str],
        seed: int = 0,
        *,
        drop: float = 0.0,
        duplicate: float = 0.0,
        reorder: float = 0.0,
        floor: Floor | None = None,
        start: bool = True,
        **opened: Any,
    ) -> None:
        self.now = 1_000_000.0
        self.random = Random(seed)
        self.drop, self.duplicate, self.reorder = drop, duplicate, reorder
        self.floor = floor if floor is not None else Open()
        self.names = list(names)
        self.replicas: dict[str, Replica] = {}
        self.results: dict[str, ProposalResult] = {}
        self.heard: dict[str, list[int]] = {}
        self.diverged: list[Diverged] = []
        self.sides: dict[str, int] = {}
        self.sent = 0
        self._numbers = itertools.count()
        self._ids = itertools.count(1)
        self._under_way: list[tuple[float, int, str, str, Any]] = []
        for name in self.names:
            self.seat(name)
        if start:
            caller = self.names[0]
            opened.setdefault("invited", {})
            places = tuple(self.place(name) for name in self.names)
            self.replicas[caller].open(MeetingOpened("topic", caller, places, Packed("floor", b""), **opened), self.now)
            self.run(1.0)

    def place(self, name: str) -> MemberLocation:
        return MemberLocation(name, f"agent/{name}", f"host/{name}")

    def seat(self, name: str) -> Replica:
        replica = Replica(name, "m", f"host/{name}", lambda _: self.floor, TIMING, self.now)
        self.replicas[name] = replica
        self.heard[name] = []
        return replica

    def join(self, name: str) -> None:
        self.seat(name)
        self.submit(self.leader(), Joined(self.place(name)))

    def kill(self, name: str) -> None:
        del self.replicas[name]

    def leader(self) -> str:
        leading = [replica for replica in self.replicas.values() if replica.leading is not None]
        return max(leading, key=lambda replica: replica.term).me

    def submit(self, by: str, event: AnyEvent, patience: float = 30.0, id_: str = "") -> str:
        id_ = id_ or f"{by}/{next(self._ids)}"
        self.replicas[by].propose(id_, event, self.now, self.now + patience)
        self.pump(by)
        return id_

    def partition(self, *sides: Iterable[str]) -> None:
        self.sides = {name: number for number, side in enumerate(sides) for name in side}

    def heal(self) -> None:
        self.sides = {}

    def pump(self, name: str) -> None:
        for effect in self.replicas[name].drain():
            if isinstance(effect, Send):
                self.send(name, effect.to, effect.message)
            elif isinstance(effect, Committed):
                self.heard[name].append(effect.entry.sequence)
            elif isinstance(effect, ProposalResult):
                assert effect.id not in self.results, "two results of one proposal"
                self.results[effect.id] = effect
            else:
                self.diverged.append(effect)

    def send(self, source: str, target: str, message: Any) -> None:
        self.sent += 1
        if self.sides.get(source, -1) != self.sides.get(target, -1) or self.random.random() < self.drop:
            return
        for _ in range(2 if self.random.random() < self.duplicate else 1):
            wait = self.random.uniform(0.001, 0.01)
            if self.random.random() < self.reorder:
                wait += self.random.uniform(0, 0.5)
            heapq.heappush(self._under_way, (self.now + wait, next(self._numbers), source, target, message))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        for name in self.replicas:
            self.pump(name)
        while True:
            deadlines = [(when, name) for name, each in self.replicas.items() if (when := each.next_deadline()) is not None]
            tick = min(deadlines, default=(end + 1, ""))
            arrival = self._under_way[0][0] if self._under_way else end + 1
            when = max(self.now, min(tick[0], arrival))
            if when > end:
                self.now = end
                return
            self.now = when
            if arrival <= tick[0]:
                _, _, source, name, message = heapq.heappop(self._under_way)
                if name not in self.replicas:
                    continue
                self.replicas[name].receive(source, message, self.now)
            else:
                name = tick[1]
                self.replicas[name].tick(self.now)
            self.pump(name)

    def digests(self) -> set[str]:
        return {replica.state.digest() for replica in self.replicas.values() if not replica.has_left}
