"""The endpoints of a thread's operations: list, cancel, move, approve, reject, edit, and resolve."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from coterie.conversation import Conversation
from coterie.interop.access import acting_person, verified_user
from coterie.interop.agui.translator import content
from coterie.interop.responses import HTTPProblem, read_json
from coterie.interop.threads import ServerState

OUTCOMES = ("succeeded", "failed", "retry")
"""The outcomes that a person can give to an operation whose own is unknown."""


class OperationEndpoints:
    """The endpoints for operations. The person who acts is the user of the request, or the one that a trusted header names."""

    def __init__(self, server: ServerState) -> None:
        self._server = server

    async def list(self, request: Request) -> Response:
        """``GET /agui/{thread}/operations``: all operations of a thread; queued ones last, in queue order."""
        chat = await self._chat(request)
        return JSONResponse({"operations": [content(each) for each in chat.operations()]})

    async def cancel(self, request: Request) -> Response:
        """``POST …/operations/{operation}/cancel``: ask an operation to stop."""
        chat = await self._chat(request)
        return JSONResponse({"answer": str(await chat.cancel(request.path_params["operation"]))})

    async def move(self, request: Request) -> Response:
        """``POST …/operations/{operation}/place``, with ``{"place": 0}``: move a queued operation."""
        place = (await self._body(request)).get("place")
        if not isinstance(place, int) or isinstance(place, bool) or place < 0:
            raise HTTPProblem(422, "place must be a whole number, counted from 0", param="place")
        chat = await self._chat(request)
        queue = await chat.reorder(request.path_params["operation"], place)
        return JSONResponse({"queue": [content(each) for each in queue]})

    async def approve(self, request: Request) -> Response:
        """``POST …/operations/{operation}/approve``; ``{"consent": 2}`` names the request that the person has seen."""
        body = await self._body(request, empty=True)
        chat = await self._chat(request)
        name, person = request.path_params["operation"], self._person(request)
        return JSONResponse({"operation": content(await chat.approve(name, person=person, consent=_consent(body)))})

    async def reject(self, request: Request) -> Response:
        """``POST …/operations/{operation}/reject``, with ``{"why": "…"}``."""
        body = await self._body(request, empty=True)
        why = body.get("why", "")
        if not isinstance(why, str):
            raise HTTPProblem(422, "why must be a text", param="why")
        chat = await self._chat(request)
        name, person = request.path_params["operation"], self._person(request)
        return JSONResponse({"operation": content(await chat.reject(name, why, person=person, consent=_consent(body)))})

    async def edit(self, request: Request) -> Response:
        """``POST …/operations/{operation}/edit``, with ``{"arguments": {…}}``: it then awaits a new approval."""
        arguments = (await self._body(request)).get("arguments")
        if not isinstance(arguments, dict):
            raise HTTPProblem(422, "arguments must be an object: all arguments of the tool by name", param="arguments")
        chat = await self._chat(request)
        name, person = request.path_params["operation"], self._person(request)
        return JSONResponse({"operation": content(await chat.edit(name, arguments, person=person))})

    async def resolve(self, request: Request) -> Response:
        """``POST …/operations/{operation}/resolve``, with ``{"outcome": "succeeded", "detail": "…"}``."""
        body = await self._body(request)
        outcome, detail = body.get("outcome"), body.get("detail", "")
        if outcome not in OUTCOMES:
            raise HTTPProblem(422, f"outcome must be one of {', '.join(OUTCOMES)}", param="outcome")
        if not isinstance(detail, str):
            raise HTTPProblem(422, "detail must be a text", param="detail")
        chat = await self._chat(request)
        name, person = request.path_params["operation"], self._person(request)
        return JSONResponse({"operation": content(await chat.resolve(name, str(outcome), detail, person=person))})

    async def _chat(self, request: Request) -> Conversation:
        return (await self._server.threads.of_agui(request.path_params["thread"], self._user(request))).chat

    async def _body(self, request: Request, *, empty: bool = False) -> dict[str, Any]:
        length = request.headers.get("content-length", "0")
        if empty and length == "0" and "transfer-encoding" not in request.headers:
            return {}
        body = await read_json(request, self._server.options.body_limit)
        if not isinstance(body, dict):
            raise HTTPProblem(422, "the body must be an object")
        return body

    def _user(self, request: Request) -> str:
        return verified_user(request, self._server.options.user_headers)

    def _person(self, request: Request) -> str:
        return acting_person(request, self._user(request), self._server.options.person_headers)


def _consent(body: dict[str, Any]) -> int:
    consent = body.get("consent", 0)
    if not isinstance(consent, int) or isinstance(consent, bool) or consent < 0:
        raise HTTPProblem(422, "consent must be the number of a request for approval", param="consent")
    return consent
