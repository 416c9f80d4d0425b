"""Telemetry: durations, waits, cancellations and time-outs by tool, as JSON and as Prometheus reads it."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from coterie.conversation.exposition import exposition
from coterie.errors import ExtraMissing
from coterie.interop.service import Service
from coterie.interop.web.bodies import HTTPProblem


class TelemetryEndpoints:
    """Shows the metrics of the conversations."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def show(self, request: Request) -> Response:  # noqa: ARG002 - as endpoints are
        """``GET /telemetry``."""
        return JSONResponse(msgspec.to_builtins(self._service.conversations.metrics()))

    async def expose(self, request: Request) -> Response:  # noqa: ARG002 - as above
        """``GET /metrics``, for Prometheus. Needs the extra `prometheus`."""
        try:
            text = exposition(self._service.conversations)
        except ExtraMissing as error:
            raise HTTPProblem(501, "this needs the extra prometheus; /telemetry has the same as JSON") from error
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
