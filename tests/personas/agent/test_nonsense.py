"""What makes no sense is refused where it is said, or fails the message: never the agent, and never for ever."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from typing import cast as typed

import pytest

from coterie import HandlerFailed, Runtime
from coterie.errors import InvalidSetting
from coterie.errors.personas import MindFailed, PersonaUnknown
from coterie.personas import ActionKind, Decision, Persona, PersonaAction, PersonaRef, Population, Question, RuleMind, talk
from coterie.personas.mind.state import ActionOutcome
from tests.personas.minds import DONE, Does

ADA, BEN = Persona.of("Ada"), Persona.of("Ben")


@pytest.fixture
def cast() -> Iterator[Population]:
    with Runtime(strict=True) as runtime:
        yield Population(runtime, timeout=20)


@pytest.mark.parametrize(
    "returned",
    [
        PersonaAction(typed("Any", 5)),
        PersonaAction(typed("Any", None)),
        PersonaAction("TALK", typed("Any", None)),
        talk(typed("Any", 5)),
        PersonaAction("TALK", "hi", typed("Any", 5)),
        PersonaAction("TALK", "hi", arguments=typed("Any", None)),
        PersonaAction("TALK", "hi", mental_state=typed("Any", "sad")),
        Decision((), typed("Any", "sad")),
        Decision((), None, typed("Any", 5)),
        Decision((), None, "", typed("Any", "many")),
    ],
    ids=range(10),
)
def test_an_invalid_decision_fails_the_message_and_not_the_agent(cast: Population, returned: Any) -> None:
    ada = cast.add(ADA, Does(lambda situation: returned))
    with pytest.raises(HandlerFailed) as caught:
        ada.listen_and_act("Hello").result()
    assert isinstance(caught.value.__cause__, MindFailed)
    assert "returned a" in str(caught.value)
    assert (ada.counts.stimuli, ada.counts.episodes) == (1, 1)


def test_a_mind_that_is_none_is_refused_where_it_is_given(cast: Population) -> None:
    for mind in (5, RuleMind, "rules"):
        with pytest.raises(InvalidSetting, match="mind"):
            cast.add(ADA, typed("Any", mind))

    class Hasty:
        def decide(self, situation: Any) -> PersonaAction:
            return DONE

    with pytest.raises(HandlerFailed, match="make it async"):
        cast.add(BEN, typed("Any", Hasty())).act().result()


@pytest.mark.parametrize(
    "do",
    [
        lambda ada: ada.listen(5),
        lambda ada: ada.listen("Hello", 5),
        lambda ada: ada.see(None),
        lambda ada: ada.set_goal(["eat"]),
        lambda ada: ada.move_to(1),
        lambda ada: ada.perceive("Hello"),
        lambda ada: ada.change_mind(goals="rest"),
        lambda ada: ada.change_mind(context=[1]),
        lambda ada: ada.change_mind(emotions=5),
        lambda ada: ada.remember(5),
        lambda ada: ada.remember("bread", "very"),
        lambda ada: ada.recall("bread", 0),
        lambda ada: ada.recall("bread", "all"),
        lambda ada: ada.act(steps=0),
        lambda ada: ada.act(label=5),
    ],
    ids=range(15),
)
def test_invalid_stimuli_are_refused_at_once(cast: Population, do: Callable[[PersonaRef], Any]) -> None:
    ada = cast.add(ADA)
    with pytest.raises(InvalidSetting):
        do(ada)
    assert ada.fetch_state().result().counts.stimuli == 0


def test_an_unknown_name_is_reported_as_unknown(cast: Population) -> None:
    ada = cast.add(ADA)
    cast.add(BEN)
    with pytest.raises(PersonaUnknown):
        cast.relate(ada, "Bne")
    with pytest.raises(InvalidSetting):
        cast.relate(ada, typed("Any", 5))
    with pytest.raises(InvalidSetting):
        cast.relations.relate("Ada", "Ben", back=typed("Any", 5))
    with pytest.raises(InvalidSetting):
        cast.converse(typed("Any", 5))
    with pytest.raises(InvalidSetting):
        cast.focus_group("Bread", [typed("Any", "What?")])
    assert cast.relations.changes == 0


def test_two_focus_groups_are_held_at_once(cast: Population) -> None:
    cast.add(ADA, Does(lambda situation: [talk("seven"), DONE] if situation.heard() else DONE))
    held = [cast.focus_group(topic, [Question("price", "What?")]) for topic in ("Bread", "Milk", "Tea")]
    assert [[answer.text for answer in each.result().answers] for each in held] == [["seven"]] * 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": 5},
        {"description": None},
        {"properties": ["content"]},
        {"properties": {"content": "text"}},
        {"properties": {5: {"type": "string"}}},
        {"properties": {"content": {"type": "strng"}}},
        {"required": "content"},
        {"required": 5},
    ],
    ids=range(8),
)
def test_an_invalid_kind_of_action_is_refused_where_it_is_made(wrong: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"name": "SING", "description": "Sings.", "run": lambda agent, action: None, **wrong}
    with pytest.raises(InvalidSetting, match="ActionKind"):
        ActionKind(**fields)


async def _never(agent: Any, action: PersonaAction) -> None:
    await asyncio.Event().wait()


def test_an_action_that_never_ends_fails_with_the_patience(cast: Population) -> None:
    mind = Does(lambda situation: [PersonaAction("WAIT"), DONE])
    ada = cast.add(ADA, mind, actions=[ActionKind("WAIT", "Waits.", _never)], patience=0.05)
    record, _ = ada.act().result().records
    assert (record.outcome, record.result) == (ActionOutcome.FAILED, "it took more than 0.05 s")
    assert (ada.counts.failed, ada.counts.actions) == (1, 2)


@pytest.mark.parametrize("result", [(1, 2, 3), ("done", "well"), (ActionOutcome.DONE,)], ids=range(3))
def test_an_action_with_an_invalid_result_has_failed(cast: Population, result: Any) -> None:
    mind = Does(lambda situation: [PersonaAction("SING"), DONE])
    ada = cast.add(ADA, mind, actions=[ActionKind("SING", "Sings.", lambda agent, action: result)])
    assert ada.act().result().records[0].outcome is ActionOutcome.FAILED
    assert ada.counts.episodes == 1
