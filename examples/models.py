"""Four agents ask one model through one gateway, within its limits and a budget; then the run is replayed offline."""

import tempfile
from pathlib import Path

from coterie import Agent, Request, Runtime, on
from coterie.errors import BudgetExhausted
from coterie.models import Budget, ModelGateway, ModelRequest, RateLimits, TextMessage, cost_table
from coterie.testing import ModelServer


class Discuss(Request[list[str]]):
    topic: str


class Guest(Agent):
    @on
    async def discuss(self, message: Discuss) -> list[str]:
        gateway = self.context.use(ModelGateway)
        said = []
        for step in range(3):
            request = ModelRequest(
                instructions="Answer in one sentence.",
                exchanges=(TextMessage("user", f"{message.topic} {step}"),),
                agent=self.context.self_ref.name,
                step=f"question {step}",
            )
            try:
                said.append((await gateway.ask(request)).text)
            except BudgetExhausted as error:
                said.append(f"(no more {error.which})")
        return said


def run(gateway: ModelGateway) -> list[list[str]]:
    with Runtime() as runtime:
        runtime.provide(gateway)
        guests = [runtime.spawn(Guest, name=name) for name in ("ann", "bob", "cleo", "dan")]
        replies = [guest.ask(Discuss(topic="fish?")) for guest in guests]
        return [reply.result(30) for reply in replies]


with tempfile.TemporaryDirectory() as folder, ModelServer() as server:
    recording = Path(folder) / "run.jsonl"
    # A real provider: ModelGateway("openai:gpt-5-mini", ...), with its key in the environment.
    with ModelGateway(
        "openai:gpt-4o-mini",
        base_url=server.url,
        limits=RateLimits(concurrency=2, requests_per_minute=600),
        agent_budget=Budget(requests=2),
        record=recording,
    ) as gateway:
        recorded = run(gateway)
        print(recorded[0])
        print(f"{cost_table(gateway)[-1].requests} answers, at most {server.most_at_once} at once")
    server.close()
    with ModelGateway("openai:gpt-4o-mini", replay=recording) as gateway:
        print("replayed the same:", run(gateway) == recorded)
