"""Many threads that ask, leave, cancel and close, at the finest interleaving."""

import asyncio
import os
import random
import sys
from collections.abc import Callable, Iterator

import pytest

from coterie.errors import GatewayClosed, ModelError, ModelUnavailable
from coterie.models import Budget, ModelGateway, ModelReply, ModelRequest, RateLimits
from coterie.testing import ModelServer, ScriptedModel, Served, checked_locks, eventually, run_together
from coterie.work import Retry

pytestmark = pytest.mark.stress
ROUNDS = 40 if os.environ.get("COTERIE_STRESS") else 3


@pytest.fixture(autouse=True)
def fine_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def flaky(seed: int) -> Callable[[ModelRequest], ModelReply | Exception]:
    dice = random.Random(seed)
    return lambda request: ModelReply(text=request.step) if dice.random() < 0.7 else ModelUnavailable("m", "chance")


async def live(gateway: ModelGateway, name: str, seed: int) -> int:
    """Ask, stream, leave and cancel by chance; return how many replies came, each of them to its own request."""
    dice = random.Random(seed)
    answered = 0
    for n in range(15):
        request = ModelRequest(agent=name, step=f"{name} {n}", priority=dice.randrange(3))
        what = dice.random()
        try:
            if what < 0.5:
                answered += (await gateway.ask(request)).text == request.step
            elif what < 0.7:
                async for piece in gateway.stream(request):
                    answered += isinstance(piece, ModelReply) and piece.text == request.step
            elif what < 0.85:
                stream = gateway.stream(request)
                await anext(stream)
                await stream.aclose()  # type: ignore[attr-defined] # it is a generator
            else:
                task = asyncio.ensure_future(gateway.ask(request))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        except ModelError:
            continue
    return answered


def test_whatever_agents_do_every_request_ends_and_the_counts_add_up() -> None:
    for round_ in range(ROUNDS):
        with checked_locks() as violations:
            limits = RateLimits(concurrency=3)
            retry = Retry(2, initial=0.0, on=ModelUnavailable)
            model = ScriptedModel(flaky(round_))
            with ModelGateway(model, limits=limits, retry=retry, budget=Budget(requests=150)) as gateway:
                run_together(*[lambda n=n: asyncio.run(live(gateway, f"a{n}", round_ * 16 + n)) for n in range(12)], timeout=60)
                eventually(lambda: not gateway._running._tasks)
                assert gateway.spent().requests == len(model.requests) <= 150
                assert model.running == 0
                assert model.most_at_once <= 3
                metrics = gateway.metrics()
                assert metrics.asked == metrics.answered + metrics.failed + metrics.cancelled
        assert violations == []


def test_a_gateway_that_is_closed_in_the_middle_leaves_no_caller_waiting() -> None:
    for round_ in range(ROUNDS):
        gateway = ModelGateway(ScriptedModel(flaky(round_), delay=0.001), limits=RateLimits(concurrency=4))
        ended: list[int] = []

        def ask(seed: int) -> None:
            for n in range(1000):
                try:
                    if (n + seed) % 2:
                        gateway.ask_blocking(ModelRequest(step=str(n)), 20)
                    else:
                        list(gateway.stream_blocking(ModelRequest(step=str(n)), 20))
                except GatewayClosed:
                    ended.append(seed)
                    return
                except ModelError:
                    continue

        def close() -> None:
            eventually(lambda: gateway.metrics().asked > 5)
            gateway.close()

        run_together(*[lambda n=n: ask(n) for n in range(8)], close, timeout=60)
        assert sorted(ended) == list(range(8))


def test_over_http_the_same_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    dice = random.Random(3)
    faults = [Served(), Served(), Served.failing(), Served(break_after=0), Served(break_after=1), Served(body="{")]
    for _ in range(ROUNDS):
        with (
            ModelServer(lambda _: dice.choice(faults)) as server,
            ModelGateway("openai:any", base_url=server.url, retry=Retry(2, initial=0.0, on=ModelError)) as gateway,
        ):
            run_together(*[lambda n=n: asyncio.run(live(gateway, f"a{n}", n)) for n in range(6)], timeout=60)
            eventually(lambda: not gateway._running._tasks)
            eventually(lambda: server.running == 0)
            assert gateway.spent().requests >= gateway.metrics().answered
