"""``GET /metrics`` of a console: the metrics of all that it shows, for Prometheus. Needs the extra `prometheus`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from coterie.console.access import visitor
from coterie.console.problems import ConsoleProblem
from coterie.console.sources import Sources
from coterie.conversation import ConversationCollector, Conversations
from coterie.errors import ExtraMissing
from coterie.meetings import MeetingCollector, Meetings
from coterie.memory import MemoryCollector, TieredMemory
from coterie.rounds import RoundsCollector, Simulation
from coterie.runtime import RuntimeCollector
from coterie.telemetry import ProcessThreadsCollector, prometheus_text
from coterie.world import WorldCollector

_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


def metrics_endpoint(sources: Sources) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint for the metrics of all sources. It is for the operator, as they are sums over all users."""

    async def endpoint(request: Request) -> Response:
        if visitor(request):
            raise ConsoleProblem(403, "The metrics are for the operator.")
        try:
            text = await run_in_threadpool(metrics_text, sources)
        except ExtraMissing as error:
            raise ConsoleProblem(501, str(error)) from error
        return PlainTextResponse(text, media_type=_FORMAT, headers={"Cache-Control": "no-store"})

    return endpoint


def metrics_text(sources: Sources) -> str:
    """Return the metrics of all sources in the Prometheus format. Raises `ExtraMissing`."""
    return prometheus_text(
        RuntimeCollector(*sources.runtimes().values()),
        ConversationCollector(*sources.of(Conversations).values()),
        MeetingCollector(*sources.of(Meetings).values()),
        *(MemoryCollector(memory, name=name) for name, memory in sources.of(TieredMemory).items()),
        *(RoundsCollector(each, name=name) for name, each in sources.of(Simulation).items()),
        *(WorldCollector(each.plan.world, name=name) for name, each in sources.of(Simulation).items()),
        ProcessThreadsCollector(),
    )
