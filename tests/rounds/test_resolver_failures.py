"""No intent of an agent ends the run of all: a resolver, an action or an invariant that fails with it refuses it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import pytest

from coterie.errors import ResolverFailed
from coterie.rounds import Graph, Mode, Simulation, Turn, together
from coterie.rounds.gathering import Gathering
from coterie.world import Intent, View, World, resolvers
from coterie.world.resolvers import Effects, Resolution, granted


def pays(view: Mapping[str, Any], intents: Sequence[Intent], random: Random) -> list[Resolution]:
    return [granted(each, Effects(adds={each.agent: each.arguments["amount"] + 0})) for each in intents]


def pay(view: Mapping[str, Any], intent: Intent) -> Effects:
    return Effects(adds={intent.agent: intent.arguments["amount"] + 0})


def lists(view: View, after: View) -> str | None:
    return None if all(value + 0 >= 0 for value in after.values()) else "negative"


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("resolver", [pays, resolvers.FirstCome({"pay": pay}), resolvers.Merge(actions={"pay": pay})])
def test_a_resolver_or_action_that_raises_for_one_agent_refuses_its_intents_only(
    resolver: Any, mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    def act(turn: Turn) -> None:
        turn.intend("pay", **({} if turn.name == "ben" else {"amount": turn.round}))

    caplog.set_level(logging.WARNING)
    world = World()
    result = Simulation(world, ["ada", "ben", "cid"], Graph.chain(act), resolver=resolver, mode=mode).run(3)
    assert dict(result.view) == {"ada": 6, "cid": 6}
    refused = [event for event in world.history() if event.kind == "refused"]
    assert [(event.agent, event.round) for event in refused] == [("ben", 1), ("ben", 2), ("ben", 3)]
    assert "KeyError" in refused[0].reason
    (record,) = (each for each in caplog.records if each.name == "coterie.rounds.engine.failures")
    assert record.exc_info is not None
    assert "pay of ben in round 1" in record.getMessage()


def test_a_lone_agent_cannot_end_a_run_by_an_intent_either() -> None:
    def act(turn: Turn) -> None:
        turn.intend("pay", **({} if turn.round == 1 else {"amount": 1}))

    assert dict(Simulation(World(), ["ada"], Graph.chain(act), resolver=pays).run(3).view) == {"ada": 2}


def test_an_invariant_that_raises_for_the_value_of_one_agent_refuses_it() -> None:
    def act(turn: Turn) -> None:
        turn.intend("set", key=turn.name, value="much" if turn.name == "ben" else 1)

    world = World()
    world.validate(lists)
    assert dict(Simulation(world, ["ada", "ben"], Graph.chain(act)).run(2).view) == {"ada": 1}


def test_a_resolver_that_fails_for_all_agents_from_the_first_is_a_bug_unless_it_is_said_to_forfeit() -> None:
    def act(turn: Turn) -> None:
        turn.intend("pay", amount=turn.round if turn.round > 1 else "one")

    def run(**settings: Any) -> dict[str, Any]:
        return dict(Simulation(World(), ["ada", "ben"], Graph.chain(act), resolver=pays, **settings).run(2).view)

    with pytest.raises(ResolverFailed) as caught:
        run()
    assert isinstance(caught.value.__cause__, TypeError)
    assert run(on_error="forfeit") == {"ada": 2, "ben": 2}


def test_an_accepted_mechanism_with_which_the_resolver_fails_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    def propose(turn: Turn) -> None:
        if turn.round == 2 and turn.name == "ada":
            turn.propose("tax", rate="much")

    def judge(gathering: Gathering) -> None:
        for each in gathering.proposals:
            gathering.accept(each)

    def act(turn: Turn) -> None:
        turn.intend("pay", amount=1)

    def tax(resolver: Any, parameters: Mapping[str, Any]) -> Any:
        def decide(view: Mapping[str, Any], intents: Sequence[Intent], random: Random) -> list[Resolution]:
            return [each for each in resolver(view, intents, random) if parameters["rate"] < 1]

        return decide

    graph = Graph.chain(propose, together(judge), act)
    simulation = Simulation(World(), ["ada", "ben"], graph, resolver=pays, mechanisms={"tax": tax})
    view = simulation.run(3).view
    assert (view["ada"], view["ben"]) == (3, 3)
    assert "it is decided without them" in caplog.text


def test_the_errors_that_end_a_run_end_it_also_in_a_resolver() -> None:
    def act(turn: Turn) -> None:
        turn.intend("pay", **({} if turn.name == "ben" and turn.round == 2 else {"amount": 1}))

    with pytest.raises(KeyError):
        Simulation(World(), ["ada", "ben"], Graph.chain(act), resolver=pays, halt_on=(KeyError,)).run(3)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_proposal_that_a_stage_accepts_and_an_invariant_of_the_world_refuses_is_rejected(mode: Mode) -> None:
    def propose(turn: Turn) -> None:
        if turn.round == 2 and turn.name == "ada":
            turn.propose("tax", rate=0.1)

    def judge(gathering: Gathering) -> None:
        for each in gathering.proposals:
            gathering.accept(each)

    def act(turn: Turn) -> None:
        turn.intend("add", key=turn.name, amount=1)

    world = World()
    world.validate(lambda _, after: "no taxes here" if "mechanism/tax" in after else None)
    graph = Graph.chain(propose, together(judge), act)
    simulation = Simulation(world, ["ada", "ben"], graph, mechanisms={"tax": lambda resolver, _: resolver}, mode=mode)
    assert dict(simulation.run(3).view) == {"ada": 3, "ben": 3}
    (rejected,) = (event for event in world.history() if event.kind == "rejected")
    assert (rejected.agent, rejected.reason) == ("ada", "an invariant of the world refused it: no taxes here")
