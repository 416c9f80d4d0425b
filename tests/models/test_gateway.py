"""The gateway, over real HTTP."""

import asyncio
import threading

import pytest

from coterie.errors import GatewayClosed, InvalidSetting, ModelError, WaitTimeout
from coterie.models import ModelGateway, ModelReply, ModelRequest, RateLimits, Timeouts
from coterie.testing import ModelServer, ScriptedModel, Served, eventually, run_together
from tests.models.asking import gateway_to, question, read


def test_sixteen_agents_on_sixteen_threads_with_a_loop_each_lose_none_of_four_hundred_requests(server: ModelServer) -> None:
    answers: dict[str, list[str]] = {}
    with gateway_to(server, limits=RateLimits(concurrency=None)) as gateway:

        def agent(name: str) -> None:
            async def ask() -> None:
                asked = [gateway.ask(question(f"{name} {n}", agent=name)) for n in range(25)]
                answers[name] = [reply.text for reply in await asyncio.gather(*asked)]

            asyncio.run(ask())

        run_together(*[lambda name=f"agent-{n}": agent(name) for n in range(16)], timeout=50)
        assert answers == {f"agent-{n}": [f"you said agent-{n} {k}" for k in range(25)] for n in range(16)}
        assert len(server.requests) == 400
        assert gateway.metrics().answered == 400
        assert {each.answered for each in gateway.metrics_by_agent().values()} == {25}


def test_sixteen_threads_that_block_and_sixteen_streams_lose_nothing_either(server: ModelServer) -> None:
    with gateway_to(server) as gateway:

        def block(name: str) -> None:
            for n in range(10):
                assert gateway.ask_blocking(question(f"{name} {n}"), 30).text == f"you said {name} {n}"

        def stream(name: str) -> None:
            for n in range(5):
                *pieces, whole = gateway.stream_blocking(question(f"{name} {n}"), 30)
                assert "".join(piece.text for piece in pieces) == whole.text == f"you said {name} {n}"

        bodies = [lambda name=f"b{n}": block(name) for n in range(8)] + [lambda name=f"s{n}": stream(name) for n in range(8)]
        run_together(*bodies, timeout=50)
        assert len(server.requests) == 120


def test_never_more_requests_are_at_the_server_than_the_limit_says(server: ModelServer) -> None:
    server.play(lambda _: Served(delay=0.01))
    with gateway_to(server, limits=RateLimits(concurrency=3)) as gateway:
        pending = [gateway.submit(question(str(n))) for n in range(30)]
        assert {reply.result(30).text for reply in pending} == {f"you said {n}" for n in range(30)}
        assert server.most_at_once == 3


def test_a_stream_comes_in_pieces_and_whole_at_the_end(server: ModelServer) -> None:
    with gateway_to(server) as gateway:
        pieces, whole = asyncio.run(read(gateway, question("a fine day")))
    assert pieces == ["you ", "said ", "a ", "fine ", "day"]
    assert whole.text == "you said a fine day"
    assert whole.usage.input_tokens == 3
    assert whole.usage.output_tokens == 5
    metrics = gateway.metrics()
    assert (metrics.answered, metrics.first_piece.samples) == (1, 1)


def test_a_reader_that_stops_ends_the_http_call(server: ModelServer) -> None:
    server.play([Served(text="one two three", break_after=1, hang=True)])

    async def leave(gateway: ModelGateway) -> None:
        stream = gateway.stream(question())
        assert (await anext(stream)) is not None
        await stream.aclose()  # type: ignore[attr-defined] # it is a generator

    with gateway_to(server) as gateway:
        asyncio.run(leave(gateway))
        eventually(lambda: server.left == 1 and server.running == 0)
        eventually(lambda: gateway.metrics().cancelled == 1)
        assert gateway.ask_blocking(question("still there?"), 10).text == "you said still there?"


def test_a_cancelled_await_ends_the_http_call(server: ModelServer) -> None:
    server.play([Served(hang=True)])

    async def give_up(gateway: ModelGateway) -> None:
        asked = asyncio.ensure_future(gateway.ask(question()))
        await asyncio.to_thread(eventually, lambda: server.running == 1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    with gateway_to(server) as gateway:
        asyncio.run(give_up(gateway))
        eventually(lambda: server.left == 1 and server.running == 0)
        eventually(lambda: gateway.metrics().cancelled == 1)


def test_a_thread_that_stops_waiting_ends_the_http_call(server: ModelServer) -> None:
    server.play([Served(hang=True)])
    with gateway_to(server) as gateway:
        with pytest.raises(WaitTimeout):
            gateway.ask_blocking(question(), 0.2)
        eventually(lambda: server.left == 1)


def test_closing_ends_running_requests_with_an_error_and_leaves_no_thread(server: ModelServer) -> None:
    server.play(lambda _: Served(hang=True))
    gateway = gateway_to(server, limits=RateLimits(concurrency=4))
    pending = [gateway.submit(question(str(n))) for n in range(10)]
    stream = gateway.stream_blocking(question("stream"))
    eventually(lambda: server.running == 4)
    gateway.close()
    gateway.close()
    for reply in pending:
        with pytest.raises(GatewayClosed, match="keep it open"):
            reply.result(5)
    with pytest.raises(GatewayClosed):
        next(stream)
    with pytest.raises(GatewayClosed):
        gateway.submit(question())
    assert gateway.closed
    eventually(lambda: server.running == 0)
    eventually(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("models")])


