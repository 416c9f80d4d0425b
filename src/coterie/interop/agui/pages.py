"""The endpoints for a page that is loaded anew: the transcript, a message without a run, and the stop of an answer."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import msgspec
from ag_ui.core import Interrupt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from coterie.conversation import Conversation, TranscriptMessage
from coterie.interop.access import verified_user
from coterie.interop.agui.interrupts import interrupts
from coterie.interop.agui.translator import content
from coterie.interop.responses import HTTPProblem, read_json
from coterie.interop.threads import ServerState

_LIMIT = 50
_MOST = 500
_SHOWN = 4_000
"""Characters of the result of a call in a transcript; the whole is in the log."""


class PageEndpoints:
    """The endpoints for the pages of a thread. Any number of tabs can use them."""

    def __init__(self, server: ServerState) -> None:
        self._server = server

    async def transcript(self, request: Request) -> Response:
        """``GET /agui/{thread}/transcript``: the latest messages, or those before ``?before=``, and what runs now."""
        before, limit = _number(request, "before"), _number(request, "limit")
        chat = await self._chat(request)
        page = chat.page(before, _LIMIT if limit is None else min(limit, _MOST))
        found = {
            "messages": [_message(each, request.path_params["thread"]) for each in page.messages],
            "before": page.before,
            "lastEventId": page.last_event,
            "running": None if page.running is None else _message(page.running, ""),
            "operations": [content(each) for each in page.operations],
            "interrupts": [_plain(each) for each in interrupts(page.operations)],
        }
        return JSONResponse(found)

    async def attachment(self, request: Request) -> Response:
        """``GET /agui/{thread}/attachments/{event}/{place}``: an image or file that a message of the user has brought.

        It is never shown as a page of the server's origin, whatever its type.
        """
        chat = await self._chat(request)
        event, place = request.path_params["event"], request.path_params["place"]
        found = await asyncio.to_thread(chat.attachment, event, place) if event < 1 << 62 else None
        if found is None or found.url:
            raise HTTPProblem(404, "there is no such file in this thread")
        headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
        return Response(found.data, media_type=found.media_type, headers=headers)

    async def send(self, request: Request) -> Response:
        """``POST /agui/{thread}/messages``, with ``{"content": "…", "id": "…"}``: send a message without a run.

        The answer comes on the event streams of all tabs.
        """
        body = await self._body(request)
        text, name = body.get("content"), body.get("id")
        if not isinstance(text, str) or not isinstance(name, str | None):
            raise HTTPProblem(422, "content must be a text, and id, if there is one, too", param="content")
        chat = await self._chat(request)
        first = await anext(chat.send(text, id=name))
        return JSONResponse({"turn": getattr(first, "turn", 0), "eventId": first.id}, 202)

    async def stop(self, request: Request) -> Response:
        """``POST /agui/{thread}/stop``: stop the answer that is being written; what was said is kept."""
        turn: Any = 0
        if request.headers.get("content-length", "0") != "0":
            turn = (await self._body(request)).get("turn", 0)
        if not isinstance(turn, int) or isinstance(turn, bool) or turn < 0:
            raise HTTPProblem(422, "turn must be the number of a turn", param="turn")
        chat = await self._chat(request)
        return JSONResponse({"stopped": await chat.stop(turn)})

    async def _chat(self, request: Request) -> Conversation:
        user = verified_user(request, self._server.options.user_headers)
        return (await self._server.threads.of_agui(request.path_params["thread"], user)).chat

    async def _body(self, request: Request) -> dict[str, Any]:
        body = await read_json(request, self._server.options.body_limit)
        if not isinstance(body, dict):
            raise HTTPProblem(422, "the body must be an object")
        return body


def _number(request: Request, name: str) -> int | None:
    given = request.query_params.get(name)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and 0 < len(given) < 19 and int(given) > 0):  # noqa: PLR2004 - 64 bits
        raise HTTPProblem(400, f"{name}: {given!r} is not a whole number above 0", param=name)
    return int(given)


def _message(message: TranscriptMessage, thread: str) -> dict[str, Any]:
    """Return a message in the form of AG-UI, with the same id as in streams, and with more keys."""
    if message.role == "user":
        name = message.message or f"question-{message.id}"
    else:
        name = f"delivery-{message.id}" if message.delivery else f"answer-{message.began}"
    found: dict[str, Any] = {
        "id": name,
        "role": message.role,
        "content": message.text,
        "eventId": message.id,
        "turn": message.turn,
        "timestamp": round(message.at * 1000),
    }
    if message.files:
        place = f"/agui/{quote(thread, safe='')}/attachments/{message.id}"
        found["attachments"] = [
            {"mediaType": each.media_type, "name": each.name, "size": each.size, "url": each.url or f"{place}/{number}"}
            for number, each in enumerate(message.files)
        ]
    if message.outcome:
        found["outcome"] = message.outcome
    if message.calls:
        found["toolCalls"] = [
            {
                "id": each.call,
                "type": "function",
                "function": {"name": each.tool, "arguments": msgspec.json.encode(each.arguments).decode()},
                "result": each.content[:_SHOWN],
                "failed": each.failed,
                "operation": None if each.operation is None else f"op-{each.operation}",
            }
            for each in message.calls
        ]
    return found


def _plain(interrupt: Interrupt) -> Any:
    return interrupt.model_dump(by_alias=True, exclude_none=True)
