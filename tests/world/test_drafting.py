"""A commit of many intents: invariants that object to many, and resolvers that fail with some of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import pytest

from coterie.errors import ResolverFailed
from coterie.errors.world import RuleFailed
from coterie.world import Event, Intent, View, World, resolvers
from coterie.world.drafting import CommitFailure
from coterie.world.resolvers import Effects, Resolution, granted


def kinds(events: Sequence[Event]) -> dict[str, str]:
    return {event.agent: event.kind for event in events}


def sets(*agents: str, key: str = "k") -> list[Intent]:
    return [Intent(agent, "set", {"key": key, "value": agent}) for agent in agents]


@pytest.mark.parametrize("agents", [50, 200])
def test_the_decisions_do_not_grow_with_the_number_of_objections(agents: int) -> None:
    decided = 0

    class Counting(resolvers.FirstCome):
        def __call__(self, view: Mapping[str, Any], intents: Sequence[Intent], random: Random) -> list[Resolution]:
            nonlocal decided
            decided += len(intents)
            return super().__call__(view, intents, random)

    world = World()
    last = f"a{agents - 1:04}"
    world.validate(lambda _, after: None if after.get("k", last) == last else "only the last may")
    events = world.commit(sets(*(f"a{number:04}" for number in range(agents))), resolver=Counting())
    assert kinds(events) == {event.agent: "granted" if event.agent == last else "refused" for event in events}
    assert {event.reason for event in events if event.agent != last} == {"only the last may"}
    assert decided <= 15 * agents


def amounts(view: Mapping[str, Any], intents: Sequence[Intent], random: Random) -> list[Resolution]:
    return [granted(each, Effects(adds={each.agent: each.arguments["amount"] * 1})) for each in intents]


def second_bid(view: Mapping[str, Any], intents: Sequence[Intent], random: Random) -> list[Resolution]:
    prices = sorted(each.arguments["amount"] + 0 for each in intents)
    return [granted(each, Effects(sets={"price": prices[1]})) for each in intents]


def at_most_two(view: Mapping[str, Any], intents: Sequence[Intent], random: Random) -> list[Resolution]:
    if len(intents) > 2:
        raise OverflowError("no room")
    return [granted(each) for each in intents]


def ignores_others(view: Mapping[str, Any], intents: Sequence[Intent], random: Random) -> list[Resolution]:
    return [granted(each) for each in intents if "amount" in each.arguments]


def odd_effects(view: Mapping[str, Any], intents: Sequence[Intent], random: Random) -> list[Resolution]:
    return [granted(each, Effects(sets={"x": each.arguments.get("amount", {1})})) for each in intents]


@pytest.mark.parametrize(
    ("resolver", "arguments", "refused"),
    [
        (amounts, [{"amount": 1}, {}, {"amount": 2}, {"amount": "x"}], ["b", "d"]),
        (amounts, [{}], ["a"]),
        (second_bid, [{"amount": 1}, {}, {"amount": 2}], ["b"]),
        (at_most_two, [{}, {}, {}, {}], ["c", "d"]),
        (ignores_others, [{"amount": 1}, {}], ["b"]),
        (odd_effects, [{"amount": 1}, {}], ["b"]),
        (resolvers.Merge({"k": max}), [{"key": "k", "value": 1}, {"key": "k", "value": "x"}], ["b"]),
    ],
)
def test_intents_with_which_a_resolver_fails_are_refused_and_the_others_are_decided(
    resolver: Any, arguments: Sequence[Mapping[str, Any]], refused: Sequence[str]
) -> None:
    intents = [Intent(agent, "set", given) for agent, given in zip("abcd", arguments, strict=False)]
    failures: list[CommitFailure] = []
    world = World()
    with pytest.raises(Exception, match=r"failed|raised|undecided|plain data|adds"):
        world.commit(intents, resolver=resolver)
    assert world.sequence == 0
    events = world.commit(intents, resolver=resolver, on_failure=failures.append)
    assert sorted(event.agent for event in events if event.kind == "refused") == list(refused)
    assert all("could not be decided" in event.reason for event in events if event.kind == "refused")
    assert {intent.agent for failure in failures for intent in failure.blamed} == set(refused)


def test_a_resolver_that_fails_without_any_intent_fails_in_any_case() -> None:
    def broken(view: Mapping[str, Any], intents: Sequence[Intent], random: Random) -> list[Resolution]:
        raise KeyError("typo")

    world = World()
    with pytest.raises(ResolverFailed):
        world.commit(sets("a", "b"), resolver=broken, on_failure=lambda _: None)


def test_an_invariant_that_fails_with_an_intent_refuses_that_intent() -> None:
    def positive(_: View, after: View) -> str | None:
        return None if after["k"] >= 0 else "negative"

    def broken(before: View, after: View) -> str | None:
        raise KeyError("typo")

    failures: list[CommitFailure] = []
    world = World({"k": 1})
    end: Callable[[], None] = world.validate(positive)
    events = world.commit(
        [Intent("a", "set", {"key": "k", "value": "x"}), Intent("b", "set", {"key": "other", "value": 1})],
        on_failure=failures.append,
    )
    assert kinds(events) == {"a": "refused", "b": "granted"}
    assert [intent.agent for intent in failures[0].blamed] == ["a"]
    end()
    world.validate(broken)
    with pytest.raises(RuleFailed):
        world.commit(sets("a"), on_failure=failures.append)


def test_an_error_before_the_commit_is_raised_and_nothing_is_committed() -> None:
    def stop(failure: CommitFailure) -> None:
        raise failure.error

    world = World()
    with pytest.raises(ResolverFailed):
        world.commit([Intent("a", "odd", {})], resolver=amounts, on_failure=stop)
    assert world.sequence == 0
