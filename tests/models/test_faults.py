"""What a provider can do wrong, over real HTTP: each ends in a reply or in one clear error."""

import asyncio
import email.utils
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from coterie.errors import ContextTooLong, InvalidSetting, ModelError, ModelRefused, ModelTimeout, ModelUnavailable, RateLimited
from coterie.errors.models import KeyRefused, MalformedReply, StreamBroken
from coterie.models import ModelGateway, ModelRequest, RateLimits, TextMessage, Timeouts, ToolDefinition
from coterie.testing import ManualClock, ModelServer, Served, eventually
from coterie.work import Retry
from tests.models.asking import SOON, gateway_to, planned, question, read

ONCE = Retry(0)

NEVER = Retry(0)
TOOL = ToolDefinition("look", "Looks.", {"type": "object", "properties": {"at": {"type": "string"}}})


@pytest.mark.parametrize(
    ("served", "error", "words"),
    [
        (Served.failing(500), ModelUnavailable, "The server had an error"),
        (Served.failing(503), ModelUnavailable, "check that its server runs"),
        (Served.rate_limited(1), RateLimited, "retry after 1 s"),
        (Served.rate_limited(), RateLimited, "without a time to retry"),
        (Served(status=429, error="no money", code="insufficient_quota"), ModelRefused, "quota is used up"),
        (Served.too_long(), ContextTooLong, "shorten the prompt"),
        (Served(status=400, error="the context window is exceeded"), ContextTooLong, "HTTP 400"),
        (Served(status=400, error="what?"), ModelRefused, "change the request"),
        (Served(status=401, error="no"), KeyRefused, "key in the environment"),
        (Served(status=404, error="no such model"), ModelRefused, "HTTP 404"),
        (Served(body='{"choices": ['), MalformedReply, "malformed"),
        (Served(body="<html>hello</html>"), MalformedReply, "malformed"),
        (Served(body='{"a": 1}'), MalformedReply, "malformed"),
        (Served(body='{"choices": []}'), MalformedReply, "malformed"),
        (Served(body="[]"), MalformedReply, "malformed"),
        (Served(text="", finish="stop"), MalformedReply, "neither text nor calls"),
        (Served(calls=[("look", "{at: it")]), MalformedReply, "arguments of look are no JSON"),
        (Served(calls=[("look", "[1]")]), MalformedReply, "arguments of look are no object"),
        (Served(break_after=0), ModelUnavailable, "unavailable"),
    ],
)
def test_each_fault_is_an_error_with_the_remedy(
    server: ModelServer, served: Served, error: type[ModelError], words: str
) -> None:
    server.play(lambda _: served)
    with gateway_to(server, retry=NEVER) as gateway:
        for ask in (gateway.ask_blocking, lambda request: list(gateway.stream_blocking(request))):
            if ask is not gateway.ask_blocking and served.status == 200:
                continue
            with pytest.raises(error, match=words) as caught:
                ask(question(tools=(TOOL,)))
            assert type(caught.value) is error
            assert "openai:gpt-4o-mini" in str(caught.value)
            assert caught.value.__context__ is None
        server.play([])
        assert gateway.ask_blocking(question("fine?"), 10).text == "you said fine?"


@pytest.mark.parametrize(
    "served",
    [Served.failing(500), Served.rate_limited(0), Served(break_after=0), Served(body="{"), Served(calls=[("look", "{")])],
)
def test_temporary_errors_are_retried(server: ModelServer, served: Served) -> None:
    server.play([served, served, Served(text="at last")])
    with gateway_to(server, retry=SOON) as gateway:
        assert gateway.ask_blocking(question(tools=(TOOL,)), 20).text == "at last"
        assert gateway.metrics().retries == 2
        assert gateway.spent().requests == 3


def test_final_errors_are_not_retried(server: ModelServer) -> None:
    server.play(lambda _: Served.too_long())
    with gateway_to(server) as gateway, pytest.raises(ContextTooLong):
        gateway.ask_blocking(question(), 20)
    assert len(server.requests) == 1


def test_retries_end(server: ModelServer) -> None:
    server.play(lambda _: Served.failing())
    with gateway_to(server, retry=SOON) as gateway, pytest.raises(ModelUnavailable):
        gateway.ask_blocking(question(), 20)
    assert len(server.requests) == 4


