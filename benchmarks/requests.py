"""What one request costs in processor time, a hundred at once, from the bare HTTP client up to the gateway."""

from __future__ import annotations

import asyncio
import os
import statistics
import time

from benchmarks.harness import Row
from benchmarks.models import Call, request, served
from coterie.models import ModelGateway, RateLimits

_AT_ONCE = 100
_ROUNDS = 3


def all_rows() -> list[Row]:
    with served() as url:
        return asyncio.run(_rows(url))


async def _rows(url: str) -> list[Row]:
    import httpx2  # noqa: PLC0415 - an extra
    from openai import AsyncOpenAI, DefaultAioHttpClient  # noqa: PLC0415 - as above
    from pydantic_ai.direct import model_request  # noqa: PLC0415 - as above
    from pydantic_ai.messages import ModelRequest as BareRequest  # noqa: PLC0415 - as above
    from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415 - as above
    from pydantic_ai.providers.openai import OpenAIProvider  # noqa: PLC0415 - as above

    os.environ.setdefault("OPENAI_API_KEY", "none")
    limits = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)
    said = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello there, how are you?"}]
    plain = httpx2.AsyncClient(limits=limits, timeout=60)
    on_aiohttp = DefaultAioHttpClient(limits=limits)
    openai = AsyncOpenAI(base_url=url, max_retries=0)
    models = [
        OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(base_url=url, http_client=client))
        for client in (plain, on_aiohttp)
    ]
    gateway = ModelGateway("openai:gpt-4o-mini", base_url=url, limits=RateLimits(concurrency=_AT_ONCE))

    async def http(client: httpx2.AsyncClient) -> None:
        answer = await client.post(f"{url}/chat/completions", json={"model": "gpt-4o-mini", "messages": said})
        assert answer.json()["choices"]

    async def client() -> None:
        assert (await openai.chat.completions.create(model="gpt-4o-mini", messages=said)).choices  # type: ignore[arg-type]

    async def pydantic_ai(model: OpenAIChatModel) -> None:
        asked = BareRequest.user_text_prompt("Hello there, how are you?", instructions="Be kind.")
        assert (await model_request(model, [asked])).text

    async def ours() -> None:
        assert (await gateway.ask(request())).text

    calls: dict[str, Call] = {
        "HTTP client, httpx2": lambda: http(plain),
        "HTTP client, httpx2 on aiohttp": lambda: http(on_aiohttp),
        "openai client, as it comes": client,
        "Pydantic AI, as it comes": lambda: pydantic_ai(models[0]),
        "Pydantic AI on aiohttp": lambda: pydantic_ai(models[1]),
        "gateway": ours,
    }
    figures: dict[str, list[float]] = {what: [] for what in calls}
    for _ in range(7):
        for what, call in calls.items():
            figures[what].append(await _cost(call))
    gateway.close()
    for each in (plain, on_aiohttp):
        await each.aclose()
    await openai.close()
    return [
        Row(f"processor time of a request, {_AT_ONCE} at once: {what}", f"{statistics.median(costs[1:]) * 1e3:.2f} ms")
        for what, costs in figures.items()
    ]


async def _cost(call: Call) -> float:
    began = time.process_time()
    for _ in range(_ROUNDS):
        await asyncio.gather(*[call() for _ in range(_AT_ONCE)])
    return (time.process_time() - began) / (_AT_ONCE * _ROUNDS)
