"""Personas played by a model over real HTTP, beside what would be ideal and beside the bare calls; and a thousand by rules."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp

from benchmarks.harness import Row, Spread
from coterie import Runtime
from coterie.models import Model, ModelGateway, ModelReply, ModelRequest, RateLimits, TextDelta
from coterie.personas import (
    Mind,
    ModelMind,
    Persona,
    Population,
    RuleMind,
    hear,
    heard,
    say,
    social_resolver,
    social_round,
    when,
)
from coterie.rounds import Mode, Simulation
from coterie.testing import ModelServer, Served
from coterie.world import World

AGENTS = 100
ROUNDS = 10
CALL = 0.05
_REPEATS = 5
_TEXT = json.dumps({"actions": [{"type": "TALK", "content": "Good morning to you all."}, {"type": "DONE"}]})


@contextlib.contextmanager
def served(call: float) -> Iterator[str]:
    """Run a model server that takes `call` seconds for a reply in a process of its own, and yield its address."""
    command = [sys.executable, "-m", "benchmarks.personas", str(call)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def seconds_of(names: list[str], rounds: int, mind: Callable[[Persona], Mind]) -> tuple[float, float]:
    """Return how long it takes to load that many personas, and what a round of their simulation takes."""
    with Runtime() as runtime:
        cast = Population(runtime, mind=mind)
        began = time.perf_counter()
        members = {name: cast.add(Persona.of(name, age=30, occupation="Clerk"), name=name).agent for name in names}
        loaded = time.perf_counter() - began
        world = World({f"heard/{name}": [] for name in names} | {f"accessible/{name}": {} for name in names})
        simulation = Simulation(
            world, members, social_round(), mode=Mode.LOCKSTEP, resolver=social_resolver(), settle=hear, turn_timeout=120
        )
        result = simulation.run(rounds)
        assert result.forfeits == 0
        return loaded, result.seconds / rounds


class Noting:
    """A model that keeps the requests that it is asked, to ask them again barely."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.requests: list[ModelRequest] = []
        self.name = model.name
        self.stream = model.stream

    async def ask(self, request: ModelRequest) -> ModelReply:
        self.requests.append(request)
        return await self.model.ask(request)

    def __deepcopy__(self, memo: object) -> Noting:
        return self


class Sleeping:
    """A model in the process, which sleeps for the time of a call."""

    name = "sleeping"

    async def ask(self, request: ModelRequest) -> ModelReply:  # noqa: ARG002 - every request has the same answer
        await asyncio.sleep(CALL)
        return ModelReply(text=_TEXT)

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        yield await self.ask(request)


def in_process() -> list[float]:
    """Return the seconds of ten rounds of a hundred personas with a model in the process."""
    names = [f"persona {number}" for number in range(AGENTS)]
    return [ROUNDS * seconds_of(names, ROUNDS, lambda _: ModelMind(Sleeping()))[1] for _ in range(_REPEATS)]


async def plainly(url: str, requests: list[ModelRequest]) -> float:
    """Return the seconds of the same requests, a hundred at once, by a bare client of aiohttp on connections that are kept."""
    bodies = [
        json.dumps(
            {
                "model": "any",
                "messages": [
                    {"role": "system", "content": each.instructions},
                    *({"role": "user", "content": getattr(message, "text", "")} for message in each.exchanges),
                ],
            }
        ).encode()
        for each in requests
    ]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(body: bytes) -> object:
            async with session.post(f"{url}/chat/completions", data=body) as response:
                return json.loads(await response.read())

        await asyncio.gather(*map(ask, bodies[:AGENTS]))  # connections are made
        began = time.perf_counter()
        for place in range(0, len(bodies), AGENTS):
            await asyncio.gather(*map(ask, bodies[place : place + AGENTS]))
        return time.perf_counter() - began


