"""Minds by rules."""

import asyncio
from random import Random
from typing import Any

import pytest

from coterie.errors import InvalidSetting
from coterie.personas import (
    ActionKind,
    Decision,
    MentalState,
    Persona,
    PersonaAction,
    Rule,
    RuleMind,
    Situation,
    Stimulus,
    StimulusKind,
    act,
    all_of,
    done,
    feel,
    first_of,
    heard,
    one_of,
    perceived,
    reply,
    say,
    sometimes,
    talk,
    when,
)
from coterie.personas.mind.actions import STANDARD_ACTIONS, ActionSet


def situation(*said: str, seed: int = 0, **more: Any) -> Situation:
    stimuli = tuple(Stimulus(StimulusKind.CONVERSATION, each, "Ben") for each in said)
    return Situation(Persona.of("Ada"), "Ada", MentalState(), STANDARD_ACTIONS, stimuli, random=Random(seed), **more)


def decide(*rules: Rule, at: Situation) -> tuple[PersonaAction, ...]:
    return asyncio.run(RuleMind(*rules).decide(at)).actions


def test_the_first_rule_that_has_something_to_say_decides() -> None:
    rules = (when(heard("bread"), say("Fresh!")), when(heard(), say("What?")))
    assert decide(*rules, at=situation("BREAD?")) == (talk("Fresh!"), done())
    assert decide(*rules, at=situation("cake?")) == (talk("What?"), done())
    assert decide(*rules, at=situation()) == (done(),)
    assert decide(at=situation("x")) == (done(),)


def test_an_action_that_brings_an_answer_lets_the_episode_go_on() -> None:
    assert decide(act("RECALL", "bread"), at=situation()) == (PersonaAction("RECALL", "bread"),)
    assert decide(say("x"), at=situation()) == (talk("x"), done())


def test_rules_are_put_together() -> None:
    at = situation("hello")
    assert decide(all_of(say("a"), when(heard("nothing"), say("b")), reply("c")), at=at) == (
        talk("a"),
        talk("c", "Ben"),
        done(),
    )
    assert decide(first_of(when(heard("nothing"), say("a")), say("b")), at=at) == (talk("b"), done())
    assert decide(reply(lambda it: it.heard()[-1].content.upper()), at=at) == (talk("HELLO", "Ben"), done())
    assert decide(reply("x"), at=situation()) == (done(),)
    assert decide(all_of(), at=at) == (done(),)


def test_random_values_come_from_the_situations_own_stream() -> None:
    rule = one_of(say("a"), say("b"), say("c"))
    drawn = [decide(rule, at=situation(seed=seed)) for seed in range(20)]
    assert drawn == [decide(rule, at=situation(seed=seed)) for seed in range(20)]
    assert len(set(map(str, drawn))) == 3
    hits = sum(len(decide(sometimes(0.25, say("a")), at=situation(seed=seed))) == 2 for seed in range(400))
    assert 60 < hits < 140


def test_feeling_changes_the_state_and_leaves_the_words() -> None:
    decision = asyncio.run(RuleMind(feel("glad", reply("hi"))).decide(situation("x")))
    assert decision == Decision((talk("hi", "Ben"), done()), MentalState(emotions="glad"))
    assert asyncio.run(RuleMind(feel("glad", reply("hi"))).decide(situation())).mental_state is None


def test_other_stimuli_are_noticed_too() -> None:
    at = Situation(Persona.of("A"), "A", MentalState(), STANDARD_ACTIONS, (Stimulus(StimulusKind.VISUAL, "a red car"),))
    assert decide(when(perceived(StimulusKind.VISUAL, "car"), say("!")), at=at)[0] == talk("!")
    assert decide(when(perceived(StimulusKind.LOCATION, "car"), say("!")), at=at) == (done(),)


def test_a_rule_may_be_async_on_its_own_and_not_within_another() -> None:
    async def slow(_: Situation) -> PersonaAction:
        await asyncio.sleep(0)
        return talk("at last")

    assert decide(slow, at=situation()) == (talk("at last"), done())
    with pytest.raises(TypeError, match="async rule stands alone"):
        decide(first_of(slow), at=situation())


@pytest.mark.parametrize("wrong", ["text", 5, [1]])
def test_an_invalid_result_of_a_rule_is_an_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="a mind returned"):
        decide(lambda _: wrong, at=situation())


def test_kinds_of_action_are_checked_where_they_are_made() -> None:
    for name in ("talk", "", "A B", "1A"):
        with pytest.raises(InvalidSetting, match=r"ActionKind\.name"):
            ActionKind(name, "", lambda *_: None)
    with pytest.raises(InvalidSetting, match=r"ActionKind\.required"):
        ActionKind("BUY", "", lambda *_: None, {}, ("what",))
    with pytest.raises(InvalidSetting):
        ActionSet([5])  # type: ignore[list-item]


def test_a_set_of_actions_is_never_changed() -> None:
    buy = ActionKind("BUY", "Buys.", lambda *_: None)
    more = STANDARD_ACTIONS.adding(buy)
    assert more.names == (*STANDARD_ACTIONS.names, "BUY")
    assert "BUY" not in STANDARD_ACTIONS
    assert more.without("BUY").names == STANDARD_ACTIONS.names
    assert more.only("BUY", "DONE").names == ("DONE", "BUY")
    assert more.find("reach out") is more.find("REACH_OUT")
    assert more.find("sell") is None
    assert more.nearest("TALKS") == "TALK"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"n": 3}, ""),
        ({}, "needs n"),
        ({"n": "3"}, "of the type integer"),
        ({"n": True}, "of the type integer"),
        ({"n": 0}, "at least 1"),
        ({"n": 9}, "at most 5"),
        ({"n": 3, "how": "cash"}, ""),
        ({"n": 3, "how": "bonds"}, "one of cash, card"),
        ({"n": 3, "m": 1}, "takes no m"),
        ({"n": 3, "target": ""}, ""),
    ],
)
def test_the_arguments_of_an_action_are_checked(given: dict[str, Any], problem: str) -> None:
    properties = {"n": {"type": "integer", "minimum": 1, "maximum": 5}, "how": {"enum": ["cash", "card"]}}
    found = ActionKind("BUY", "", lambda *_: None, properties, ("n",)).problem(given)
    assert problem in found
    assert bool(problem) is bool(found)