def test_a_server_that_is_down_is_an_error_and_one_that_comes_back_is_used(server: ModelServer) -> None:
    with gateway_to(server, retry=NEVER) as gateway:
        assert gateway.ask_blocking(question(), 20).text
        server.stop()
        with pytest.raises(ModelUnavailable, match="check that its server runs"):
            gateway.ask_blocking(question(), 20)
        server.start()
        assert gateway.ask_blocking(question(), 20).text


@pytest.mark.parametrize("dated", [False, True])
def test_retry_after_is_respected_in_seconds_and_as_a_date(server: ModelServer, dated: bool) -> None:
    clock = ManualClock()
    wait = email.utils.formatdate(clock.time() + 7, usegmt=True) if dated else 7
    server.play([Served.rate_limited(wait), Served(text="thanks")])
    with gateway_to(server, clock=clock, retry=Retry(2, initial=1.0, jitter=0)) as gateway:
        pending = gateway.submit(question())
        eventually(lambda: 7.0 in planned(gateway))
        clock.advance(6.9)
        assert not pending.done
        assert len(server.requests) == 1
        clock.advance(0.1)
        assert pending.result(10).text == "thanks"


def test_one_retry_after_lets_all_others_rest_too(server: ModelServer) -> None:
    clock = ManualClock()
    server.play([Served.rate_limited(5)])
    with gateway_to(server, clock=clock, limits=RateLimits(concurrency=1), retry=Retry(2, initial=1.0, jitter=0)) as gateway:
        pending = [gateway.submit(question(str(n))) for n in range(3)]
        eventually(lambda: planned(gateway).count(5.0) == 2, what="that the retry, and the others, wait for 5 s")
        clock.advance(4.9)
        assert len(server.requests) == 1
        clock.advance(0.1)
        assert {reply.result(10).text for reply in pending} == {"you said 0", "you said 1", "you said 2"}


def test_a_retry_after_that_is_longer_than_a_request_may_take_is_an_error_at_once(server: ModelServer) -> None:
    server.play([Served.rate_limited(3600)])
    with gateway_to(server, timeouts=Timeouts(total=60)) as gateway, pytest.raises(RateLimited, match="retry after 3600 s"):
        gateway.ask_blocking(question(), 20)


def test_a_retry_after_that_is_too_long_delays_no_other_request(server: ModelServer) -> None:
    server.play([Served.rate_limited(3600)])
    with gateway_to(server, timeouts=Timeouts(total=60), limits=RateLimits(concurrency=1)) as gateway:
        first, second = gateway.submit(question("1")), gateway.submit(question("2"))
        with pytest.raises(RateLimited):
            first.result(10)
        assert second.result(10).text == "you said 2"


def test_an_attempt_that_hangs_is_given_up_and_made_again(server: ModelServer) -> None:
    clock = ManualClock()
    server.play([Served(hang=True), Served(text="second")])
    with gateway_to(server, clock=clock, timeouts=Timeouts(attempt=30), retry=Retry(1, initial=1, jitter=0)) as gateway:
        pending = gateway.submit(question())
        eventually(lambda: server.running == 1)
        clock.advance(30)
        eventually(lambda: server.left == 1)
        eventually(lambda: 31.0 in planned(gateway))
        clock.advance(1)
        assert pending.result(10).text == "second"


def test_all_of_a_request_has_an_end(server: ModelServer) -> None:
    clock = ManualClock()
    server.play([Served(hang=True)])
    with gateway_to(
        server, clock=clock, timeouts=Timeouts(total=10, attempt=None), limits=RateLimits(concurrency=1)
    ) as gateway:
        pending = [gateway.submit(question(str(n))) for n in range(2)]
        eventually(lambda: server.running == 1 and planned(gateway).count(10.0) == 2)
        clock.advance(10)
        for reply in pending:
            with pytest.raises(ModelTimeout, match=r"exceeded 10 s \(its turn, all attempts"):
                reply.result(10)
        assert len(server.requests) == 1


def test_a_stream_whose_first_piece_does_not_come_is_given_up(server: ModelServer) -> None:
    clock = ManualClock()
    server.play([Served(hang=True)])
    with gateway_to(server, clock=clock, timeouts=Timeouts(first_token=5), retry=NEVER) as gateway:
        stream = gateway.stream_blocking(question(), 10)
        waiting = _Later(stream)
        eventually(lambda: server.running == 1 and 5.0 in planned(gateway))
        clock.advance(5)
        with pytest.raises(ModelTimeout, match=r"exceeded 5 s \(the first piece of a stream\)"):
            waiting.result()


