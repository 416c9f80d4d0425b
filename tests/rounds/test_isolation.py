"""What user code can walk is in one order in every process, and what crosses between agents cannot be changed by one of them."""

import json
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from coterie.errors import StageFailed
from coterie.rounds import Gathering, Graph, Mode, Simulation, Turn, together
from coterie.rounds.participant import state_as_bytes, state_from_bytes
from coterie.world import EventLog, Intent, World, resolvers
from coterie.world.state.values import freeze

ROOT = Path(__file__).parents[2]
WORDS = ("dates", "bread", "apple", "eggs", "cheese")

WALK = """
from coterie.rounds import Graph, Simulation, per_agent, together
from coterie.world import World, resolvers

words = {word: {word: 1, "a": 2, "z": 3} for word in ("dates", "bread", "apple", "eggs", "cheese")}
seen = []
def walk(mapping):
    seen.append([(name, list(value) if hasattr(value, "keys") else value) for name, value in mapping.items()])

@per_agent
def act(turn):
    walk(turn.view["words"])
    turn.propose("menu", dishes=words)
    turn.intend("order", basket=words, zeal=1, ardour=2)
    return words

def judge(gathering):
    walk(gathering.outputs["a"]["act"])
    for proposal in gathering.proposals:
        walk(proposal.parameters["dishes"])
        gathering.accept(proposal, "good")
    return words

@per_agent
def after(turn):
    walk(turn.inputs["judge"])

def order(view, intent):
    walk(intent.arguments)
    walk(intent.arguments["basket"])
    return resolvers.Effects(sets={"last": next(iter(intent.arguments["basket"]))})

def settle(closing):
    for event in closing.events:
        walk(event.details)
        walk(event.changes)

def menu(resolver, parameters):
    walk(parameters["dishes"])
    return resolver

world = World({"words": words})
mode = __import__("sys").argv[1]
Simulation(world, ["a"], Graph.chain(act, together(judge), after), mode=mode, settle=settle,
           resolver=resolvers.FirstCome({"order": order}), mechanisms={"menu": menu}).run(3)
print(seen)
"""


@pytest.mark.parametrize("mode", ["lockstep", "tokens"])
def test_all_that_user_code_can_walk_has_one_order_in_every_process(mode: str) -> None:
    outputs = set()
    for seed in ("1", "2", "3"):
        done = subprocess.run(  # noqa: S603 - our own
            [sys.executable, "-c", WALK, mode],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert "apple" in outputs.pop()


def test_a_frozen_mapping_is_walked_by_key_and_refuses_every_change() -> None:
    frozen: Any = freeze({word: {"z": 1, "a": [1]} for word in WORDS})
    assert list(frozen) == sorted(WORDS)
    assert list(frozen["eggs"]) == ["a", "z"]
    assert repr(freeze({"b": 1, "a": 2})) == "{'a': 2, 'b': 1}"
    changes: list[Any] = [
        lambda: frozen.update(x=1),
        lambda: frozen.pop("eggs"),
        frozen.clear,
        lambda: frozen.setdefault("x", 1),
        frozen.popitem,
        lambda: frozen.__setitem__("x", 1),
        lambda: frozen.__delitem__("eggs"),
        lambda: frozen.__ior__({"x": 1}),
    ]
    for change in changes:
        with pytest.raises(TypeError, match="frozen"):
            change()
    assert deepcopy(frozen) is frozen
    assert freeze(frozen) is frozen
    kind, parts = frozen.__reduce__()
    again = kind(*parts)
    assert (again, type(again), hash(again)) == (frozen, type(frozen), hash(frozen))
    assert json.loads(json.dumps(frozen["eggs"])) == {"a": [1], "z": 1}


def test_nesting_that_grows_by_one_level_at_a_time_is_bounded_too() -> None:
    value: Any = 1
    for _ in range(31):
        value = freeze({"inner": [value]})
    freeze([value])
    with pytest.raises(ValueError, match="nested more than 64 levels"):
        freeze([[[[value]]]])


def test_intents_of_one_place_are_ordered_by_their_arguments_not_by_hashes() -> None:
    world = World()
    wanted = [Intent("a", "set", {"key": "k", "value": dict.fromkeys(WORDS, number)}) for number in (2, 1, 3)]
    world.commit(wanted, resolver=resolvers.FirstCome())
    assert set(world.view()["k"].values()) == {1}


def test_a_state_that_is_restored_is_walked_in_the_order_in_which_it_was_kept() -> None:
    state = {word: [1] for word in WORDS}
    assert list(state_from_bytes(state_as_bytes("a", state))) == list(WORDS)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("logged", [False, True])
def test_the_result_of_a_together_stage_is_frozen_for_all_with_and_without_a_log(
    mode: Mode, logged: bool, tmp_path: Path
) -> None:
    seen: list[Any] = []

    def assign(gathering: Gathering) -> Any:
        return {"jobs": ["well", "gate"]}

    def work(turn: Turn) -> None:
        seen.append(turn.inputs["assign"])
        turn.intend("set", key=turn.name, value=turn.inputs["assign"]["jobs"])

    world = World(log=EventLog(tmp_path / "run.db")) if logged else World()
    with world:
        result = Simulation(world, ["a", "b"], Graph.chain(together(assign), work), mode=mode).run(1)
    assert result.view["a"] == ("well", "gate")
    assert all(type(each) is type(freeze({})) for each in seen)


class Plan:
    def __init__(self, steps: list[str]) -> None:
        self.steps = steps


def test_each_agent_gets_a_copy_of_a_result_that_is_not_plain_data() -> None:
    def think(turn: Turn) -> Plan:
        return Plan(["fish"])

    def judge(gathering: Gathering) -> Plan:
        gathering.outputs["a"]["think"].steps.append("pay the judge")
        return Plan(["rest"])

    def act(turn: Turn) -> None:
        turn.inputs["judge"].steps.append(turn.name)
        turn.intend("set", key=turn.name, value=[*turn.inputs["think"].steps, *turn.inputs["judge"].steps])

    result = Simulation(World(), ["a", "b"], Graph.chain(think, together(judge), act)).run(1)
    assert dict(result.view) == {"a": ("fish", "rest", "a"), "b": ("fish", "rest", "b")}


def test_a_result_for_a_checkpoint_that_is_not_plain_data_is_refused_by_the_name_of_its_stage(tmp_path: Path) -> None:
    def judge(gathering: Gathering) -> Plan:
        return Plan([])

    with World(log=EventLog(tmp_path / "run.db")) as world, pytest.raises(StageFailed, match="judge of round 1 failed"):
        Simulation(world, ["a"], Graph.chain(lambda turn: None, together(judge)), mode="tokens").run(1)
