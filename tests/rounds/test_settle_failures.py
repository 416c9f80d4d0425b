"""No value of an agent ends the run of all by a failure of `settle`, which undoes and refuses its intent, or of `membership`."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coterie.errors import StageFailed, UnknownAgent, UpdateRefused
from coterie.rounds import Change, Closing, Gathering, Graph, Mode, Result, Simulation, Turn, together
from coterie.world import Event, EventLog, View, World

MODES = list(Mode)
START = {"lake": 100, "price": 2}


def grow(closing: Closing) -> None:
    closing.set("lake", min(200, closing.view["lake"] + closing.view["price"]))


def run(
    act: Callable[[Turn], object],
    settle: Callable[[Closing], object] = grow,
    *,
    rounds: int = 3,
    world: World | None = None,
    graph: Graph | None = None,
    **settings: Any,
) -> tuple[Result, list[Event]]:
    world = world if world is not None else World(START)
    made = Simulation(world, ["ada", "ben", "cid"], graph or Graph.chain(act), settle=settle, max_lead=0, **settings)
    result = made.run(rounds)
    return result, [event for event in world.history() if event.kind == "refused"]


def spoil(turn: Turn) -> None:
    if turn.name == "ben" and turn.round == 2:
        turn.intend("set", key="price", value="much")
    elif turn.name != "ben":
        turn.intend("add", key=turn.name, amount=1)


def meet(gathering: Gathering) -> None: ...


def rest(turn: Turn) -> None: ...


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("middle", [False, True])
def test_an_intent_with_whose_value_settle_fails_is_undone_and_refused(
    mode: Mode, *, middle: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    graph = Graph.chain(spoil, together(meet), rest) if middle else Graph.chain(spoil)
    with World(START, log=EventLog(tmp_path / "run.db")) as world:
        result, refused = run(spoil, world=world, graph=graph, mode=mode)
        assert dict(result.view) == {"ada": 3, "cid": 3, "lake": 106, "price": 2}
        ((agent, number, reason, undoes),) = [
            (event.agent, event.round, event.reason, event.details["undoes"]) for event in refused
        ]
        assert (agent, number) == ("ben", 2)
        assert "settle failed with it: TypeError" in reason
        assert world.history(undoes, undoes)[0].details["value"] == "much"
        assert (result.forfeits, result.errors) == (0, 1)
        (record,) = (each for each in caplog.records if each.name.startswith("coterie.rounds"))
        assert record.exc_info is not None
        assert record.exc_info[0] is TypeError
        assert "set of ben in round 2" in record.getMessage()
        assert world.log is not None
        again = Simulation(World(START), ["ada", "ben", "cid"], graph, settle=grow, max_lead=0, mode=mode)
        assert again.replay(world.log).digests == result.digests


@pytest.mark.parametrize("mode", MODES)
def test_a_key_that_an_agent_removes_comes_back_with_its_expiry(mode: Mode) -> None:
    def act(turn: Turn) -> None:
        if turn.name == "ada" and turn.round == 1:
            turn.intend("remove", key="price")

    world = World({"lake": 100})
    world.update({"price": 2}, ttl=10, time=0)
    result, refused = run(act, world=world, rounds=2, mode=mode)
    assert dict(result.view) == {"lake": 104, "price": 2}
    assert result.view.expiry("price") == 10
    assert "KeyError: 'price'" in refused[0].reason


def test_amounts_of_others_on_the_same_key_remain() -> None:
    def act(turn: Turn) -> None:
        if turn.round == 2:
            turn.intend("add", key="lake", amount=-500 if turn.name == "ben" else 10)

    def roots(closing: Closing) -> None:
        closing.set("root", math.isqrt(closing.view["lake"]))

    result, refused = run(act, roots)
    assert (result.view["lake"], result.view["root"]) == (120, 10)
    assert [event.agent for event in refused] == ["ben"]


def test_what_a_settle_reads_in_the_events_is_blamed_too() -> None:
    def act(turn: Turn) -> None:
        turn.intend("set", key=turn.name, value=1, cost="free" if turn.name == "cid" else 3)

    def bill(closing: Closing) -> None:
        closing.set("bill", sum(event.details["cost"] for event in closing.events if event.action))

    result, refused = run(act, bill, rounds=2)
    assert dict(result.view) == {**START, "ada": 1, "ben": 1, "bill": 6}
    assert [event.agent for event in refused] == ["cid", "cid"]


@pytest.mark.parametrize("bad", [("ada",), ("ada", "cid"), ("ada", "ben", "cid")])
def test_several_intents_are_to_blame_together_or_each_alone(bad: tuple[str, ...]) -> None:
    def act(turn: Turn) -> None:
        turn.intend("set", key=turn.name, value="x" if turn.name in bad else 60)

    def total(closing: Closing) -> None:
        amounts = [closing.view.get(name, 0) + 0 for name in ("ada", "ben", "cid")]
        closing.set("rest", math.isqrt(100 - sum(amounts)))

    result, refused = run(act, total, rounds=1)
    # Without those that are no numbers, two times 60 are too much, and one of them is refused.
    assert {event.agent for event in refused} == {*bad, *(("cid",) if bad == ("ada",) else ())}
    assert result.view["rest"] == (10 if len(bad) == 3 else 6)


@pytest.mark.parametrize("logged", [False, True])
def test_a_value_of_an_earlier_round_is_blamed_too(*, logged: bool, tmp_path: Path) -> None:
    def yearly(closing: Closing) -> None:
        if closing.round == 3:
            grow(closing)

    world = World(START, log=EventLog(tmp_path / "run.db") if logged else None)
    with world:
        result, refused = run(spoil, yearly, world=world, rounds=4)
    assert (result.view["lake"], result.view["price"]) == (102, 2)
    assert [(event.agent, event.round) for event in refused] == [("ben", 2)]


def test_an_invariant_that_refuses_the_changes_of_settle_because_of_an_agent_refuses_the_intent() -> None:
    def few(before: View, after: View) -> str | None:
        return "too many fish" if after["lake"] > 110 else None

    def act(turn: Turn) -> None:
        if turn.name == "ben" and turn.round == 2:
            turn.intend("set", key="price", value=50)

    world = World(START)
    world.validate(few)
    result, refused = run(act, world=world)
    assert dict(result.view) == {"lake": 106, "price": 2}
    assert "too many fish" in refused[0].reason
    with pytest.raises(UpdateRefused, match="too many fish"):
        run(act, lambda closing: closing.set("lake", 111), world=world)


@pytest.mark.parametrize("mode", MODES)
def test_a_bug_of_settle_itself_ends_the_run_unless_it_is_said_to_forfeit(mode: Mode) -> None:
    def broken(closing: Closing) -> None:
        if closing.round == 2:
            raise KeyError("typo")
        grow(closing)

    with pytest.raises(StageFailed, match="settle of round 2 failed: it raised KeyError: 'typo'"):
        run(spoil, broken, mode=mode)
    result, refused = run(spoil, broken, mode=mode, on_error="forfeit", rounds=2)
    assert (result.rounds, result.errors, refused) == (2, 1, [])


def test_a_membership_that_fails_over_a_value_of_an_agent_changes_nothing_in_that_round(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def leaving(number: int, view: View) -> Change | None:
        return Change(leave=("cid",)) if view["price"] * number >= 8 else None

    def inviting(number: int, view: View) -> Change | None:
        return Change(join=(view.get("guest", "ada"),))

    def act(turn: Turn) -> None:
        if turn.name == "ben" and turn.round == 1:
            turn.intend("set", key="price", value=None)
            turn.intend("set", key="guest", value="zed")
        elif turn.name == "ben" and turn.round == 2:
            turn.intend("set", key="price", value=2)
        turn.intend("set", key=turn.name, value=turn.round)

    def nothing(closing: Closing) -> None: ...

    result, _ = run(act, nothing, membership=leaving, rounds=5)
    assert (result.rounds, result.errors, result.view["ben"], result.view["cid"]) == (5, 1, 5, 3)
    assert "membership of round 2 failed" in caplog.text
    result, _ = run(act, nothing, membership=inviting, rounds=3)
    assert (result.rounds, result.errors) == (3, 2)
    assert "zed" in caplog.text
    for wrong in (lambda number, view: view["nothing"], lambda number, view: Change(join=("zed",))):
        with pytest.raises((StageFailed, UnknownAgent)):
            run(act, nothing, membership=wrong)
        assert run(act, nothing, membership=wrong, on_error="forfeit")[0].rounds == 3


def test_proposals_that_settle_cannot_read_are_undone() -> None:
    def propose(turn: Turn) -> None:
        if turn.name == "ben" and turn.round == 1:
            turn.propose("tax", rate="much")

    def judge(gathering: Any) -> None:
        for each in gathering.proposals:
            gathering.accept(each)

    def taxed(closing: Closing) -> None:
        for rule in closing.view.under("mechanism/").values():
            closing.set("tax", rule["parameters"]["rate"] + 0)

    graph = Graph.chain(propose, together(judge))
    result, refused = run(propose, taxed, graph=graph, mechanisms={"tax": lambda resolver, _: resolver}, rounds=2)
    assert dict(result.view) == START
    assert {event.agent for event in refused} == {"ben"}