def test_a_stream_that_stands_still_after_its_first_piece_is_given_up_at_the_end_of_the_attempt(server: ModelServer) -> None:
    clock = ManualClock()
    server.play([Served(text="one two three", break_after=1, hang=True)])
    with gateway_to(server, clock=clock, timeouts=Timeouts(first_token=5, attempt=30)) as gateway:
        stream = gateway.stream_blocking(question(), 10)
        assert next(stream).text == "one "
        waiting = _Later(stream)
        eventually(lambda: 30.0 in planned(gateway))
        clock.advance(30)
        with pytest.raises(StreamBroken, match="exceeded 30 s"):
            waiting.result()


def test_a_stream_that_breaks_before_its_first_piece_is_begun_again(server: ModelServer) -> None:
    server.play([Served(break_after=0), Served.failing(), Served(text="one two")])
    with gateway_to(server, retry=SOON) as gateway:
        pieces, whole = asyncio.run(read(gateway, question()))
    assert (pieces, whole.text, len(server.requests)) == (["one ", "two"], "one two", 3)


@pytest.mark.parametrize("served", [Served(text="a b c", break_after=2), Served(text="a b c", body="{not json")])
def test_a_stream_that_breaks_after_a_piece_is_an_error_and_not_begun_again(server: ModelServer, served: Served) -> None:
    server.play([served])
    with gateway_to(server, retry=SOON) as gateway:
        with pytest.raises(StreamBroken, match="broke off after") as caught:
            asyncio.run(read(gateway, question()))
        assert "a b c".startswith(caught.value.text)
        assert caught.value.text
    assert len(server.requests) == 1


@pytest.mark.parametrize("model", ["openai:any", "openai-chat:any", "ollama:any", "vllm:any"])
def test_a_stream_that_ends_politely_but_too_soon_is_noticed(server: ModelServer, model: str) -> None:
    cut = '{"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}\n\ndata: [DONE]'
    server.play([Served(text="a b c", body=cut)])
    with ModelGateway(model, base_url=server.url, retry=NEVER) as gateway, pytest.raises(StreamBroken):
        asyncio.run(read(gateway, question()))


def test_a_storm_of_faults_ends_every_request(server: ModelServer) -> None:
    faults = [
        Served(),
        Served.failing(),
        Served.rate_limited(0),
        Served(body="nonsense"),
        Served(break_after=0),
        Served(hang=True),
        Served.too_long(),
        Served(),
    ]
    server.play([faults[n * 5 % 8] for n in range(400)])
    settings: dict[str, Any] = {"timeouts": Timeouts(attempt=0.5, first_token=0.5), "limits": RateLimits(concurrency=64)}
    with gateway_to(server, retry=SOON, **settings) as gateway:
        outcomes = [_outcome(gateway, n) for n in range(200)]
        ended = [each() for each in outcomes]
        assert len(ended) == 200
        assert set(ended) <= {"answered", *(kind.__name__ for kind in (ContextTooLong, *_PASSING))}
        # How many are answered within half a second is the machine's affair; that all are accounted for is ours.
        counts = Counter(ended)
        answered = counts.pop("answered")
        metrics = gateway.metrics()
        assert (metrics.asked, metrics.answered, metrics.errors) == (200, answered, dict(counts))
        assert gateway.spent().requests == 200 + metrics.retries
        eventually(lambda: server.running == 0)


_PASSING = (ModelUnavailable, RateLimited, MalformedReply, ModelTimeout)


def _outcome(gateway: ModelGateway, number: int) -> Any:
    pending = gateway.submit(question(str(number), agent=f"agent-{number % 16}"))

    def wait() -> str:
        try:
            pending.result(40)
        except ModelError as error:
            return type(error).__name__
        return "answered"

    return wait


class _Later:
    """The next piece of a stream, awaited on a thread of its own."""

    def __init__(self, stream: Any) -> None:
        from coterie.testing import Together  # noqa: PLC0415

        self._together = Together(lambda: next(stream))

    def result(self) -> None:
        self._together.join(10)


