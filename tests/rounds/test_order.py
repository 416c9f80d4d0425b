"""The order of agents within a round: commits as stages, and activation one after another."""

from pathlib import Path

import pytest

from coterie import Leased
from coterie.errors import CheckpointMissing, InvalidGraph, InvalidSetting
from coterie.rounds import Edge, Graph, Mode, Simulation, Turn, commit, together
from coterie.world import EventLog, World, resolvers

NAMES = [f"a{number:02}" for number in range(20)]


def choose(turn: Turn) -> None:
    turn.intend("set", key=turn.name, value=turn.round)


def count(turn: Turn) -> None:
    seen = sum(turn.view[name] == turn.round for name in NAMES)
    turn.intend("set", key=f"seen/{turn.name}", value=seen)


def world() -> World:
    return World({**dict.fromkeys(NAMES, 0), **{f"seen/{name}": -1 for name in NAMES}})


@pytest.mark.parametrize("mode", ["lockstep", "sync-points", "pipelines"])
def test_the_stage_after_a_commit_sees_what_all_decided_and_without_one_it_does_not(mode: str) -> None:
    after = Simulation(world(), NAMES, Graph.chain(choose, commit, count), mode=mode).run(2)
    assert {after.view[f"seen/{name}"] for name in NAMES} == {20}
    without = Simulation(world(), NAMES, Graph.chain(choose, count), mode=mode).run(2)
    assert {without.view[f"seen/{name}"] for name in NAMES} == {0}


def test_a_chain_may_have_several_commits_and_a_graph_names_its_own() -> None:
    graph = Graph.chain(choose, commit, count, commit, together(lambda _: None).named("look"))
    assert [stage.name for stage in graph.stages] == ["choose", "commit", "count", "commit 2", "look"]
    chosen = commit.named("chosen")
    edges = [Edge("choose", "chosen"), Edge("chosen", "choose", when=lambda turn: turn.visit < 2), Edge("chosen", "count")]
    result = Simulation(world(), NAMES, Graph([choose, chosen, count], edges)).run(1)
    assert {result.view[f"seen/{name}"] for name in NAMES} == {20}
    with pytest.raises(InvalidGraph, match="2 stages are named 'commit'"):
        Graph([choose, commit, commit])


def test_a_commit_has_no_moment_in_tokens_and_is_no_function() -> None:
    with pytest.raises(InvalidSetting, match="'commit' has no moment"):
        Simulation(world(), NAMES, Graph.chain(choose, commit, count), mode=Mode.TOKENS)
    with pytest.raises(TypeError, match="a commit is a stage of its own"):
        commit(choose)


def test_a_run_with_a_commit_is_resumed_and_replayed(tmp_path: Path) -> None:
    graph = Graph.chain(choose, commit, count)
    with World(dict.fromkeys([*NAMES, *(f"seen/{name}" for name in NAMES)], 0), log=EventLog(tmp_path / "run.db")) as logged:
        Simulation(logged, NAMES, graph, seed=3).run(2)
    with World(log=EventLog(tmp_path / "run.db")) as logged:
        result = Simulation(logged, NAMES, graph, seed=3).resume(4)
        assert logged.log is not None
        assert Simulation(World(), NAMES, graph, seed=3).replay(logged.log).digests == result.digests


def give(turn: Turn) -> None:
    if turn.view[turn.name] > 0:
        turn.intend("move", source=turn.name, target=turn.random.choice(PURSES), amount=1)


PURSES = [f"p{number:03}" for number in range(60)]


def wealth(activation: str, *, seed: int = 1, threads: int = 2, world: World | None = None) -> Simulation:
    made = world if world is not None else World(dict.fromkeys(PURSES, 1))
    leased = Leased(least=1, most=threads)
    return Simulation(made, PURSES, Graph.chain(give), activation=activation, seed=seed, dispatcher=leased, spans=0)


def test_a_wealth_model_settles_where_its_order_of_activation_puts_it() -> None:
    # At once, a purse is a queue with Poisson arrivals and one departure a round (M/D/1): 2 - sqrt(2) of them have coins.
    # One after another it is a zero-range process, whose purses are near a geometric law with mean 1: one half have coins.
    rich = {}
    for activation in ("at-once", "random"):
        seen: list[float] = []
        wealth(activation).run(60, lambda result: seen.append(sum(coins > 0 for coins in result.view.values()) / len(PURSES)))
        rich[activation] = sum(seen[20:]) / 40
    assert rich["at-once"] == pytest.approx(2 - 2**0.5, abs=0.03)
    assert rich["random"] == pytest.approx(0.52, abs=0.03)


def test_each_agent_sees_what_those_before_it_did_and_the_seed_gives_the_order() -> None:
    def look(turn: Turn) -> None:
        turn.intend("add", key="n", amount=1)
        turn.intend("set", key=turn.name, value=turn.view["n"])

    def order(activation: str, seed: int, rounds: int = 1) -> list[str]:
        result = Simulation(World({"n": 0}), NAMES, Graph.chain(look), activation=activation, seed=seed).run(rounds)
        return sorted(NAMES, key=lambda name: result.view[name])

    assert order("by-name", 1) == NAMES
    assert order("random", 1) == order("random", 1) != order("random", 2)
    assert order("random", 1) != order("random", 1, rounds=2)
    assert len({wealth("random", threads=threads).run(3).digest for threads in (1, 4)}) == 1


def test_a_run_in_random_order_is_resumed_and_replayed_and_the_order_is_part_of_it(tmp_path: Path) -> None:
    whole = wealth("random").run(6).digest
    with World(dict.fromkeys(PURSES, 1), log=EventLog(tmp_path / "run.db")) as logged:
        wealth("random", world=logged).run(3)
    with World(log=EventLog(tmp_path / "run.db")) as logged:
        with pytest.raises(CheckpointMissing, match="activation is 'random', not 'at-once'"):
            wealth("at-once", world=logged).resume(6)
        result = wealth("random", world=logged).resume(6)
        assert result.digest == whole
        assert logged.log is not None
        assert wealth("random").replay(logged.log).digest == whole


@pytest.mark.parametrize("mode", ["pipelines", "tokens"])
def test_modes_without_a_common_order_refuse_one(mode: str) -> None:
    with pytest.raises(InvalidSetting, match="lockstep or sync-points with activation='random'"):
        Simulation(World(), NAMES, Graph.chain(choose), mode=mode, activation="random")
    with pytest.raises(InvalidSetting, match=r"Simulation\.activation"):
        Simulation(World(), NAMES, Graph.chain(choose), activation="shuffled")


@pytest.mark.parametrize("sharing", ["proportional", "equal"])
def test_a_unit_that_does_not_divide_goes_by_the_seed_and_not_by_name(sharing: str) -> None:
    def take(turn: Turn) -> None:
        turn.intend("take", amount=2)

    def lucky(seed: int) -> str:
        lake = resolvers.Rationing("lake", into="basket/{agent}", sharing=sharing)
        result = Simulation(World({"lake": 4}), ["a", "b", "c"], Graph.chain(take), seed=seed, resolver=lake).run(1)
        return max("abc", key=lambda name: result.view[f"basket/{name}"])

    assert {lucky(seed) for seed in range(12)} == {"a", "b", "c"}
    assert lucky(5) == lucky(5)
