"""The ASGI application and its routes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from coterie.conversation import Conversations
from coterie.errors import CoterieError, ExtraMissing
from coterie.interop.access import TokenAuthMiddleware
from coterie.interop.agui.endpoints import AgUiEndpoints
from coterie.interop.agui.operations import OperationEndpoints
from coterie.interop.agui.pages import PageEndpoints
from coterie.interop.completions import CompletionEndpoints
from coterie.interop.forgetting import ForgettingEndpoints
from coterie.interop.options import ServingOptions
from coterie.interop.responses import HTTPProblem, broken, failed, refused
from coterie.interop.retries import RequestRecords
from coterie.interop.threads import ServerState, ThreadRecords
from coterie.kernel import Clock, SystemClock
from coterie.kernel.access import AccessToken
from coterie.storage import Database
from coterie.telemetry import MetricsCollector, prometheus_text

_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Approver", "X-Thread-Id", "X-User")
"""The headers that a web page of another origin may send."""


class TelemetryEndpoints:
    """Endpoints for the metrics of the conversations."""

    def __init__(self, server: ServerState, collectors: Sequence[MetricsCollector[Any]]) -> None:
        self._server = server
        self._collectors = collectors

    async def show(self, request: Request) -> Response:  # noqa: ARG002 - the signature of endpoints
        """``GET /telemetry``."""
        return JSONResponse(msgspec.to_builtins(self._server.conversations.metrics()))

    async def expose(self, request: Request) -> Response:  # noqa: ARG002 - as above
        """``GET /metrics``, for Prometheus. Needs the extra `prometheus`."""
        try:
            text = prometheus_text(*self._server.conversations.collectors(), *self._collectors)
        except ExtraMissing as error:
            raise HTTPProblem(501, "this needs the extra prometheus; /telemetry returns the same as JSON") from error
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def create_application(
    conversations: Conversations,
    token: AccessToken,
    *,
    store: Database,
    name: str = "assistant",
    options: ServingOptions | None = None,
    clock: Clock | None = None,
    users: Mapping[str, AccessToken] | None = None,
    collectors: Sequence[MetricsCollector[Any]] = (),
) -> Starlette:
    """Return an ASGI application that serves conversations. Make one for each server; it belongs to that server's loop.

    At the end of its lifespan it drains the conversations, so that a deploy leaves no outcome unknown.

    `store` holds the last event that each front end was sent, best in the database of the conversations; `name` is the
    model name for completions. `users` are tokens that admit one user each; the holder of `token` may act for any user. The
    metrics of `collectors`, such as those of a memory, are shown at ``/metrics`` beside its own. The application closes neither
    the conversations nor the store. Raises storage errors.
    """
    options = options if options is not None else ServingOptions()
    clock = clock if clock is not None else SystemClock()
    requests = RequestRecords(store, clock, options.retry_window)
    server = ServerState(name, conversations, ThreadRecords(store, clock), requests, options, clock)
    agui, completions, telemetry = AgUiEndpoints(server), CompletionEndpoints(server), TelemetryEndpoints(server, collectors)
    operations, pages = OperationEndpoints(server), PageEndpoints(server)
    routes = [
        Route("/health", health),
        Route("/agui", agui.run, methods=["POST"]),
        Route("/agui/{thread:path}/events", agui.listen),
        Route("/agui/{thread:path}/transcript", pages.transcript),
        Route("/agui/{thread:path}/attachments/{event:int}/{place:int}", pages.attachment),
        Route("/agui/{thread:path}/messages", pages.send, methods=["POST"]),
        Route("/agui/{thread:path}/stop", pages.stop, methods=["POST"]),
        Route("/agui/{thread:path}/operations", operations.list),
        *(
            Route(f"/agui/{{thread:path}}/operations/{{operation}}/{name}", endpoint, methods=["POST"])
            for name, endpoint in {
                "cancel": operations.cancel,
                "place": operations.move,
                "approve": operations.approve,
                "reject": operations.reject,
                "edit": operations.edit,
                "resolve": operations.resolve,
            }.items()
        ),
        Route("/v1/models", completions.models),
        Route("/v1/models/{model}", completions.model),
        Route("/v1/chat/completions", completions.complete, methods=["POST"]),
        Route("/users/{user:path}", ForgettingEndpoints(server).forget, methods=["DELETE"]),
        Route("/telemetry", telemetry.show),
        Route("/metrics", telemetry.expose),
    ]
    application = Starlette(
        routes=routes,
        middleware=middleware_of(options, token, users or {}),
        exception_handlers={HTTPException: unknown_path, HTTPProblem: refused, CoterieError: failed, Exception: broken},
        lifespan=_lifespan,
    )
    application.state.server = server
    return application


def middleware_of(options: ServingOptions, token: AccessToken, users: Mapping[str, AccessToken]) -> list[Middleware]:
    """Return what all requests pass first: the rules for pages of other origins, and the token."""
    cross_origin = Middleware(
        CORSMiddleware,
        allow_origins=list(options.origins),
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=[*_HEADERS, *options.origin_headers],
        allow_credentials=options.credentials,
        max_age=int(options.preflight_age),
    )
    return [cross_origin, Middleware(TokenAuthMiddleware, token=token, users=users)]


async def health(request: Request) -> Response:  # noqa: ARG001 - the signature of endpoints
    """Say that the server answers."""
    return JSONResponse({"status": "ok"})


async def unknown_path(request: Request, error: Exception) -> Response:
    """Answer a request for a path, or a method, that does not exist."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    problems = {404: f"there is nothing at {path}", 405: f"{request.method} is not possible at {path}"}
    response = HTTPProblem(error.status_code, problems.get(error.status_code, error.detail)).response()
    response.headers.update(error.headers or {})
    return response


@contextlib.asynccontextmanager
async def _lifespan(application: Starlette) -> AsyncIterator[None]:
    yield
    await application.state.server.conversations.drain()
    application.state.server.closing.set()