@pytest.mark.parametrize("body", ["", "{", "<html>502</html>", "\0\0"])
def test_text_that_is_not_json_is_a_malformed_reply(server: ModelServer, body: str) -> None:
    server.play(lambda _: Served(body=body))
    with gateway_to(server, retry=ONCE) as gateway, pytest.raises(MalformedReply, match="Failed to decode response as JSON"):
        gateway.ask_blocking(question(), 10)


def test_the_error_text_of_a_client_is_one_line_without_references(server: ModelServer) -> None:
    server.play([Served(body="{}")])
    with gateway_to(server, retry=ONCE) as gateway, pytest.raises(MalformedReply) as caught:
        gateway.ask_blocking(question(), 10)
    assert "Input should be a valid list" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "http" not in str(caught.value)


def test_an_absent_server_is_reported_with_its_address_and_not_as_slow(server: ModelServer) -> None:
    server.stop()
    with gateway_to(server, retry=ONCE) as gateway, pytest.raises(ModelUnavailable) as caught:
        gateway.ask_blocking(question(), 10)
    port = server.url.split(":")[2].split("/")[0]
    assert f"Cannot connect to host 127.0.0.1:{port}" in str(caught.value)
    assert "timed out" not in str(caught.value).lower()


@pytest.mark.parametrize("said", ["0.5", " 1 ", "01"])
def test_retry_after_may_have_a_fraction(server: ModelServer, said: str) -> None:
    server.play([Served(status=429, error="slow", headers={"Retry-After": said})])
    with gateway_to(server, retry=ONCE) as gateway, pytest.raises(RateLimited) as caught:
        gateway.ask_blocking(question(), 10)
    assert caught.value.retry_after == float(said)


def test_a_date_without_its_place_is_of_greenwich(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    clock = ManualClock()
    date = email.utils.formatdate(clock.time() + 30)
    assert date.endswith(" -0000")
    server.play([Served(status=429, error="slow", headers={"Retry-After": date})])
    try:
        with gateway_to(server, retry=ONCE, clock=clock) as gateway, pytest.raises(RateLimited) as caught:
            gateway.ask_blocking(question(), 10)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert caught.value.retry_after == pytest.approx(30, abs=1)


def test_half_a_character_is_shown_as_a_question_mark(server: ModelServer, tmp_path: Path) -> None:
    server.play([Served(text="a \ud800 b"), Served(text="a \ud800 b"), Served(calls=[("look", '{"at": "\\ud800"}')])])
    with gateway_to(server, retry=ONCE, record=tmp_path / "run.jsonl") as gateway:
        assert gateway.ask_blocking(question("1"), 10).text == "a ? b"
        pieces = list(gateway.stream_blocking(question("2"), 10))
        assert "".join(piece.text for piece in pieces[:-1]) == pieces[-1].text == "a ? b"
        with pytest.raises(MalformedReply, match="the arguments of look hold a lone surrogate"):
            gateway.ask_blocking(question("3"), 10)


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (question("\ud800"), "surrogates not allowed"),
        (question(temperature=float("nan")), r"ModelGateway\.ask\.temperature=nan"),
        (question(temperature="hot"), r"ModelGateway\.ask\.temperature='hot'"),
        (question(max_tokens=0), r"ModelGateway\.ask\.max_tokens=0"),
        (question(priority="high"), r"at `\$\.priority`"),
        (ModelRequest(exchanges="hello"), r"Expected `array`, got `str` - at `\$\.exchanges`"),  # type: ignore[arg-type]
        (ModelRequest(exchanges=(TextMessage("wizard", "x"),)), r"exchanges\[0\]\.role='wizard': need user or assistant"),
        (question(schema={"a": object()}), "object"),
    ],
)
def test_a_request_that_is_none_is_refused_before_it_is_sent(server: ModelServer, request_: ModelRequest, told: str) -> None:
    with gateway_to(server) as gateway:
        with pytest.raises(InvalidSetting, match=told):
            gateway.ask_blocking(request_, 10)
        with pytest.raises(InvalidSetting):
            next(gateway.stream_blocking(request_, 10))
    assert not server.requests


@pytest.mark.parametrize("url", ["http://a b/v1", "http://x\0/v1", "http://x\n/v1", "http://x/\tv1"])
def test_an_address_with_invisible_characters_is_refused(url: str) -> None:
    with pytest.raises(InvalidSetting, match=r"ModelGateway\.base_url"):
        ModelGateway("openai:any", base_url=url)