def played(call: float, rounds: int) -> tuple[list[float], list[float], list[float]]:
    """Return the seconds of rounds of a hundred personas, of the same requests by the gateway alone, and by a bare client."""
    names = [f"persona {number}" for number in range(AGENTS)]
    with served(call) as url, ModelGateway("openai:any", base_url=url, limits=RateLimits(concurrency=AGENTS)) as gateway:
        model = Noting(gateway)
        seconds_of(names, 1, lambda _: ModelMind(model))  # connections are made, modules loaded
        ours, bare, least = [], [], []
        for _ in range(_REPEATS):
            gc.collect()
            model.requests.clear()
            ours.append(rounds * seconds_of(names, rounds, lambda _: ModelMind(model))[1])
            requests = list(model.requests)
            gc.collect()

            async def ask_all(requests: list[ModelRequest] = requests) -> None:
                for place in range(0, len(requests), AGENTS):
                    await asyncio.gather(*map(gateway.ask, requests[place : place + AGENTS]))

            began = time.perf_counter()
            asyncio.run(ask_all())
            bare.append(time.perf_counter() - began)
            gc.collect()
            least.append(asyncio.run(plainly(url, requests)))
    return ours, bare, least


def in_turn(call: float) -> float:
    """Return the seconds that one thread takes for one persona's request, one after the other."""
    with served(call) as url, ModelGateway("openai:any", base_url=url) as gateway:
        _, seconds = seconds_of(["alone"], 20, lambda _: ModelMind(gateway))
    return seconds


def model_rows() -> Iterator[Row]:
    """A hundred personas ask a model that takes 50 ms, ten rounds, and one that takes 1 s, as real ones do."""
    os.environ.setdefault("OPENAI_API_KEY", "none")
    one = in_turn(CALL)
    for call, rounds in ((CALL, ROUNDS), (1.0, 1)):
        ours, bare, least = played(call, rounds)
        took, ideal = Spread.of(ours), rounds * call
        figure = f"{took} s, ideally {ideal:.2f} s; the same requests without personas {Spread.of(bare)} s"
        what = f"{AGENTS} personas, {rounds} rounds, calls of {call * 1e3:g} ms over HTTP"
        target = "1.0 s" if call == CALL else ""
        reached = Spread.of(ideal / seconds for seconds in ours)
        yield Row(what, figure, target, took.median <= 1.0 if target else None, reached)
        extra = Spread.of(a / b for a, b in zip(ours, bare, strict=True))
        # A persona's round also has its prompt, its action and a commit; only the bare requests are the provider's.
        yield Row(f"{what}: over its requests without personas", str(extra), "within 25 %", extra.median <= 1.25)
        # The server has the same two cores as its client, so this is what remains of the ideal on this machine.
        limit = Spread.of(a / b for a, b in zip(ours, least, strict=True))
        yield Row(
            f"{what}: the same requests alone, by a bare client", f"{Spread.of(least)} s; personas take {limit} of it", ""
        )
        if target:
            times = one * AGENTS * ROUNDS / took.median
            each = f"{one * AGENTS * ROUNDS:.0f} s ({one * 1e3:.0f} ms each): {times:.0f} times as long"
            yield Row("one thread in turn, for the same", each)
    took = Spread.of(in_process())
    what = f"{AGENTS} personas, {ROUNDS} rounds, a model of {CALL * 1e3:g} ms in the process"
    yield Row(what, f"{took} s, ideally {ROUNDS * CALL:.2f} s", "1.0 s", took.median <= 1.0)


def rule_rows() -> list[Row]:
    """A thousand personas are loaded, and act by rules."""
    names = [f"persona {number}" for number in range(1_000)]
    mind = RuleMind(when(heard(), say("Good morning to you too.")), say("Good morning."))
    figures = [seconds_of(names, 5, lambda _: mind) for _ in range(_REPEATS)]
    loaded, each = (statistics.median(values) for values in zip(*figures, strict=True))
    both = loaded + each
    return [
        Row(
            "1,000 personas load and act by rules in a round",
            f"loaded in {loaded:.2f} s, a round in {each:.2f} s",
            "< 2 s",
            both < 2,
        )
    ]


def all_rows() -> Iterator[Row]:
    yield from rule_rows()
    yield from model_rows()


if __name__ == "__main__":
    with ModelServer(lambda _: Served(text=_TEXT, delay=float(sys.argv[1]))) as server:
        print(server.url, flush=True)
        sys.stdin.read()
