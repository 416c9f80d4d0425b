"""Invariants of every step: one leader a term, matching logs, committed entries that stay."""

from random import Random
from typing import Any

from coterie.meetings import Chair, ContractNet, Floor, Open, RaisedHands, RoundRobin
from coterie.meetings.state.events import (
    Announced,
    AnyEvent,
    Awarded,
    Bid,
    Crashed,
    HandLowered,
    HandRaised,
    Left,
    MotionPut,
    Reported,
    Spoke,
    TurnGiven,
    TurnPassed,
    Voted,
)
from coterie.meetings.state.termination import AnyCondition, Lasted, MaxTurns, Silence, TextSaid
from tests.meetings.raft.hall import Hall
from tests.runs import runs

FLOORS: tuple[Floor, ...] = (
    Open(),
    RoundRobin(turn_limit=0.5),
    RaisedHands(turn_limit=1.0),
    Chair(turn_limit=1.0),
    ContractNet(turn_limit=2.0),
)
ENDINGS: tuple[AnyCondition | None, ...] = (
    None,
    None,
    MaxTurns(15),
    Silence(8),
    TextSaid("3") & Silence(2),
    Lasted(1) & TextSaid("7") | Lasted(9),
)
WHATS = ("say",) * 5 + ("cut", "heal", "heal", "kill", "wait", "leave", "other", "other", "other")


class Watched(Hall):
    """A hall in which each step is checked."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.leaders: dict[int, str] = {}
        self.final: list[tuple[int, str]] = []
        self.digest_at: dict[int, str] = {}
        super().__init__(*args, **options)

    def pump(self, name: str) -> None:
        replica = self.replicas[name]
        if replica.leading is not None:
            assert self.leaders.setdefault(replica.term, name) == name, "two lead one term"
        super().pump(name)
        mine = replica.log.entries
        for other in self.replicas.values():
            theirs = other.log.entries
            same = [place for place in range(min(len(mine), len(theirs))) if mine[place].term == theirs[place].term]
            if same:  # entries of one place and epoch are one entry, and so are all before them
                assert mine[: same[-1] + 1] == theirs[: same[-1] + 1], "logs do not match"
        final = [(entry.term, entry.id) for entry in mine[: replica.committed]]
        both = min(len(final), len(self.final))
        assert final[:both] == self.final[:both], "a committed entry has changed"
        self.final += final[both:]
        digest = replica.state.digest()
        assert self.digest_at.setdefault(replica.committed, digest) == digest, "one sequence, two digests"
        assert replica.state.void == []


def other(random: Random, name: str, names: list[str], number: int) -> AnyEvent:
    events: tuple[AnyEvent, ...] = (
        HandRaised(),
        HandLowered(),
        MotionPut(f"m{number % 3}"),
        Voted(f"m{number % 3}", "yes"),
        TurnPassed(),
        Crashed(name, "fault"),
        TurnGiven(random.choice(names)),
        Announced("task"),
        Bid(random.choice([None, 3])),
        Awarded(random.choice([*names, ""])),
        Reported(1),
    )
    return random.choice(events)


def test_every_step_is_safe_over_random_schedules() -> None:
    for seed in runs(40):
        random = Random(seed)
        names = [f"m{number}" for number in range(random.randint(1, 6))]
        bad = random.random() * 0.3
        hall = Watched(
            names, seed, drop=bad, duplicate=bad, reorder=bad, floor=random.choice(FLOORS), ending=random.choice(ENDINGS)
        )
        for number in range(random.randint(5, 35)):
            living = sorted(hall.replicas)
            name, what = random.choice(living), random.choice(WHATS)
            if what == "say":
                hall.submit(name, Spoke(str(number)), patience=random.choice([2, 30]))
            elif what == "leave" and random.random() < 0.3:
                hall.submit(name, Left(name))
            elif what == "other":
                hall.submit(name, other(random, name, living, number))
            elif what == "cut":
                side = random.sample(living, random.randint(1, len(living)))
                hall.partition(side, [each for each in living if each not in side])
            elif what == "heal":
                hall.heal()
            elif what == "kill" and len(living) > 2:
                hall.kill(name)
                for each in sorted(hall.replicas) if random.random() < 0.5 else ():
                    hall.replicas[each].member_gone(name, hall.now)
                    hall.pump(each)
            hall.run(random.random() * random.choice([0.05, 0.5, 2]))
        hall.heal()
        hall.run(20)
        assert hall.diverged == []
        ids = [id_ for _, id_ in hall.final if id_]
        assert len(ids) == len(set(ids)), "something counts twice"
        assert {result.id for result in hall.results.values() if result.sequence} <= set(ids)


def test_pending_proposals_of_a_member_that_left_are_resolved() -> None:
    for seed in runs(10):
        hall = Hall("abc", seed, drop=0.2, reorder=0.2)
        ids = [hall.submit("b", Spoke(number)) for number in range(3)]
        ids.append(hall.submit("b", Left("b")))
        ids += [hall.submit("b", Spoke(number)) for number in range(3, 6)]
        hall.run(3)
        assert [id_ for id_ in ids if id_ not in hall.results] == []
