"""Budgets: exact, in time, and to be taken up again."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.errors import BudgetExhausted, InvalidSetting
from coterie.kernel import Checkpointable, Codec
from coterie.models import Budget, ModelGateway, ModelReply, Price, RateLimits, Usage
from coterie.models.policies.budgets import BudgetLedger, Reservation, TokenEstimator
from coterie.testing import ManualClock, ModelServer, ScriptedModel, Served, eventually, run_together
from tests.models.asking import SOON, gateway_to, planned, question


def try_often(gateway: ModelGateway, times: int, agent: str = "") -> list[BudgetExhausted]:
    refusals = []
    for n in range(times):
        try:
            gateway.ask_blocking(question(str(n), agent=agent), 30)
        except BudgetExhausted as error:
            refusals.append(error)
    return refusals


def test_a_budget_of_requests_is_exact_however_many_threads_ask(server: ModelServer) -> None:
    refused: list[BudgetExhausted] = []
    with gateway_to(server, budget=Budget(requests=50)) as gateway:
        run_together(*[lambda: refused.extend(try_often(gateway, 10)) for _ in range(16)], timeout=50)
        assert len(server.requests) == 50
        assert len(refused) == 110
        assert gateway.spent().requests == 50
    assert (refused[0].which, refused[0].agent, refused[0].limit, refused[0].spent) == ("requests", "", 50, 50)
    assert "the budget of requests of the run is exhausted: 50 of 50 are spent" in str(refused[0])


def test_retries_count_too_so_that_no_more_reach_the_provider(server: ModelServer) -> None:
    server.play(lambda _: Served.failing())
    with gateway_to(server, budget=Budget(requests=2), retry=SOON) as gateway, pytest.raises(BudgetExhausted):
        gateway.ask_blocking(question(), 10)
    assert len(server.requests) == 2


def test_each_agent_has_its_own_budget_and_some_another() -> None:
    with ModelGateway(
        ScriptedModel(lambda _: "ok"), agent_budget=Budget(requests=3), agent_budgets={"rich": Budget(requests=7)}
    ) as gateway:
        refusals = {name: try_often(gateway, 10, name) for name in ("ann", "bob", "rich")}
        assert {name: len(each) for name, each in refusals.items()} == {"ann": 7, "bob": 7, "rich": 3}
        assert "the agent 'ann'" in str(refusals["ann"][0])
        assert gateway.spent("rich").requests == 7
        assert gateway.spent().requests == 13


@pytest.mark.parametrize("which", ["requests", "tokens", "dollars"])
def test_a_budget_of_zero_asks_nothing(server: ModelServer, which: str) -> None:
    with gateway_to(server, budget=Budget(**{which: 0})) as gateway:
        with pytest.raises(BudgetExhausted) as caught:
            gateway.ask_blocking(question(), 10)
        with pytest.raises(BudgetExhausted):
            list(gateway.stream_blocking(question(), 10))
    assert (caught.value.which, len(server.requests)) == (which, 0)


def test_tokens_are_spent_as_the_provider_counts_them() -> None:
    model = ScriptedModel(lambda _: ModelReply(text="x", usage=Usage(60, 40)))
    with ModelGateway(model, budget=Budget(tokens=500)) as gateway:
        refusals = try_often(gateway, 8)
        assert (gateway.spent().tokens, len(refusals), refusals[0].which) == (500, 3, "tokens")


def test_concurrent_requests_wait_for_the_real_usage_of_others_before_they_are_refused() -> None:
    model = ScriptedModel(lambda _: ModelReply(text="x", usage=Usage(5, 5)))
    with ModelGateway(model, budget=Budget(tokens=400)) as gateway:
        pending = [gateway.submit(question(str(n))) for n in range(60)]
        ended = []
        for reply in pending:
            try:
                ended.append(reply.result(20).text)
            except BudgetExhausted:
                ended.append("refused")
        assert (ended.count("x"), ended.count("refused")) == (len(model.requests), 60 - len(model.requests))
        assert 390 <= gateway.spent().tokens <= 400


def test_dollars_are_spent_by_the_price_of_the_model_and_by_a_price_that_is_given() -> None:
    model = ScriptedModel(lambda _: ModelReply(text="x", usage=Usage(500_000, 250_000)))
    prices = {"scripted": Price(input=1.0, output=2.0)}
    with ModelGateway(model, budget=Budget(dollars=3.0), prices=prices) as gateway:
        assert len(try_often(gateway, 5)) == 2
        assert gateway.spent().dollars == 3.0
        assert gateway.metrics().dollars == 3.0


def test_a_known_model_has_its_public_price(server: ModelServer) -> None:
    server.play(lambda _: Served(text="x", usage=(1_000_000, 1_000_000)))
    with gateway_to(server) as gateway:
        cost = gateway.ask_blocking(question(), 10).usage.cost
    assert cost is not None
    assert 0.5 < cost < 1.5


def test_dollars_of_a_model_without_a_price_cannot_be_kept_and_that_is_said_at_once() -> None:
    with pytest.raises(InvalidSetting, match=r"prices={'scripted': Price"):
        ModelGateway(ScriptedModel([]), agent_budget=Budget(dollars=1.0))


def test_a_spent_budget_refuses_all_waiting_requests_at_once() -> None:
    clock = ManualClock()
    with ModelGateway(
        ScriptedModel(lambda _: "ok"), budget=Budget(requests=2), limits=RateLimits(requests_per_minute=2), clock=clock
    ) as gateway:
        pending = [gateway.submit(question(str(n))) for n in range(20)]
        eventually(lambda: all(reply.done for reply in pending), what="that nobody waits for the next minute")
        assert gateway.metrics().errors == {"BudgetExhausted": 18}
        assert 60.0 not in planned(gateway)


def test_one_agents_spent_budget_turns_away_only_its_own() -> None:
    clock = ManualClock()
    with ModelGateway(
        ScriptedModel(lambda _: "ok"), agent_budget=Budget(requests=1), limits=RateLimits(requests_per_minute=2), clock=clock
    ) as gateway:
        ann = [gateway.submit(question(str(n), agent="ann")) for n in range(5)]
        bob = [gateway.submit(question(str(n), agent="bob")) for n in range(1)]
        cleo = [gateway.submit(question(str(n), agent="cleo")) for n in range(1)]
        eventually(lambda: all(reply.done for reply in (*ann, *bob)))
        assert gateway.metrics_by_agent()["ann"].errors == {"BudgetExhausted": 4}
        eventually(lambda: 60.0 in planned(gateway))
        assert not cleo[0].done
        clock.advance(60)
        assert [each.result(10).text for each in (*bob, *cleo)] == ["ok", "ok"]


def test_a_gateway_with_a_larger_budget_restores_the_spending() -> None:
    codec = Codec()
    model = ScriptedModel(lambda _: ModelReply(text="x", usage=Usage(3, 4)))
    with ModelGateway(model, budget=Budget(requests=3), agent_budget=Budget(requests=3)) as gateway:
        assert isinstance(gateway, Checkpointable)
        assert len(try_often(gateway, 5, "ann")) == 2
        kept = codec.encode(gateway.snapshot())
    with ModelGateway(model, budget=Budget(requests=5), agent_budget=Budget(requests=5)) as gateway:
        gateway.restore(codec.decode(kept, dict))
        assert (gateway.spent().requests, gateway.spent("ann").tokens) == (3, 21)
        assert len(try_often(gateway, 4, "ann")) == 2
        assert gateway.spent("ann").requests == 5
    assert len(model.requests) == 5


def test_a_state_that_is_none_is_refused() -> None:
    with ModelGateway(ScriptedModel([])) as gateway, pytest.raises(InvalidSetting, match="a state that snapshot returned"):
        gateway.restore({"asked": [], "spent": {"run": {"requests": "many"}}})


def test_a_stream_that_is_left_early_costs_its_estimate() -> None:
    async def leave(gateway: ModelGateway) -> None:
        stream = gateway.stream(question())
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined] # it is a generator

    with ModelGateway(ScriptedModel(lambda _: "one two " * 2_000)) as gateway:
        asyncio.run(leave(gateway))
        eventually(lambda: gateway.metrics().asked == 1)
        assert gateway.spent().tokens > 0


OPERATIONS = st.lists(st.tuples(st.sampled_from(["reserve", "reserve", "settle", "release"]), st.integers(0, 120)), max_size=60)


@given(OPERATIONS, st.integers(0, 15), st.integers(0, 600))
def test_a_ledger_never_spends_more_than_it_has_if_nothing_takes_more_than_expected(
    operations: list[tuple[str, int]], requests: int, tokens: int
) -> None:
    async def run() -> None:
        ledger = BudgetLedger(
            Budget(requests=requests, tokens=tokens), Budget(), {}, TokenEstimator(), lambda _prompt, _reply: None
        )
        held: list[Reservation] = []
        settled = sent = 0
        for what, amount in operations:
            if what == "reserve":
                waiting = asyncio.ensure_future(ledger.reserve(question("x" * 40, max_tokens=amount)))
                await asyncio.sleep(0)
                if not waiting.done():
                    assert held, "it waits only for what is under way"
                    waiting.cancel()
                await asyncio.wait([waiting])
                if not waiting.cancelled() and waiting.exception() is None:
                    held.append(waiting.result())
                    sent += 1
            elif held and what == "settle":
                reservation = held.pop(amount % len(held))
                took = min(amount, reservation.tokens)
                ledger.settle(reservation, Usage(took, 0))
                ledger.release(reservation)
                settled += took
            elif held:
                ledger.release(held.pop())
            assert ledger.spent.requests == sent <= requests
            assert ledger.spent.tokens == settled
            alone = len(held) == 1
            assert alone or settled + sum(each.tokens for each in held) <= max(tokens, settled)

    asyncio.run(run())


@pytest.mark.parametrize("settings", [{"requests": -1}, {"requests": 1.5}, {"tokens": True}, {"dollars": "much"}])
def test_an_invalid_budget_is_named(settings: dict[str, object]) -> None:
    with pytest.raises(InvalidSetting, match=r"Budget\."):
        Budget(**settings)  # type: ignore[arg-type]
