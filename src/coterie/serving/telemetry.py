"""Telemetry: durations, waits, cancellations and time-outs by tool, as JSON and as Prometheus reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from coterie.serving.bodies import Refused

if TYPE_CHECKING:
    from coterie.serving.service import Service


class Telemetry:
    """Shows the metrics of the conversations."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def show(self, request: Request) -> Response:  # noqa: ARG002 - as endpoints are
        """``GET /telemetry``."""
        return JSONResponse(msgspec.to_builtins(self._service.conversations.metrics()))

    async def expose(self, request: Request) -> Response:  # noqa: ARG002 - as above
        """``GET /metrics``, for Prometheus. Needs the extra `prometheus`."""
        try:
            from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest  # noqa: PLC0415

            from coterie.serving.exposition import ConversationCollector  # noqa: PLC0415 - both only with the extra
        except ImportError as error:
            raise Refused(501, "this needs the extra prometheus; /telemetry has the same as JSON") from error
        registry = CollectorRegistry()
        registry.register(ConversationCollector(self._service.conversations))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
