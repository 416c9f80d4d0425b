"""Outcomes do not depend on timing; the four modes are one engine."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coterie import Dedicated, Leased
from coterie.errors import ReplayDiverged
from coterie.rounds import END, Edge, Graph, Mode, Simulation, Turn, per_agent, together
from coterie.testing import checked_locks
from coterie.world import EventLog, World
from tests.rounds.fishing import simulation
from tests.runs import runs

DISPATCHERS = [Leased(), Leased(least=1, most=1), Leased(least=2, most=8), Dedicated()]


@pytest.fixture(autouse=True)
def locks() -> Iterator[None]:
    with checked_locks():
        yield


@pytest.mark.stress
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", [Mode.LOCKSTEP, Mode.SYNC_POINTS, Mode.PIPELINES])
def test_one_seed_gives_one_digest_whatever_the_threads_the_delays_and_the_dispatcher(mode: Mode) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for seed in runs(3):
            digests = {
                simulation(mode, seed=seed, delay=delay, dispatcher=dispatcher).run(6).digests
                for dispatcher in DISPATCHERS
                for delay in (0.0, 0.003)
            }
            assert len(digests) == 1
    finally:
        sys.setswitchinterval(before)


def test_lockstep_and_sync_points_are_equal_to_the_last_event_and_another_seed_is_not() -> None:
    lockstep, sync_points = World({"lake": 100}), World({"lake": 100})
    one = simulation("lockstep", lockstep).run(8)
    other = simulation("sync-points", sync_points, delay=0.002).run(8)
    assert one.digests == other.digests
    told = [[event for event in world.history()[1:] if event.kind != "simulation started"] for world in (lockstep, sync_points)]
    assert [(each.kind, each.agent, each.changes) for each in told[0]] == [
        (each.kind, each.agent, each.changes) for each in told[1]
    ]
    assert simulation("lockstep", seed=4).run(8).digest != one.digest


def test_without_together_stages_pipelines_equal_the_other_modes() -> None:
    def look(turn: Turn) -> int:
        return int(turn.view["n"])

    def act(turn: Turn) -> None:
        turn.intend("add", key="n", amount=turn.inputs["look"] % 7 + turn.random.randrange(5))

    digests = {
        mode: Simulation(World({"n": 1}), ["a", "b", "c"], Graph.chain(look, act), mode=mode).run(5).digest
        for mode in (Mode.LOCKSTEP, Mode.SYNC_POINTS, Mode.PIPELINES)
    }
    assert len(set(digests.values())) == 1


@pytest.mark.parametrize("lead", [0, 1, 3, None])
def test_tokens_replay_the_interleaving_that_was_recorded(lead: int | None, tmp_path: Path) -> None:
    digests = set()
    for run in range(3):
        with World({"lake": 100}, log=EventLog(tmp_path / f"{run}.db", durable=False)) as world:
            result = simulation("tokens", world, delay=0.004, max_lead=lead).run(10)
            assert world.log is not None
            for _ in range(2):
                assert simulation("tokens", delay=0.001, max_lead=lead).replay(world.log).digests == result.digests
            digests.add(result.digest)
    assert digests


@pytest.mark.parametrize("mode", list(Mode))
def test_a_replay_with_another_outcome_is_found(mode: Mode, tmp_path: Path) -> None:
    with World({"lake": 100}, log=EventLog(tmp_path / "run.db", durable=False)) as world:
        simulation(mode, world).run(3)
        assert world.log is not None
        other = simulation(mode)
        other.plan.agents["ada"].turns = 1
        with pytest.raises(ReplayDiverged, match=r"round \d"):
            simulation(mode, seed=9).replay(world.log)


def test_no_agent_runs_further_ahead_than_the_lead() -> None:
    lead = {"most": 0}
    at: dict[str, int] = dict.fromkeys("abc", 0)
    lock = threading.Lock()

    async def step(turn: Turn) -> None:
        with lock:
            at[turn.name] = turn.round
            lead["most"] = max(lead["most"], turn.round - min(at.values()))
        if turn.name == "a":
            gate.wait(0.002)

    gate = threading.Event()
    Simulation(World({"n": 0}), ["a", "b", "c"], Graph.chain(step), mode="tokens", max_lead=2).run(10)
    # Who has not begun its next turn counts as in the last one.
    assert lead["most"] <= 3


@pytest.mark.parametrize("mode", list(Mode))
def test_tokens_branch_and_loop(mode: Mode) -> None:
    def haggle(turn: Turn) -> int:
        return turn.visit

    @per_agent
    def sell(turn: Turn) -> None:
        turn.intend("set", key=f"sold/{turn.name}", value=turn.inputs["haggle"])

    @per_agent
    def leave(turn: Turn) -> None:
        turn.intend("set", key=f"left/{turn.name}", value=True)

    graph = Graph(
        [haggle, sell, leave],
        [
            Edge("haggle", "haggle", when=lambda turn: turn.inputs["haggle"] < len(turn.name)),
            Edge("haggle", "leave", when=lambda turn: turn.name.startswith("b")),
            Edge("haggle", "sell"),
            Edge("sell", END),
        ],
    )
    result = Simulation(World(), ["a", "aaa", "bb"], graph, mode=mode).run(1)
    assert dict(result.view) == {"sold/a": 1, "sold/aaa": 3, "left/bb": True}


def test_in_lockstep_a_stage_begins_when_all_have_ended_the_one_before() -> None:
    log: list[str] = []

    def one(turn: Turn) -> None:
        threading.Event().wait(0.01 if turn.name == "a" else 0)
        log.append("one")

    def two(turn: Turn) -> None:
        log.append("two")

    Simulation(World(), ["a", "b", "c"], Graph.chain(one, two), mode="lockstep").run(2)
    assert log == ["one"] * 3 + ["two"] * 3 + ["one"] * 3 + ["two"] * 3


def test_a_together_stage_sees_all_agents_or_each_alone() -> None:
    seen: dict[str, list[Any]] = {}
    for mode in Mode:
        gathered: list[Any] = []

        def meet(gathering: Any, gathered: list[Any] = gathered) -> None:
            gathered.append(gathering.agents)

        def idle(turn: Turn) -> None: ...

        Simulation(World(), ["b", "a"], Graph.chain(idle, together(meet)), mode=mode).run(1)
        seen[mode] = sorted(gathered)
    assert seen[Mode.LOCKSTEP] == seen[Mode.SYNC_POINTS] == [("a", "b")]
    assert seen[Mode.PIPELINES] == seen[Mode.TOKENS] == [("a",), ("b",)]


def test_the_time_line_lists_the_waits_of_each_agent() -> None:
    def work(turn: Turn) -> None:
        threading.Event().wait(0.03 if turn.name == "slow" else 0)

    result = Simulation(World(), ["fast", "slow"], Graph.chain(work)).run(2)
    waits = [span for span in result.timeline if span.waited_for]
    assert {(span.agent, span.waited_for) for span in waits} == {("fast", "slow")}
    assert result.waited >= 0.04
    assert {span.agent for span in result.timeline if not span.waited_for} == {"fast", "slow"}
