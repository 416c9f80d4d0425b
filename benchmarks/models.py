"""What the model gateway costs, over the bare call of Pydantic AI on one loop, over real HTTP to another process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeAlias

from benchmarks.harness import Row, compare
from coterie.models import ModelGateway, ModelRequest, RateLimits, TextMessage
from coterie.testing import ModelServer, ScriptedModel

Call: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
Work: TypeAlias = Callable[[Call], Coroutine[Any, Any, None]]

_SEQUENCE = 100
_AT_ONCE = 16


@contextlib.contextmanager
def served() -> Iterator[str]:
    """Run a model server in a process of its own, and yield its address."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.models"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def request() -> ModelRequest:
    return ModelRequest(
        instructions="Be kind.", exchanges=(TextMessage("user", "Hello there, how are you?"),), agent="a", step="1"
    )


def all_rows() -> list[Row]:
    with served() as url:
        return [*overhead(url), alone()]


def overhead(url: str) -> list[Row]:
    from pydantic_ai.direct import model_request  # noqa: PLC0415 - an extra
    from pydantic_ai.messages import ModelRequest as BareRequest  # noqa: PLC0415 - as above
    from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415 - as above
    from pydantic_ai.providers.openai import OpenAIProvider  # noqa: PLC0415 - as above

    os.environ.setdefault("OPENAI_API_KEY", "none")
    loop = asyncio.new_event_loop()
    model = OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(base_url=url))
    gateway = ModelGateway("openai:gpt-4o-mini", base_url=url, limits=RateLimits(concurrency=_AT_ONCE))

    async def bare() -> None:
        asked = BareRequest.user_text_prompt("Hello there, how are you?", instructions="Be kind.")
        response = await model_request(model, [asked])
        assert response.text

    async def ours() -> None:
        assert (await gateway.ask(request())).text

    async def in_turn(one: Call) -> None:
        for _ in range(_SEQUENCE):
            await one()

    async def at_once(one: Call) -> None:
        for _ in range(_SEQUENCE // _AT_ONCE + 1):
            await asyncio.gather(*[one() for _ in range(_AT_ONCE)])

    def seconds(work: Work, one: Call, count: int) -> float:
        began = time.perf_counter()
        loop.run_until_complete(work(one))
        return (time.perf_counter() - began) / count

    def row(what: str, work: Work, count: int) -> Row:
        times = compare(
            {"bare": lambda: seconds(work, bare, count), "gateway": lambda: seconds(work, ours, count)}, rounds=15
        ).rates
        extra = statistics.median(one - other for one, other in zip(times["gateway"], times["bare"], strict=True))
        figure = f"{extra * 1e3:.2f} ms more than {statistics.median(times['bare']) * 1e3:.2f} ms"
        return Row(f"gateway over the bare Pydantic AI call, {what}", figure, "< 1 ms", extra < 1e-3)

    rows = [
        row("in turn", in_turn, _SEQUENCE),
        row(f"{_AT_ONCE} at once", at_once, (_SEQUENCE // _AT_ONCE + 1) * _AT_ONCE),
    ]
    gateway.close()
    loop.run_until_complete(model.client.close())
    loop.close()
    return rows


def alone() -> Row:
    """What the gateway itself costs, without any provider."""
    with ModelGateway(ScriptedModel(lambda _: "yes")) as gateway:
        asked = request()
        for _ in range(200):
            gateway.ask_blocking(asked)
        took = []
        for _ in range(5):
            began = time.perf_counter()
            for _ in range(500):
                gateway.ask_blocking(asked)
            took.append((time.perf_counter() - began) / 500)
    return Row("an ask through the gateway to a model that answers at once", f"{statistics.median(took) * 1e6:.0f} µs")


if __name__ == "__main__":
    with ModelServer() as server:
        print(server.url, flush=True)
        sys.stdin.read()
