"""Stages for all agents at once: equal to the same stages agent by agent, in outcome, chance, conflicts and digest."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coterie.errors import CheckpointMissing, InvalidSetting, StageFailed
from coterie.rounds import AgentGroup, ColumnTurn, Graph, Result, Simulation, Turn, commit, for_all, per_agent, together
from coterie.rounds.engine import column_commits
from coterie.world import EventLog, World, resolvers

PEOPLE = AgentGroup("person", 40)
SIDE = 7
CELLS = AgentGroup("cell", SIDE * SIDE)


def keys(prefix: str, group: AgentGroup) -> list[str]:
    return [f"{prefix}/{name}" for name in group.names]


# Boltzmann wealth: moves.


@for_all
def give_all(turn: ColumnTurn) -> None:
    rich = turn["coins"] > 0
    to = turn.draw.below(len(turn), where=rich)
    turn.intend("move", where=rich, source=turn.keys("coins"), target=turn.keys("coins", to), amount=1)


def give(turn: Turn) -> None:
    if turn.view[f"coins/{turn.name}"] > 0:
        to = turn.draw.below(len(PEOPLE))
        turn.intend("move", source=f"coins/{turn.name}", target=f"coins/{PEOPLE.names[to]}", amount=1)


# The spatial prisoner's dilemma: own values, on a torus.

NEAR = np.array(
    [
        [(y + dy) % SIDE * SIDE + (x + dx) % SIDE for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        for y in range(SIDE)
        for x in range(SIDE)
    ]
)


@for_all
def copy_best_all(turn: ColumnTurn) -> dict[str, Any]:
    mates = turn["cooperates"][NEAR].sum(axis=1)
    scores = np.where(turn["cooperates"], 1.0, 1.6) * mates
    best = NEAR[np.arange(len(turn)), scores[NEAR].argmax(axis=1)]
    return {"cooperates": turn["cooperates"][best]}


def copy_best(turn: Turn) -> None:
    def score(place: int) -> float:
        mates = sum(turn.view[f"cooperates/{CELLS.names[each]}"] for each in NEAR[place])
        return float((1.0 if turn.view[f"cooperates/{CELLS.names[place]}"] else 1.6) * mates)

    near = NEAR[CELLS.rows.places[turn.name]]
    best = near[max(range(9), key=lambda number: (score(near[number]), -number))]
    turn.intend("set", key=f"cooperates/{turn.name}", value=turn.view[f"cooperates/{CELLS.names[best]}"])


# An epidemic with conflicts (two infect one), chance, a commit and fractions.


@for_all
def meet_all(turn: ColumnTurn) -> None:
    ill = turn["ill"]
    other = turn.draw.below(len(turn), where=ill)
    infects = turn.draw.chance(0.6, where=ill)
    turn.intend("set", where=infects, key=turn.keys("ill", other), value=True)
    turn.intend("add", where=ill, key=turn.keys("load"), amount=turn.draw.random(where=ill))


def meet(turn: Turn) -> None:
    if turn.view[f"ill/{turn.name}"]:
        other = turn.draw.below(len(PEOPLE))
        if turn.draw.chance(0.6):
            turn.intend("set", key=f"ill/{PEOPLE.names[other]}", value=True)
        turn.intend("add", key=f"load/{turn.name}", amount=turn.draw.random())


@for_all
def recover_all(turn: ColumnTurn) -> None:
    turn.set("ill", np.zeros(len(turn), dtype=bool), where=turn["load"] > 1.5)


def recover(turn: Turn) -> None:
    if turn.view[f"load/{turn.name}"] > 1.5:
        turn.intend("set", key=f"ill/{turn.name}", value=False)


def wealth_world() -> World:
    return World({"coins": PEOPLE.column(1)})


def cells_world() -> World:
    return World({"cooperates": CELLS.column(np.random.default_rng(3).random(len(CELLS)) < 0.8)})


def epidemic_world() -> World:
    return World({"ill": PEOPLE.column(np.arange(40) < 5), "load": PEOPLE.column(0.0)})


MODELS: dict[str, tuple[Callable[[], World], AgentGroup, tuple[Any, ...], tuple[Any, ...]]] = {
    "wealth": (wealth_world, PEOPLE, (give_all,), (give,)),
    "dilemma": (cells_world, CELLS, (copy_best_all,), (copy_best,)),
    "epidemic": (epidemic_world, PEOPLE, (meet_all, commit, recover_all), (meet, commit, recover)),
}


@pytest.mark.parametrize("resolver", [None, resolvers.Lottery(), resolvers.Merge()], ids=["first-come", "lottery", "merge"])
@pytest.mark.parametrize("model", MODELS)
def test_columns_equal_the_form_agent_by_agent(model: str, resolver: Any) -> None:
    world, group, columns, apart = MODELS[model]
    named = [stage if stage is commit else stage.named(each.__name__) for stage, each in zip(columns, apart, strict=True)]
    rounds = 12
    at_once = Simulation(world(), [group], Graph.chain(*named), seed=4, resolver=resolver).run(rounds)
    one_by_one = Simulation(world(), group.names, Graph.chain(*apart), seed=4, resolver=resolver).run(rounds)
    in_one_turn = Simulation(world(), [group], Graph.chain(*apart), seed=4, resolver=resolver).run(rounds)
    assert at_once.digests == one_by_one.digests == in_one_turn.digests
    assert len(set(at_once.digests)) > 1
    other = Simulation(world(), [group], Graph.chain(*named), seed=5, resolver=resolver).run(rounds)
    assert (other.digest == at_once.digest) is (model == "dilemma")


@pytest.mark.parametrize("mode", ["lockstep", "pipelines", "tokens"])
def test_columns_equal_the_form_agent_by_agent_in_other_modes(mode: str) -> None:
    columns = Simulation(wealth_world(), [PEOPLE], Graph.chain(give_all.named("give")), mode=mode, max_lead=0).run(5)
    if mode == "tokens":
        assert columns.view["coins"].array.sum() == 40
    else:
        assert columns.digest == Simulation(wealth_world(), PEOPLE.names, Graph.chain(give), mode=mode).run(5).digest


def test_a_whole_column_is_decided_at_once_where_nothing_can_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(intents: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(column_commits, "expanded", never)
    monkeypatch.setattr("coterie.rounds.engine.commits.expanded", never)
    world = wealth_world()
    Simulation(world, [PEOPLE], Graph.chain(give_all)).run(5)
    (event,) = [event for event in world.history() if event.round == 5 and event.kind == "granted"]
    assert event.agent == "person"
    assert event.details["action"] == "move"
    assert event.details["agents"] > 10


def test_an_agent_that_moves_more_than_it_has_is_refused_by_name() -> None:
    @for_all
    def spend(turn: ColumnTurn) -> None:
        turn.intend("move", source=turn.keys("coins"), target=turn.keys("coins", 0), amount=np.arange(len(turn)) % 3)

    world = wealth_world()
    Simulation(world, [PEOPLE], Graph.chain(spend)).run(1)
    refused = {event.agent: event.reason for event in world.history() if event.kind == "refused"}
    assert refused["person-03"] == "coins/person-03 has 1 left"
    assert len(refused) == 13
    assert world.view()["coins"].array.sum() == 40


def test_a_few_agents_with_minds_and_a_group_share_a_round() -> None:
    class Banker:
        async def lend(self, turn: Turn) -> None:
            poor = [name for name in turn.everyone.of("person") if turn.view[f"coins/{name}"] == 0][:3]
            for name in poor:
                turn.intend("move", source="bank", target=f"coins/{name}", amount=1)

    stages = (give_all.named("give"), commit, per_agent("lend", of=Banker))
    result = Simulation(
        World({"bank": 10, "coins": PEOPLE.column(1)}), {"b": Banker(), "person": PEOPLE}, Graph.chain(*stages)
    ).run(4)
    assert result.view["bank"] + result.view["coins"].array.sum() == 50
    assert result.view["bank"] < 10
    assert result.forfeits == 0

    def own(turn: Turn) -> None:
        if turn.name == "b":
            turn.intend("add", key="bank", amount=1)
        else:
            give(turn)

    @for_all("person")
    def both(turn: ColumnTurn) -> None:
        give_all(turn)

    @per_agent
    def earn(turn: Turn) -> None:
        if turn.name == "b":
            turn.intend("add", key="bank", amount=1)

    world = {"bank": 0, "coins": PEOPLE.column(1)}
    mixed = Simulation(World(world), {"b": None, "person": PEOPLE}, Graph.chain(both.named("own"), earn)).run(4)
    apart = Simulation(World(world), ["b", *PEOPLE.names], Graph.chain(own)).run(4)
    assert mixed.digests == apart.digests


def test_a_run_of_columns_is_resumed_and_replayed(tmp_path: Path) -> None:
    whole = Simulation(wealth_world(), [PEOPLE], Graph.chain(give_all), seed=2).run(7)

    def made(world: World) -> Simulation:
        return Simulation(world, [PEOPLE], Graph.chain(give_all), seed=2)

    with World({"coins": PEOPLE.column(1)}, log=EventLog(tmp_path / "run.db")) as world:
        made(world).run(3)
    with World(log=EventLog(tmp_path / "run.db")) as world:
        assert made(world).resume(7).digests == whole.digests
        assert world.log is not None
        assert made(World()).replay(world.log).digests == whole.digests
        with pytest.raises(CheckpointMissing):
            Simulation(world, PEOPLE.names, Graph.chain(give_all)).resume(8)


def failure(work: Callable[[ColumnTurn], Any]) -> str:
    world = wealth_world()
    before = world.digest()
    with pytest.raises(StageFailed) as caught:
        Simulation(world, [PEOPLE], Graph.chain(for_all(work))).run(3)
    assert world.digest() == before
    return str(caught.value)


def test_bad_arrays_are_one_error_with_key_round_and_agent() -> None:
    def short(turn: ColumnTurn) -> Any:
        return {"coins": np.ones(3, dtype=int)}

    def wrong(turn: ColumnTurn) -> Any:
        return {"coins": np.array([object()] * 40)}

    def nan(turn: ColumnTurn) -> Any:
        return {"coins": np.where(np.arange(40) == 7, math.nan, 1.0)}

    def far(turn: ColumnTurn) -> None:
        turn.intend("move", source=turn.keys("coins"), target=turn.keys("coins", np.arange(40) + 5), amount=1)

    def mask(turn: ColumnTurn) -> None:
        turn.intend("add", key=turn.keys("coins"), amount=1, where=np.ones(39, dtype=bool))

    def missing(turn: ColumnTurn) -> None:
        turn.column("gold")

    async def waits(turn: ColumnTurn) -> None: ...

    def text(turn: ColumnTurn) -> Any:
        return "coins"

    assert "'coins' for all person in short of round 1" in failure(short)
    assert "has 3 values, but there are 40 rows" in failure(short)
    assert "object" in failure(wrong)
    assert "it is the value of person-08" in failure(nan)
    assert "person-36 means place 40, but there are 40" in failure(far)
    assert "give 40 truth values" in failure(mask)
    assert "'gold/person-01': it is not in the world in round 1" in failure(missing)
    assert "a plain function" in failure(waits)
    assert "None, or a mapping" in failure(text)


def test_a_value_of_another_type_than_the_column_is_one_error_and_nothing_is_lost() -> None:
    def halve(turn: ColumnTurn) -> Any:
        return {"coins": turn["coins"] / 2}

    def truth(turn: ColumnTurn) -> Any:
        return {"coins": turn["coins"] > 0}

    def words(turn: ColumnTurn) -> None:
        turn.set("coins", "many")

    def part(turn: ColumnTurn) -> None:
        turn.intend("move", source=turn.keys("coins"), target=turn.keys("coins"), amount=0.5)

    where = "'coins' for all person in {} of round 1"
    for work, value in ((halve, "0.5 of person-01"), (truth, "True of person-01"), (words, "many of person-01"), (part, "0.5")):
        told = failure(work)
        assert where.format(work.__name__) in told
        assert f"{value} does not fit a column of int64; convert it" in told
    world = wealth_world()
    result = Simulation(world, [PEOPLE], Graph.chain(for_all(halve)), on_error="forfeit").run(2)
    assert (result.forfeits, world.view()["coins"].array.sum()) == (2, 40)


def test_a_group_that_raises_after_its_intents_forfeits_its_turn_and_each_intent_is_refused() -> None:
    @for_all
    def work(turn: ColumnTurn) -> None:
        turn.intend("add", key=turn.keys("coins"), amount=np.arange(len(turn)), where=np.arange(len(turn)) < 3)
        if turn.round == 2:
            raise ValueError("no")

    world = wealth_world()
    result = Simulation(world, [PEOPLE], Graph.chain(work)).run(3)
    assert result.forfeits == 1
    refused = [
        (event.agent, event.details["key"], event.details["amount"]) for event in world.history() if event.kind == "refused"
    ]
    assert refused == [(f"person-0{n + 1}", f"coins/person-0{n + 1}", n) for n in range(3)]
    assert world.view()["coins"].array[:4].tolist() == [1, 3, 5, 1]


def test_columns_in_tokens_have_checkpoints_and_are_replayed(tmp_path: Path) -> None:
    agents = {"person": PEOPLE, "slow": None}

    def made(world: World) -> Simulation:
        return Simulation(world, agents, Graph.chain(give_all), mode="tokens", max_lead=2, seed=1)

    with World({"coins": PEOPLE.column(1)}, log=EventLog(tmp_path / "run.db")) as world:
        made(world).run(3)
    with World(log=EventLog(tmp_path / "run.db")) as world:
        result = made(world).resume(6)
        assert world.log is not None
        assert made(World()).replay(world.log).digests == result.digests
        assert result.view["coins"].array.sum() == 40


def test_an_agent_of_a_group_that_raises_forfeits_its_turn_alone(caplog: pytest.LogCaptureFixture) -> None:
    def work(turn: Turn) -> None:
        if turn.name == "person-07" and turn.round == 2:
            raise ValueError("no")
        turn.intend("add", key=f"coins/{turn.name}", amount=1)

    world = wealth_world()
    result = Simulation(world, [PEOPLE], Graph.chain(work)).run(3)
    assert result.forfeits == result.errors == 1
    assert world.view()["coins"].array.sum() == 40 + 119
    (event,) = [event for event in world.history() if event.kind == "forfeited"]
    assert (event.agent, event.round, event.reason) == ("person-07", 2, "it raised ValueError: no")

    def always(turn: Turn) -> None:
        raise ValueError("no")

    with pytest.raises(StageFailed, match="no"):
        Simulation(wealth_world(), [PEOPLE], Graph.chain(always)).run(1)


def test_a_group_is_checked() -> None:
    with pytest.raises(InvalidSetting, match="a number of agents, or names"):
        AgentGroup("person")
    with pytest.raises(InvalidSetting, match="the type of its agents"):
        AgentGroup("a-b", 3)
    with pytest.raises(InvalidSetting, match="under its own name"):
        Simulation(World(), {"people": PEOPLE}, Graph.chain(give_all))
    with pytest.raises(InvalidSetting, match="a name that no agent of the group person has"):
        Simulation(World(), [PEOPLE, "person-01"], Graph.chain(give_all))
    with pytest.raises(InvalidSetting, match="at-once for the group 'person'"):
        Simulation(World(), [PEOPLE], Graph.chain(give), activation="random")
    with pytest.raises(InvalidSetting, match="an object with the method"):
        Simulation(World(), [PEOPLE], Graph.chain("give"))
    assert AgentGroup("x", names=["b", "a"]).names == ("a", "b")


def test_results_of_agents_of_a_group_are_their_inputs_and_known_to_a_together_stage() -> None:
    seen: list[Any] = []

    def count(turn: Turn) -> int:
        return int(turn.view[f"coins/{turn.name}"]) + 1

    def add(turn: Turn) -> None:
        turn.intend("add", key=f"coins/{turn.name}", amount=turn.inputs["count"])

    def look(gathering: Any) -> str:
        seen.append(gathering.outputs["person"]["count"]["person-01"])
        return "seen"

    result: Result = Simulation(wealth_world(), [PEOPLE], Graph.chain(count, together(look), add)).run(2)
    assert seen == [2, 4]
    assert set(result.view["coins"].array.tolist()) == {7}