def test_a_request_during_the_closing_gets_a_reply_or_an_error_and_never_hangs() -> None:
    for _ in range(20):
        gateway = ModelGateway(ScriptedModel(lambda _: "yes"))
        outcomes: list[object] = []

        def ask() -> None:
            while True:
                try:
                    outcomes.append(gateway.ask_blocking(question(), 10).text)
                except GatewayClosed:
                    outcomes.append(None)
                    return

        run_together(ask, ask, ask, gateway.close, timeout=20)
        assert outcomes.count(None) == 3


def test_async_with_closes_it_without_blocking_the_loop() -> None:
    async def main() -> str:
        async with ModelGateway(ScriptedModel(["yes"])) as gateway:
            reply = await gateway.ask(question())
        assert gateway.closed
        return reply.text

    assert asyncio.run(main()) == "yes"


def test_a_gateway_is_a_model_and_may_stand_behind_another() -> None:
    with ModelGateway(ScriptedModel(["deep"])) as inner, ModelGateway(inner, name="outer") as outer:
        assert outer.ask_blocking(question(), 10).text == "deep"
        assert inner.metrics().answered == outer.metrics().answered == 1


def test_blocking_on_the_gateways_own_thread_is_refused_and_not_a_deadlock() -> None:
    gateways: list[ModelGateway] = []

    def answer(_: ModelRequest) -> str:
        return gateways[0].ask_blocking(question()).text

    with ModelGateway(ScriptedModel(answer)) as gateway:
        gateways.append(gateway)
        with pytest.raises(ModelError, match="use await"):
            gateway.ask_blocking(question(), 10)


def test_a_model_that_raises_anything_else_ends_the_ask_with_a_model_error() -> None:
    with (
        ModelGateway(ScriptedModel([KeyError("broken"), "well"])) as gateway,
        pytest.raises(ModelError, match="KeyError: 'broken'") as caught,
    ):
        gateway.ask_blocking(question(), 10)
    assert isinstance(caught.value.__cause__, KeyError)


def test_metrics_count_every_end_and_are_taken_while_requests_run() -> None:
    model = ScriptedModel(lambda request: ModelReply(text="x") if "good" in request.agent else KeyError("bad"))
    with ModelGateway(model) as gateway:
        done = threading.Event()
        seen: list[int] = []

        def look() -> None:
            while not done.is_set():
                seen.append(gateway.metrics().asked)
                gateway.metrics_by_agent()

        def ask() -> None:
            try:
                for n in range(200):
                    pending = gateway.submit(question(str(n), agent=("good", "bad")[n % 2]))
                    assert pending.wait(10)
            finally:
                done.set()

        run_together(look, ask)
        assert seen == sorted(seen)
        good, bad = (gateway.metrics_by_agent()[name] for name in ("good", "bad"))
        assert (good.answered, good.failed, bad.answered, bad.failed) == (100, 0, 0, 100)
        assert bad.errors == {"KeyError": 100}
        assert good.latency.samples == 100
        assert 0 < good.latency.median <= good.latency.p95 <= good.latency.p99


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"limits": 3}, "ModelGateway.limits"),
        ({"timeouts": None}, "ModelGateway.timeouts"),
        ({"budget": {"requests": 1}}, "ModelGateway.budget"),
        ({"base_url": "http://x"}, "ModelGateway.base_url"),
        ({"record": 5}, "ModelGateway.record"),
        ({"replay": b"x"}, "ModelGateway.replay"),
        ({"prices": {"x": 5}}, "ModelGateway.prices"),
        ({"agent_budgets": [1]}, "ModelGateway.agent_budgets"),
    ],
)
def test_invalid_settings_are_named(settings: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidSetting, match=named):
        ModelGateway(ScriptedModel([]), **settings)  # type: ignore[arg-type]


def test_neither_does_a_model_that_is_none_nor_a_request_that_is_none() -> None:
    with pytest.raises(InvalidSetting, match=r"ModelGateway\.model=7: need a Model, or a model string"):
        ModelGateway(7)  # type: ignore[arg-type]
    with ModelGateway(ScriptedModel([])) as gateway, pytest.raises(InvalidSetting, match="need a ModelRequest"):
        gateway.ask_blocking("hello")  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting, match=r"Limits\.concurrency=0"):
        RateLimits(concurrency=0)
    with pytest.raises(InvalidSetting, match=r"Timeouts\.total"):
        Timeouts(total=0)


def test_a_cancel_that_comes_before_the_loop_has_begun_is_not_lost(server: ModelServer) -> None:
    server.play(lambda _: Served(hang=True))
    with gateway_to(server) as gateway:
        for n in range(50):
            pending = gateway.submit(question(str(n)))
            pending.cancel()
            assert pending.wait(10)
        eventually(lambda: server.running == 0)


def test_callers_of_a_model_that_blocks_the_loop_learn_of_the_end() -> None:
    blocked = threading.Event()

    def block(_: ModelRequest) -> str:
        blocked.wait(20)
        return "late"

    gateway = ModelGateway(ScriptedModel(block))
    pending = gateway.submit(question())
    try:
        with pytest.raises(ModelError, match="something in it blocks"):
            gateway.close(timeout=0.1)
        with pytest.raises(GatewayClosed):
            pending.result(5)
    finally:
        blocked.set()
