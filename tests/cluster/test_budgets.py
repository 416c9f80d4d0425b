"""Limits that several gateways share, on a clock of the test, without Ray."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from coterie import AgentRef, Runtime
from coterie.cluster import Cluster, ClusterLimits
from coterie.cluster.budgets import EndModelTurn, ModelBudgetKeeper, _Lender
from coterie.errors import BudgetExhausted
from coterie.errors.models import ModelUnavailable, RateLimited
from coterie.models import Budget, ModelGateway, ModelReply, ModelRequest, RateLimits, RuleModel, TextMessage, Usage
from coterie.testing import ManualClock
from coterie.testing.waiting import eventually, wait_until_idle


class OneProcess:
    """What limits need of a cluster, in one runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self.settings = SimpleNamespace(store="")
        self.runtime = runtime
        self.spawned = 0

    def find(self, name: str) -> AgentRef | None:
        return self.runtime.find(name)

    def spawn(self, *arguments: Any, name: str) -> AgentRef:
        self.spawned += 1
        return self.runtime.spawn(ModelBudgetKeeper, *arguments[1:], name=name)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def place(clock: ManualClock) -> Iterator[OneProcess]:
    with Runtime(clock=clock) as runtime:
        yield OneProcess(runtime)


def limits(place: OneProcess, name: str = "shared", **options: Any) -> ClusterLimits:
    return ClusterLimits(cast("Cluster", place), name, **options)


def question(text: str = "how much?") -> ModelRequest:
    return ModelRequest(exchanges=(TextMessage("user", text),), agent="ada")


def gateway(shared: ClusterLimits, clock: ManualClock, answered: list[float]) -> ModelGateway:
    def answer(request: ModelRequest) -> str:
        answered.append(clock.monotonic())
        return "ten"

    return ModelGateway(RuleModel(answer), shared=shared, clock=clock)


def test_rates_hold_for_all_gateways_together(place: OneProcess, clock: ManualClock) -> None:
    shared, answered = limits(place, limits=RateLimits(requests_per_minute=2)), list[float]()
    with gateway(shared, clock, answered) as one, gateway(shared, clock, answered) as other:
        assert one.submit(question()).result(20).text == "ten"
        assert other.submit(question()).result(20).text == "ten"
        waiting = one.submit(question())

        def over() -> bool:
            if clock.monotonic() < 75.0:
                clock.advance(1.0)
            return waiting.done

        eventually(over, timeout=20.0)
        assert waiting.result(20).text == "ten"
    assert answered[2] - answered[0] >= 60.0
    assert place.spawned == 1


def test_a_budget_holds_for_all_gateways_together_and_says_so(place: OneProcess, clock: ManualClock) -> None:
    shared, answered = limits(place, budget=Budget(requests=3)), list[float]()
    with gateway(shared, clock, answered) as one, gateway(shared, clock, answered) as other:
        for each in (one, other, one):
            each.submit(question()).result(20)
        for each in (one, other):
            with pytest.raises(BudgetExhausted, match="budget of requests of the run is exhausted: 3 of 3"):
                each.submit(question()).result(20)
    assert len(answered) == 3


def test_a_request_whose_gateway_has_died_is_booked_by_its_estimate(place: OneProcess) -> None:
    shared = limits(place, budget=Budget(tokens=400))

    async def leave() -> None:
        turn = shared.turn(question())
        await turn.__aenter__()
        # Nothing is heard of it any more: the turn is dropped, and its stream with it.

    async def use(tokens: int) -> None:
        async with shared.turn(question()) as turn:
            turn.usage = Usage(tokens, 0)

    asyncio.run(use(10))
    asyncio.run(leave())
    # 10 are known, and more than 256 are estimated.
    with pytest.raises(BudgetExhausted, match="tokens"):
        asyncio.run(asyncio.wait_for(_exhaust(use), 20))


async def _exhaust(use: Any) -> None:
    for _ in range(14):
        await use(10)


def test_a_budget_without_a_store_ends_with_its_agent_and_nothing_more_is_sent(place: OneProcess) -> None:
    shared = limits(place, budget=Budget(requests=3))

    async def use() -> None:
        async with shared.turn(question()) as turn:
            turn.usage = Usage(1, 1)

    asyncio.run(use())
    keeper = place.find("budget-shared")
    assert keeper is not None
    keeper.stop().result(20)
    with pytest.raises(ModelUnavailable, match="the spending of 'shared' was lost with its node"):
        asyncio.run(use())


def test_with_a_store_rates_rest_also_for_a_gateway_that_is_new(
    place: OneProcess, clock: ManualClock, postgres_url: str
) -> None:
    place.settings.store = postgres_url
    rates = RateLimits(requests_per_minute=2)
    first, second, answered = limits(place, limits=rates), limits(place, limits=rates), list[float]()
    with gateway(first, clock, answered) as one, gateway(second, clock, answered) as other:
        for _ in range(2):
            one.submit(question()).result(20)
        keeper = place.find("budget-shared")
        assert keeper is not None
        keeper.stop().result(20)
        waiting = other.submit(question())

        def over() -> bool:
            clock.advance(0.1)
            return waiting.done

        eventually(over, timeout=20.0)
        assert waiting.result(20).text == "ten"
    # The time of the database goes on meanwhile, a little.
    assert answered[2] - answered[1] > 30.0


def test_rates_begin_after_a_minute_of_rest_when_their_agent_moves(place: OneProcess, clock: ManualClock) -> None:
    shared, answered = limits(place, limits=RateLimits(requests_per_minute=2)), list[float]()
    with gateway(shared, clock, answered) as one:
        for _ in range(2):
            one.submit(question()).result(20)
        keeper = place.find("budget-shared")
        assert keeper is not None
        keeper.stop().result(20)
        waiting = one.submit(question())
        # The new agent knows nothing of the two requests, so it lets none through before they are a minute old.
        eventually(lambda: place.spawned == 2 and place.find("budget-shared") is not None, timeout=20.0)
        wait_until_idle(place.runtime)
        clock.advance(59.0)
        wait_until_idle(place.runtime)
        assert not waiting.done
        clock.advance(1.0)
        assert waiting.result(20).text == "ten"
    assert answered[1] == 0.0
    assert answered[2] == 60.0


@pytest.mark.parametrize("retry_after", [None, 2.0])
def test_the_model_within_the_policies_answers_with_what_a_turn_has_used(retry_after: float | None) -> None:
    async def ask() -> ModelReply:
        ends = {"one": asyncio.get_running_loop().create_future()}
        ends["one"].set_result(EndModelTurn("one", Usage(3, 4), retry_after))
        return await _Lender("limits", ends).ask(ModelRequest(step="one"))

    if retry_after is None:
        assert asyncio.run(ask()).usage == Usage(3, 4)
    else:
        with pytest.raises(RateLimited):
            asyncio.run(ask())
