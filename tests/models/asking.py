"""Requests, and a gateway to a server, as the tests of this room ask them."""

from typing import Any

from coterie.models import ModelGateway, ModelReply, ModelRequest, TextDelta, TextMessage
from coterie.testing import ModelServer
from coterie.work import Retry

SOON = Retry(3, initial=0.01, maximum=0.05, on=Exception)
"""Retries that a test need not wait for."""


def question(text: str = "hello", **settings: Any) -> ModelRequest:
    return ModelRequest(exchanges=(TextMessage("user", text),), **settings)


def gateway_to(server: ModelServer, **settings: Any) -> ModelGateway:
    return ModelGateway("openai:gpt-4o-mini", base_url=server.url, **settings)


async def read(gateway: ModelGateway, request: ModelRequest) -> tuple[list[str], ModelReply]:
    """Return the pieces of a stream, and the whole reply."""
    pieces: list[str] = []
    async for piece in gateway.stream(request):
        if isinstance(piece, TextDelta):
            pieces.append(piece.text)
        else:
            whole = piece
    return pieces, whole


def planned(gateway: ModelGateway) -> list[float]:
    """Return the moments, of the gateway's clock, for which its loop has planned something."""
    loop: Any = gateway._running._thread.loop
    return sorted(round(each.when(), 3) for each in list(loop._scheduled) if not each.cancelled())
