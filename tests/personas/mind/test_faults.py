"""A real gateway, and a server that is slow, down, wrong or full: an error that says so, or a recorded fallback, and no hang."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from coterie import HandlerFailed, Runtime
from coterie.errors import BudgetExhausted, ModelError, ModelTimeout, ModelUnavailable, RateLimited, RecordingMissing
from coterie.models import Budget, ModelGateway, Timeouts
from coterie.personas import ModelMind, Persona, PersonaRef, Population, RuleMind, reply
from coterie.personas.agent.state import EndReason
from coterie.testing import ModelServer, Served, eventually
from coterie.work import Retry
from tests.personas.minds import says

NOBLE = says({"type": "TALK", "content": "good day"}, {"type": "DONE"}, emotions="calm")
FALLBACK = RuleMind(reply("excuse me?"))


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-a-key")


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    # A pool's thread is let go of, and ends by itself a moment later.
    eventually(lambda: not [thread for thread in threading.enumerate() if thread not in before])


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


def gateway(server: ModelServer, **options: object) -> ModelGateway:
    settings = {
        "timeouts": Timeouts(total=5, attempt=0.3),
        "retry": Retry(2, initial=0.01, on=(ModelUnavailable, ModelTimeout, RateLimited)),
        **options,
    }
    return ModelGateway("openai:any", base_url=server.url, **settings)  # type: ignore[arg-type]


def greet(model: ModelGateway, fallback: RuleMind | None = FALLBACK) -> tuple[PersonaRef, object]:
    with Runtime() as runtime:
        ada = Population(runtime, timeout=20).add(Persona.of("Ada"), ModelMind(model, fallback=fallback))
        return ada, ada.listen_and_act("hello", "Ben").result(20)


def test_a_persona_is_played_by_a_model_over_http(server: ModelServer) -> None:
    server.play([Served(text=NOBLE)])
    with gateway(server) as model:
        ada, episode = greet(model, None)
        assert (episode.said, episode.ended) == (("good day",), EndReason.DONE)  # type: ignore[attr-defined]
        assert ada.mental_state.emotions == "calm"
        assert model.metrics_by_agent()["Ada"].answered == 1


WRONG = {
    "429": Served.rate_limited(),
    "500": Served.failing(500),
    "broken JSON": Served(body='{"choices": [{"mess'),
    "nonsense": Served(body="<html>gone fishing</html>"),
    "no decision": Served(text="As you wish."),
    "half a decision": Served(text='{"actions": [{"type": "TALK", "content": "go'),
    "an unknown action": Served(text=says({"type": "FLY"})),
    "cut off": Served(text='{"actions": [', finish="length"),
    "filtered": Served(text="", finish="content_filter"),
    "too long": Served.too_long(),
    "slow": Served(delay=30),
    "hanging": Served(hang=True),
    "connection cut": Served(break_after=0),
    "unauthorised": Served(status=401, error="wrong key"),
}


@pytest.mark.parametrize("served", WRONG.values(), ids=WRONG.keys())
def test_whatever_the_server_does_the_fallback_decides_and_is_recorded(server: ModelServer, served: Served) -> None:
    server.play(lambda _: served)
    with gateway(server) as model:
        ada, episode = greet(model)
    assert episode.records[0].action.content == "excuse me?"  # type: ignore[attr-defined]
    assert len(episode.fallbacks) == ada.counts.fallbacks == 1  # type: ignore[attr-defined]
    assert "sk-not-a-key" not in episode.fallbacks[0]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "served", [Served.failing(500), Served(text="As you wish."), Served(hang=True)], ids=["500", "nonsense", "hangs"]
)
def test_without_a_fallback_it_is_a_clear_error(server: ModelServer, served: Served) -> None:
    server.play(lambda _: served)
    with gateway(server) as model, pytest.raises(HandlerFailed) as caught:
        greet(model, None)
    assert caught.value.__cause__ is not None


def test_a_server_that_is_down_has_the_fallback_decide_until_it_is_back(server: ModelServer) -> None:
    server.play(lambda _: Served(text=NOBLE))
    with gateway(server) as model, Runtime() as runtime:
        ada = Population(runtime, timeout=20).add(Persona.of("Ada"), ModelMind(model, fallback=FALLBACK))
        server.stop()
        assert len(ada.listen_and_act("hello", "Ben").result().fallbacks) == 1
        server.start()
        assert ada.listen_and_act("hello", "Ben").result().fallbacks == ()
        assert ada.counts.fallbacks == 1


def test_a_prompt_over_the_context_limit_is_tried_once_more_and_shorter(server: ModelServer) -> None:
    server.play([Served.too_long(), Served(text=NOBLE)])
    with gateway(server) as model, Runtime() as runtime:
        long = Persona.of("Ada", other_facts=["I like long stories. " * 20] * 20)
        episode = Population(runtime).add(long, ModelMind(model, fallback=FALLBACK)).listen_and_act("hello").result()
    assert (episode.fallbacks, episode.attempts) == ((), 2)
    first, second = (len(str(request["messages"])) for request in server.requests)
    assert second < 0.6 * first


def test_an_empty_budget_does_not_cause_a_fallback(server: ModelServer) -> None:
    with gateway(server, budget=Budget(requests=0)) as model, pytest.raises(HandlerFailed) as caught:
        greet(model)
    assert isinstance(caught.value.__cause__, BudgetExhausted)
    assert server.requests == []


def test_recorded_requests_are_replayed_without_a_server_and_others_are_an_error(server: ModelServer, tmp_path: Path) -> None:
    server.play([Served(text=NOBLE)])
    with gateway(server, record=tmp_path / "model.jsonl") as model:
        _, recorded = greet(model)
    server.stop()
    with gateway(server, replay=tmp_path / "model.jsonl") as model:
        _, replayed = greet(model)
        assert replayed == recorded
        with Runtime() as runtime, pytest.raises(HandlerFailed) as caught:
            Population(runtime).add(Persona.of("Ada", age=5), ModelMind(model, fallback=FALLBACK)).listen_and_act(
                "hello", "Ben"
            ).result()
    assert isinstance(caught.value.__cause__, RecordingMissing)
    assert isinstance(caught.value.__cause__, ModelError)
