"""Replicas over a schedule of losses, repetitions, reorderings and partitions come to one digest, whatever happens."""

from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coterie.meetings import RoundRobin
from coterie.meetings.state.events import AnyEvent, Closed, HandRaised, Invited, Left, MotionPut, Spoke, TurnPassed, Voted
from coterie.meetings.state.termination import MaxTurns
from tests.meetings.raft.hall import Hall
from tests.runs import runs

ACTIONS = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.sampled_from(
            ["say", "say", "say", "raise", "motion", "vote", "pass", "leave", "join", "kill", "cut", "heal", "wait"]
        ),
        st.floats(0, 2),
    ),
    max_size=25,
)


def event_of(what: str, number: int, member: str) -> AnyEvent:
    made: dict[str, AnyEvent] = {
        "say": Spoke(number),
        "raise": HandRaised(),
        "motion": MotionPut(f"m{number % 3}"),
        "vote": Voted(f"m{number % 3}", "yes"),
        "pass": TurnPassed(),
        "leave": Left(member),
    }
    return made[what]


def act(hall: Hall, what: str, who: int, number: int, random: Random) -> None:
    """Do one thing of a schedule, as far as it is possible now."""
    living = sorted(hall.replicas)
    name = living[who % len(living)]
    if what == "cut":
        side = random.sample(living, random.randrange(1, max(2, len(living))))
        hall.partition(side, [each for each in living if each not in side])
    elif what == "heal":
        hall.heal()
    elif what == "kill":
        members = set(hall.replicas[name].log.members)
        # A majority of what was ever a member stays, so that there is somebody to agree.
        if 2 * (len(living) - 1) > len(members | set(living)):
            hall.kill(name)
    elif what == "join":
        guest = f"guest{number}"
        hall.submit(name, Invited(guest))
        hall.run(0.5)
        if any(guest in replica.state.invitations for replica in hall.replicas.values()):
            hall.join(guest)
    elif what != "wait":
        hall.submit(name, event_of(what, number, name))


def settle(hall: Hall) -> None:
    """Let everything arrive that still does, and long enough for those who are lost to be taken out."""
    hall.heal()
    hall.run(80)


def check(hall: Hall) -> None:
    assert hall.diverged == []
    present = [replica for replica in hall.replicas.values() if not replica.has_left and replica.state.sequence]
    longest = max(present, key=lambda replica: replica.committed, default=None)
    if longest is None:
        return
    members = set(longest.state.locations)
    reachable = [replica for replica in present if replica.me in members]
    if 2 * len(reachable) > len(members) or not longest.state.is_open:
        assert len({replica.state.digest() for replica in reachable}) == 1, [(r.me, r.committed) for r in reachable]
    for replica in present:
        # Whoever is behind has a part of the same minutes, never something else.
        assert replica.log.entries[: replica.committed] == longest.log.entries[: replica.committed]
        assert replica.state.void == []
        order = [(entry.term, entry.sequence) for entry in replica.state.entries]
        assert order == sorted(set(order))
    ids = [entry.id for entry in longest.state.entries if entry.id]
    assert len(ids) == len(set(ids))
    for result in hall.results.values():
        if result.sequence:
            # What was acknowledged is in the minutes, whoever took over since.
            assert longest.state.accepted.get(result.id) == result.sequence
    for heard in hall.heard.values():
        assert heard == list(range(1, len(heard) + 1))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(2, 6), st.integers(0, 2**32), ACTIONS)
def test_all_views_converge_under_any_schedule(members: int, seed: int, actions: list[tuple[int, str, float]]) -> None:
    hall = Hall([f"m{number}" for number in range(members)], seed, drop=0.2, duplicate=0.2, reorder=0.2)
    random = Random(seed)
    for number, (who, what, seconds) in enumerate(actions):
        act(hall, what, who, number, random)
        hall.run(seconds)
    settle(hall)
    check(hall)


def test_twenty_percent_loss_and_a_partition_of_five_seconds() -> None:
    for seed in runs(25):
        random = Random(seed)
        hall = Hall([f"m{number}" for number in range(2 + seed % 5)], seed, drop=0.2, duplicate=0.2, reorder=0.2)
        ids = []
        for number in range(12):
            ids.append(hall.submit(random.choice(hall.names), Spoke(number)))
            hall.run(random.uniform(0, 0.5))
            if number == 4:
                side = random.sample(hall.names, len(hall.names) // 2)
                hall.partition(side, [name for name in hall.names if name not in side])
            if number == 8:
                hall.run(5)
                hall.heal()
        hall.run(30)
        check(hall)
        assert all(id_ in hall.results for id_ in ids)
        assert sum(bool(hall.results[id_].sequence) for id_ in ids) >= 10
        assert len(hall.digests()) == 1


def test_turns_are_kept_over_loss_and_take_over() -> None:
    for seed in runs(10):
        floor = RoundRobin(turn_limit=3.0)
        hall = Hall("abcd", seed, drop=0.2, duplicate=0.2, reorder=0.2, floor=floor, ending=MaxTurns(12))
        random = Random(seed)
        for number in range(30):
            name = random.choice(sorted(hall.replicas))
            hall.submit(name, Spoke(number), patience=2.0)
            hall.run(random.uniform(0, 1))
            if number == 12:
                hall.kill(hall.leader())
        hall.run(50)
        check(hall)
        (state, *_) = [replica.state for replica in hall.replicas.values()]
        turns = [said.turn for said in state.utterances] + [missed.turn for missed in state.missed]
        assert sorted(turns) == list(range(1, 13))


def test_a_rule_closes_a_meeting_everywhere_once() -> None:
    for seed in runs(10):
        hall = Hall(["a", "b", "c"], seed, drop=0.2, duplicate=0.2, reorder=0.2, ending=MaxTurns(5))
        for number in range(8):
            hall.submit("abc"[number % 3], Spoke(number))
            hall.run(0.3)
        hall.run(20)
        check(hall)
        for replica in hall.replicas.values():
            assert not replica.state.is_open
            assert sum(isinstance(entry.event, Closed) for entry in replica.state.entries) == 1
            assert replica.state.turns == 5
        before = hall.sent
        hall.run(30)
        assert hall.sent == before  # it is over: nobody sends anything any more
