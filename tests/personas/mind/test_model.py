"""Minds by language models: structured actions, mending what is malformed, and a fallback that says why."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from coterie.errors import CoterieError, ModelError
from coterie.errors.personas import UnusableReply
from coterie.models import Finish, Model, ModelReply, ModelRequest
from coterie.personas import (
    ActionKind,
    Decision,
    FallbackMind,
    MentalState,
    ModelMind,
    Persona,
    PersonaAction,
    RuleMind,
    Situation,
    Stimulus,
    StimulusKind,
    done,
    say,
    talk,
)
from coterie.personas.mind.actions import STANDARD_ACTIONS
from coterie.personas.mind.state import ActionOutcome, ActionRecord
from tests.personas.minds import Does, Scripted, calls, says

TALK = {"type": "TALK", "content": "hi", "target": "Ben"}
FISH = ActionKind("FISH", "Takes fish.", lambda *_: None, {"amount": {"type": "integer", "minimum": 0}}, ("amount",))


def situation(**more: Any) -> Situation:
    told: dict[str, Any] = {
        "persona": Persona.of("Ada", style="dry"),
        "who": "Ada",
        "mental_state": MentalState(("rest",), ("at home",), "the kettle", "calm"),
        "actions": STANDARD_ACTIONS.adding(FISH),
        "stimuli": (Stimulus(StimulusKind.CONVERSATION, "hello", "Ben"),),
        "recent": ("I slept badly",),
        "accessible": {"Ben": "a friend"},
        "label": "episode 1/step 1",
    }
    return Situation(**{**told, **more})


def decide(model: Model, at: Situation | None = None, **options: Any) -> Decision:
    return asyncio.run(ModelMind(model, **options).decide(at or situation()))


@pytest.mark.parametrize(
    ("text", "actions"),
    [
        (says(TALK, {"type": "DONE"}), (talk("hi", "Ben"), done())),
        ("Sure! Here it is:\n```json\n" + says(TALK) + "\n```\nAnything else?", (talk("hi", "Ben"),)),
        ("{not json} but " + says({"type": "done"}), (done(),)),
        (json.dumps({"action": TALK, "cognitive_state": {"emotions": "glad"}}), (talk("hi", "Ben"),)),
        (json.dumps(TALK), (talk("hi", "Ben"),)),
        (says({"type": "reach out", "target": "Cy"}), (PersonaAction("REACH_OUT", "", "Cy"),)),
        (says({"type": "THINK", "content": ["a", 5]}), (PersonaAction("THINK", "a; 5"),)),
        (says({"type": "THINK", "content": "x", "target": ""}), (PersonaAction("THINK", "x"),)),
        (says({"type": "FISH", "arguments": {"amount": 7}}), (PersonaAction("FISH", "", "", {"amount": 7}),)),
        (says({"type": "FISH", "amount": 7, "content": "", "target": None}), (PersonaAction("FISH", "", "", {"amount": 7}),)),
        (says(), ()),
    ],
)
def test_actions_are_read_in_the_shapes_that_models_give_them(text: str, actions: tuple[PersonaAction, ...]) -> None:
    decision = decide(Scripted(text))
    assert decision.actions == actions
    assert (decision.attempts, decision.fallback) == (1, "")


def test_actions_are_read_from_tool_calls() -> None:
    model = Scripted(calls(("CHANGE_MIND", {"emotions": "glad", "goals": "sleep"}), ("TALK", {"content": "hi"}), ("DONE", {})))
    decision = decide(model, style="tools")
    assert decision.actions == (talk("hi"), done())
    assert decision.mental_state == MentalState(("sleep",), ("at home",), "the kettle", "glad")
    assert [tool.name for tool in model.requests[0].tools] == [*STANDARD_ACTIONS.names, "FISH", "CHANGE_MIND"]
    assert model.requests[0].schema is None


def test_the_mental_state_is_replaced_as_a_whole() -> None:
    decision = decide(Scripted(says({"type": "DONE"}, goals=["eat"], attention=None, emotions="hungry")))
    assert decision.mental_state == MentalState(("eat",), ("at home",), "the kettle", "hungry")
    assert decide(Scripted(says({"type": "DONE"}, emotions="calm"))).mental_state is None


def test_the_model_gets_all_known_facts() -> None:
    model = Scripted(says({"type": "DONE"}))
    record = ActionRecord(talk("to you", "Zed"), ActionOutcome.REFUSED, "Zed is not within reach")
    decide(model, situation(taken=(record,), documents=("prices",), location="the harbour", world={"lake": 30}))
    request = model.requests[0]
    assert "Style: dry" in request.instructions
    assert all(name in request.instructions for name in (*STANDARD_ACTIONS.names, "FISH"))
    told = request.exchanges[0].text  # type: ignore[union-attr]
    for piece in ("rest", "at home", "kettle", "calm", "Ben: a friend", "slept badly", "[conversation] Ben: hello"):
        assert piece in told
    for piece in ("not within reach", "prices", "harbour", "lake: 30"):
        assert piece in told
    assert (request.agent, request.step) == ("Ada", "episode 1/step 1")
    assert request.schema is not None
    assert request.schema["properties"]["actions"]["items"]["properties"]["type"]["enum"] == [*STANDARD_ACTIONS.names, "FISH"]


def test_the_same_situation_gives_the_same_prompt() -> None:
    model = Scripted(says({"type": "DONE"}))
    decide(model, situation(accessible={"Ben": "", "Cy": ""}))
    decide(model, situation(accessible={"Cy": "", "Ben": ""}))
    assert model.requests[0] == model.requests[1]


MALFORMED = [
    ("", "empty"),
    ("I would rather not say.", "no JSON object"),
    ('{"actions": [', "no JSON object"),
    ('{"actions": 5}', "no list"),
    ('{"actions": [5]}', "an action is a number"),
    ('{"actions": [{"content": "x"}]}', "has no type"),
    (says({"type": "DANCE"}), "no action 'DANCE'"),
    (says({"type": "TLAK", "content": "x"}), "did you mean TALK?"),
    (says({"type": "TALK"}), "TALK needs content"),
    (says({"type": "FISH", "amount": "many"}), "of the type integer"),
    (says({"type": "FISH", "amount": -1}), "at least 0"),
    (says({"type": "TALK", "content": "x", "arguments": 3}), "arguments of TALK are a number"),
    (says(*[TALK] * 21), "at most 20"),
    ('{"actions": [], "mental_state": 3}', "mental state is a number"),
    ("[" * 100_000 + '{"a":' * 100_000, "no JSON object"),
]


@pytest.mark.parametrize(("text", "problem"), MALFORMED, ids=[problem for _, problem in MALFORMED])
def test_a_malformed_reply_is_sent_back_with_its_fault(text: str, problem: str) -> None:
    model = Scripted(text, says(TALK))
    decision = decide(model)
    assert decision.actions == (talk("hi", "Ben"),)
    assert (decision.attempts, decision.fallback) == (2, "")
    _, said, complaint = model.requests[1].exchanges
    assert problem in complaint.text  # type: ignore[union-attr]
    assert len(said.text) <= 2_000  # type: ignore[union-attr]
    assert model.requests[1].step == "episode 1/step 1/attempt 2"


def test_the_model_learns_that_its_reply_was_cut_off_or_refused() -> None:
    for finish, words in ((Finish.LENGTH, "be shorter"), (Finish.FILTERED, "answer otherwise")):
        model = Scripted(ModelReply(text='{"actions": [', finish=finish), says(TALK))
        assert decide(model).attempts == 2
        assert words in model.requests[1].exchanges[-1].text  # type: ignore[union-attr]


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_after_the_last_attempt_the_fallback_decides_and_gives_the_reason(retries: int) -> None:
    model = Scripted("nonsense")
    decision = decide(model, retries=retries, fallback=RuleMind(say("well")))
    assert decision.actions == (talk("well"), done())
    assert decision.attempts == len(model.requests) == retries + 1
    assert "no JSON object" in decision.fallback


def test_a_model_that_does_not_answer_has_the_fallback_decide_at_once() -> None:
    model = Scripted(ModelError("the server is down"))
    decision = decide(model, fallback=RuleMind(say("well")))
    assert decision.actions == (talk("well"), done())
    assert decision.fallback == "ModelError: the server is down"
    assert len(model.requests) == 1


def test_without_a_fallback_the_error_is_raised() -> None:
    with pytest.raises(ModelError, match="down"):
        decide(Scripted(ModelError("down")))
    with pytest.raises(UnusableReply):
        decide(Scripted("nonsense"))


def test_an_error_that_is_to_stop_a_run_is_never_fallen_back_from() -> None:
    class Spending(ModelError):
        pass

    with pytest.raises(Spending):
        decide(Scripted(Spending("spent")), fallback=RuleMind(say("x")), raises=(Spending,))


@pytest.mark.parametrize(
    "first",
    [lambda _: 1 / 0, lambda _: "text", lambda _: [5]],
)
def test_any_mind_can_have_one_to_fall_back_on(first: Callable[[Situation], Any]) -> None:
    decision = asyncio.run(FallbackMind(Does(first), RuleMind(say("well"))).decide(situation()))
    assert decision.actions == (talk("well"), done())
    assert "Error" in decision.fallback


def test_a_mind_that_never_answers_is_given_up() -> None:
    class Hangs:
        async def decide(self, _: Situation) -> None:
            await asyncio.Event().wait()

    decision = asyncio.run(FallbackMind(Hangs(), RuleMind(say("well")), timeout=0.01).decide(situation()))
    assert decision.fallback == "it took more than 0.01 s"


def test_errors_that_stop_a_run_pass_any_fallback() -> None:
    def stop(_: Situation) -> None:
        raise CoterieError("stop")

    with pytest.raises(CoterieError, match="stop"):
        asyncio.run(FallbackMind(Does(stop), RuleMind(), raises=(CoterieError,)).decide(situation()))


def test_what_follows_from_the_actions_and_the_person_alone_is_made_once() -> None:
    requests: list[ModelRequest] = []

    class Noting:
        name = "noting"

        async def ask(self, request: ModelRequest) -> ModelReply:
            requests.append(request)
            return ModelReply(text=says())

        def stream(self, request: ModelRequest) -> Any:
            raise NotImplementedError

    for mood in ("glad", "sad"):
        decide(Noting(), situation(actions=STANDARD_ACTIONS, mental_state=MentalState(emotions=mood)))
    first, second = requests
    assert first.schema is second.schema
    assert (first.instructions, first.exchanges == second.exchanges) == (second.instructions, False)
    assert STANDARD_ACTIONS.adding() is STANDARD_ACTIONS
    more = STANDARD_ACTIONS.adding(FISH)
    decide(Noting(), situation(actions=more))
    assert "FISH" in requests[2].instructions
    assert "FISH" not in requests[0].instructions


def test_a_description_is_as_long_as_it_is_asked_for_each_time() -> None:
    persona = Persona.of("Ada", style="dry", likes=["tea", "rain"])
    texts = [persona.description(limit) for limit in (None, 30, None, 30)]
    assert texts[:2] == texts[2:]
    assert len(texts[1]) <= 30 < len(texts[0])
