"""Agents that ask through one gateway, under both dispatchers, over real HTTP."""

import pytest

from coterie import Agent, AskTimeout, Dedicated, Leased, Request, Runtime, on
from coterie.models import ModelGateway, RateLimits, TextDelta
from coterie.testing import ModelServer, Served, eventually
from tests.models.asking import gateway_to, question

DISPATCHERS = pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])


class Ask(Request[list[str]]):
    times: int = 1
    how: str = "await"


class Thinker(Agent):
    @on
    async def ask(self, message: Ask) -> list[str]:
        gateway = self.context.use(ModelGateway)
        name = self.context.self_ref.name
        said = []
        for n in range(message.times):
            request = question(f"{name} {n}", agent=name)
            if message.how == "await":
                said.append((await gateway.ask(request)).text)
            elif message.how == "block":
                said.append(gateway.ask_blocking(request).text)
            else:
                pieces = [piece.text async for piece in gateway.stream(request) if isinstance(piece, TextDelta)]
                said.append("".join(pieces))
        return said


@DISPATCHERS
@pytest.mark.parametrize("how", ["await", "block", "stream"])
def test_sixteen_agents_with_twenty_five_requests_each_lose_none(
    server: ModelServer, dispatcher: Leased | Dedicated, how: str
) -> None:
    times = 25 if how == "await" else 5
    with gateway_to(server, limits=RateLimits(concurrency=16)) as gateway, Runtime(dispatcher=dispatcher) as runtime:
        runtime.provide(gateway)
        agents = {f"agent-{n}": runtime.spawn(Thinker, name=f"agent-{n}") for n in range(16)}
        replies = {name: agent.ask(Ask(times=times, how=how), timeout=50) for name, agent in agents.items()}
        for name, reply in replies.items():
            assert reply.result(50) == [f"you said {name} {n}" for n in range(times)]
        assert len(server.requests) == 16 * times
        assert {name: each.answered for name, each in gateway.metrics_by_agent().items()} == dict.fromkeys(agents, times)


@DISPATCHERS
@pytest.mark.parametrize("how", ["await", "stream"])
def test_an_ask_that_runs_out_of_time_takes_its_http_call_with_it(
    server: ModelServer, dispatcher: Leased | Dedicated, how: str
) -> None:
    server.play(lambda _: Served(hang=True))
    with gateway_to(server) as gateway, Runtime(dispatcher=dispatcher) as runtime:
        runtime.provide(gateway)
        agent = runtime.spawn(Thinker)
        with pytest.raises(AskTimeout):
            agent.ask(Ask(how=how), timeout=0.5).result()
        eventually(lambda: server.left == 1 and server.running == 0)


@DISPATCHERS
def test_an_agent_that_is_stopped_takes_its_http_call_with_it(server: ModelServer, dispatcher: Leased | Dedicated) -> None:
    server.play(lambda _: Served(hang=True))
    with gateway_to(server) as gateway, Runtime(dispatcher=dispatcher) as runtime:
        runtime.provide(gateway)
        runtime.spawn(Thinker).tell(Ask())
        eventually(lambda: server.running == 1)
        runtime.stop(drain=False, timeout=5)
        eventually(lambda: server.left == 1 and server.running == 0)
