"""A persona agent: what comes to it, what it does, and that an episode always ends."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from coterie import AgentStopped, HandlerFailed, Message, Request, Runtime, on
from coterie.errors import InvalidSetting, ModelError
from coterie.errors.personas import MindFailed
from coterie.memory import MemoryConfig, TieredMemory
from coterie.personas import (
    PERSONAS,
    ActionKind,
    Decision,
    FallbackMind,
    MentalState,
    ModelMind,
    Persona,
    PersonaAction,
    PersonaAgent,
    Population,
    RuleMind,
    Situation,
    Stimulus,
    StimulusKind,
    act,
    action,
    heard,
    reply,
    say,
    talk,
    when,
)
from coterie.personas.agent.messages import FallbackUsed
from coterie.personas.agent.state import EndReason
from coterie.personas.mind.state import ActionOutcome
from coterie.runtime import Agent
from coterie.testing import eventually
from tests.personas.minds import DONE, Does, Scripted, says

ADA, BEN, CY = (Persona.of(name) for name in ("Ada", "Ben", "Cy"))


@pytest.fixture
def cast() -> Iterator[Population]:
    with Runtime(strict=True) as runtime:
        yield Population(runtime, documents={"Prices": "bread 3, milk 1"}, timeout=20)


def test_every_kind_of_stimulus_reaches_the_mind(cast: Population) -> None:
    seen: list[Situation] = []
    ada = cast.add(Persona.of("Ada", long_term_goals=["rest"]), Does(seen.append))
    ada.listen("hello", "Ben").result()
    ada.see("a cat").result()
    ada.think("cats are odd").result()
    ada.introduce("Ben comes in", "Ben").result()
    ada.move_to("the kitchen").result()
    ada.set_goal("eat").result()
    assert ada.act().result().ended is EndReason.NOTHING
    assert [(each.kind, each.content, each.source) for each in seen[0].stimuli] == [
        ("conversation", "hello", "Ben"),
        ("visual", "a cat", ""),
        ("thought", "cats are odd", ""),
        ("social", "Ben comes in", "Ben"),
        ("location", "the kitchen", ""),
        ("goal", "eat", ""),
    ]
    assert seen[0].location == "the kitchen"
    assert seen[0].mental_state.goals == ("eat", "rest")
    ada.act().result()
    assert seen[1].stimuli == ()
    assert (ada.counts.stimuli, ada.counts.decisions, ada.counts.episodes) == (6, 2, 2)


def test_speech_reaches_accessible_personas_only(cast: Population) -> None:
    ada = cast.add(
        ADA, RuleMind(when(heard("all"), say("hello all")), when(heard("ben"), say("hello Ben", "Ben")), say("hm", "Cy"))
    )
    ben, cy = cast.add(BEN), cast.add(CY)
    cast.relate(ada, ben, "friends")
    episode = ada.listen_and_act("all").result()
    assert episode.said == ("hello all",)
    assert [str(each) for each in ben.fetch_state().result().pending] == ["Ada: hello all"]
    refused = ada.listen_and_act("to Cy").result().records[0]
    assert (refused.outcome, refused.result) == (ActionOutcome.REFUSED, "Cy is not within reach; reach out first")
    assert cy.fetch_state().result().pending == ()
    cast.relate(ada, cy)
    ada.listen_and_act("to ben").result()
    assert len(ben.fetch_state().result().pending) == 2
    assert cy.fetch_state().result().pending == ()


def test_reaching_out_relates_both(cast: Population) -> None:
    ada = cast.add(ADA, RuleMind(act("REACH_OUT", "my neighbour", "ben")))
    ben = cast.add(BEN)
    episode = ada.act(steps=1).result()
    assert episode.records[0].result == "Ben is within reach now"
    assert ada.accessible == {"Ben": "my neighbour"}
    assert ben.accessible == {"Ada": "my neighbour"}
    assert ben.fetch_state().result().pending[0].kind is StimulusKind.SOCIAL
    cy = cast.add(CY, RuleMind(act("REACH_OUT", "", "Zed")))
    assert cy.act(steps=1).result().records[0].outcome is ActionOutcome.REFUSED


def test_recalled_and_consulted_texts_are_stimuli_of_the_next_step(cast: Population) -> None:
    results: list[str] = []

    def decide(situation: Situation) -> Any:
        results.extend(each.content for each in situation.stimuli if each.kind is StimulusKind.RESULT)
        steps = [
            PersonaAction("REMEMBER", "Ben owes me 5 coins"),
            PersonaAction("RECALL", "coins of Ben"),
            PersonaAction("CONSULT", "prices"),
            DONE,
        ]
        return steps[situation.step - 1]

    ada = cast.add(ADA, Does(decide))
    assert ada.act().result().ended is EndReason.DONE
    assert "Ben owes me 5 coins" in results[0]
    assert "Prices says" not in results[0]
    assert "prices says: bread 3, milk 1" in results[1]
    wrong = cast.add(BEN, RuleMind(act("CONSULT", "gossip"))).act(steps=1).result().records[0]
    assert wrong.outcome is ActionOutcome.REFUSED
    assert "there is Prices" in wrong.result


def test_further_actions_are_registered_by_class_and_by_instance() -> None:
    class Shopper(PersonaAgent):
        @action("BUY", "Buys something.", properties={"content": {"type": "string"}}, required=["content"])
        async def buy(self, action: PersonaAction) -> str:
            await asyncio.sleep(0)
            return f"{self.persona.name} has {action.content} now"

    sing = ActionKind("SING", "Sings.", lambda agent, action: f"{agent.who} sings {action.content}")
    with Runtime() as runtime:
        cast = Population(runtime)
        mind = Does(lambda situation: [PersonaAction("BUY", "milk"), PersonaAction("SING", "la"), PersonaAction("BUY"), DONE])
        ada = cast.add(ADA, mind, kind=Shopper, actions=[sing])
        records = ada.act().result().records
        assert [each.result for each in records] == ["Ada has milk now", "Ada sings la", "BUY needs content", ""]
        other = cast.add(BEN, mind, kind=Shopper).act().result().records
        assert other[1].result.startswith("there is no action 'SING'")
        assert "BUY" not in PersonaAgent.actions
        assert cast.add(CY, mind).act().result().records[0].outcome is ActionOutcome.REFUSED


def test_an_action_that_raises_is_recorded_and_does_not_fail_the_agent(cast: Population) -> None:
    broken = ActionKind("BREAK", "Breaks.", lambda *_: str(1 / 0))
    ada = cast.add(ADA, Does(lambda situation: [PersonaAction("BREAK"), DONE]), actions=[broken])
    episode = ada.act().result()
    assert (episode.records[0].outcome, episode.records[0].result) == (
        ActionOutcome.FAILED,
        "ZeroDivisionError: division by zero",
    )
    assert (ada.counts.failed, ada.counts.actions) == (1, 2)
    assert ada.agent.is_alive


def test_the_mental_state_is_replaced_by_decisions_and_actions(cast: Population) -> None:
    glad, tired = MentalState(emotions="glad"), MentalState(emotions="tired")
    ada = cast.add(ADA, Does(lambda _: Decision((PersonaAction("THINK", "x", mental_state=tired), DONE), glad)))
    ada.act().result()
    assert ada.mental_state == tired
    assert ada.change_mind(goals=["sleep"], attention="the bed").result() == MentalState(("sleep",), (), "the bed", "tired")
    assert ada.mental_state.attention == "the bed"
    assert ada.counts.changes == 3


# An episode ends.


def test_an_episode_has_a_bound_on_its_steps(cast: Population) -> None:
    ada = cast.add(ADA, Does(lambda situation: PersonaAction("THINK", "thought number " + "x" * situation.step)))
    episode = ada.act().result()
    assert (episode.ended, episode.steps, len(episode.records)) == (EndReason.STEPS, 8, 8)
    assert ada.act(steps=3).result().steps == 3


@pytest.mark.parametrize("circle", [1, 2, 3])
def test_an_episode_that_goes_round_in_circles_ends(cast: Population, circle: int) -> None:
    ada = cast.add(
        ADA, Does(lambda situation: PersonaAction("THINK", f"  Thought {situation.step % circle}! ")), max_steps=1000
    )
    episode = ada.act().result()
    assert (episode.ended, len(episode.records)) == (EndReason.REPEATED, 2 * circle)


def test_saying_nearly_the_same_is_repeating_and_saying_something_else_is_not(cast: Population) -> None:
    long = "I would really like to know what you think about the price of bread in this town of ours, my dear"
    same = cast.add(ADA, Does(lambda situation: talk(f"{long}{'!' * situation.step}")), max_steps=50, max_repeats=0)
    assert len(same.act().result().records) == 1
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    other = cast.add(BEN, Does(lambda situation: talk(" ".join([words[situation.step]] * 30))), max_steps=9, max_repeats=0)
    assert other.act().result().ended is EndReason.STEPS


# Minds that fail.


def test_a_mind_that_raises_fails_the_message_and_not_the_agent(cast: Population) -> None:
    ada = cast.add(ADA, Does(lambda _: 1 / 0))
    ada.listen("hello").result()
    with pytest.raises(HandlerFailed) as caught:
        ada.act().result()
    assert isinstance(caught.value.__cause__, MindFailed)
    assert "ZeroDivisionError" in str(caught.value.__cause__)
    assert [each.content for each in ada.fetch_state().result().pending] == ["hello"]
    assert ada.counts.stimuli == 1


def test_a_mind_that_never_answers_ends_with_the_patience(cast: Population) -> None:
    class Hangs:
        async def decide(self, _: Situation) -> None:
            await asyncio.Event().wait()

    ada = cast.add(ADA, Hangs(), patience=0.05)
    with pytest.raises(HandlerFailed, match=r"more than 0\.05 s"):
        ada.act().result(10)
    assert ada.agent.is_alive
    ben = cast.add(BEN, FallbackMind(Hangs(), RuleMind(say("well")), timeout=0.05), patience=5)
    assert ben.act().result(10).fallbacks == ("it took more than 0.05 s",)


def test_an_error_of_a_model_keeps_its_name(cast: Population) -> None:
    ada = cast.add(ADA, ModelMind(Scripted(ModelError("the budget is spent"))))
    with pytest.raises(HandlerFailed) as caught:
        ada.act().result()
    assert isinstance(caught.value.__cause__, ModelError)
    assert ada.agent.is_alive


class Ready(Request[None]): ...


class Hears(Agent):
    def __init__(self, heard: Any) -> None:
        self.heard = heard

    def on_start(self) -> None:
        self.context.subscribe(PERSONAS)

    @on
    def ready(self, message: Ready) -> None: ...

    @on
    def note(self, message: Message) -> None:
        self.heard(message)


def test_a_fallback_is_recorded_counted_and_published(cast: Population) -> None:
    heard_of: list[Message] = []
    cast.runtime.spawn(Hears, heard_of.append).ask(Ready()).result()
    model = Scripted(
        "nonsense", "more nonsense", says({"type": "DANCE"}), says({"type": "TALK", "content": "now"}, {"type": "DONE"})
    )
    ada = cast.add(ADA, ModelMind(model, fallback=RuleMind(reply("excuse me?"))))
    episode = ada.listen_and_act("hello", "Ben").result()
    assert (episode.said, episode.attempts) == ((), 3)
    assert episode.records[0].action == talk("excuse me?", "Ben")
    assert "no action 'DANCE'" in episode.fallbacks[0]
    assert ada.counts.fallbacks == 1
    assert ada.listen_and_act("again", "Ben").result().fallbacks == ()
    assert ada.counts.fallbacks == 1
    eventually(lambda: bool(heard_of))
    assert heard_of == [FallbackUsed("Ada", "episode 1/step 1", episode.fallbacks[0])]


# What is kept.


def test_the_buffers_are_bounded_and_dropped_stimuli_are_counted(cast: Population) -> None:
    ada = cast.add(ADA, Does(lambda situation: [PersonaAction("THINK", str(situation.step)), DONE]), buffer_size=5)
    for number in range(12):
        ada.listen(str(number)).result()
    state = ada.fetch_state().result()
    assert [each.content for each in state.pending] == ["7", "8", "9", "10", "11"]
    assert (state.counts.stimuli, state.counts.overlooked) == (12, 7)
    for _ in range(4):
        ada.act().result()
    assert [each.number for each in ada.actions] == [4, 5, 6, 7, 8]
    assert ada.counts.actions == 8


def test_a_persona_that_fails_is_rebuilt_with_its_state(cast: Population) -> None:
    class Trips(PersonaAgent):
        @on
        def trip(self, message: Ready) -> None:
            raise ValueError("over a stone")

    ada = cast.add(ADA, RuleMind(reply("hi")), kind=Trips)
    ada.change_mind(emotions="sore").result()
    ada.listen("hello", "Ben").result()
    with pytest.raises(HandlerFailed, match="stone"):
        ada.agent.ask(Ready()).result()
    state = ada.fetch_state().result()
    assert (state.mental_state.emotions, state.counts.stimuli, len(state.pending)) == ("sore", 1, 1)
    assert ada.act().result().records[0].action == talk("hi", "Ben")


def test_memories_are_kept_in_the_runtimes_memory() -> None:
    with TieredMemory(MemoryConfig()) as memory, Runtime() as runtime:
        cast = Population(runtime, memory=memory)
        ada = cast.add(ADA, RuleMind(when(heard("coins"), reply("I know"))), memory={"consolidate_at": None})
        for number in range(5):
            ada.listen(f"Ben lent me {number} coins", "Cy").result()
        ada.act().result()
        assert len(ada.recall("coins", 3).result()) == 3
        assert ada.remember("the door is green").result()
        assert ada.memory is not None
        assert ada.memory.stats().episodes == 7
        assert ada.consolidate().result() == 7
        assert ada.consolidate().result() == 0
        assert ada.memory.stats().consolidations == 1


def test_invalid_values_are_refused_where_they_are_given(cast: Population) -> None:
    wrongs: list[dict[str, Any]] = [
        {"max_steps": 0},
        {"patience": -1},
        {"buffer_size": 0},
        {"max_repeats": -1},
        {"similarity": 0},
    ]
    for wrong in wrongs:
        with pytest.raises(InvalidSetting, match="PersonaAgent"):
            cast.add(Persona.of("Zed"), **wrong)
    with pytest.raises(InvalidSetting, match=r"Population\.add"):
        cast.add("Ada")  # type: ignore[arg-type]
    assert len(cast) == 0
    ada = cast.add(ADA)
    with pytest.raises(InvalidSetting, match="steps"):
        ada.act(steps=0)
    ada.stop().result()
    with pytest.raises(AgentStopped):
        ada.act().result()


def test_two_of_one_name_are_distinguished(cast: Population) -> None:
    one, two, odd = cast.add(ADA), cast.add(ADA), cast.add(Persona.of("A #1\n"))
    assert (one.name, two.name, odd.name) == ("Ada", "Ada 2", "A  1")
    cast.relate(one, two, "namesakes")
    cast.remove(two)
    assert one.accessible == {}
    assert [each.name for each in cast] == ["Ada", "A  1"]


def test_perceiving_several_at_once_keeps_their_order(cast: Population) -> None:
    ada = cast.add(ADA)
    ada.perceive(*(Stimulus(StimulusKind.THOUGHT, str(number)) for number in range(5))).result()
    assert [each.content for each in ada.state.pending] == list("01234")
