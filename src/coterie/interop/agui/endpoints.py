"""The endpoints of AG-UI: a run, the channel between runs, and the operations of a thread."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from ag_ui.core import (
    PROTOCOL_VERSION,
    BaseEvent,
    RunErrorEvent,
    RunFinishedEvent,
    RunFinishedSuccessOutcome,
    RunStartedEvent,
)
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from coterie.conversation import Delivered, OperationChanged, OperationProgressed, TurnBegan, TurnEnded
from coterie.errors import ConversationError, CoterieError
from coterie.interop.agui.run_request import RunRequest, take
from coterie.interop.agui.translator import Translator, content
from coterie.interop.exchange import Delivery, exchange
from coterie.interop.responses import HTTPProblem, read_json, sse, streaming, words_for
from coterie.interop.threads import ClientThread, Service

_USER = "x-user"
"""The header by which a front end says whose threads it asks for."""


class AgUi:
    """Answers AG-UI front ends."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def run(self, request: Request) -> Response:
        """``POST /agui``: say what is new in the messages, and stream what comes of it until the turn ends."""
        intake = take(await read_json(request, self._service.options.body_limit))
        seat = await self._seat(request, intake.thread)
        return self._stream(self._running(seat, intake))

    async def listen(self, request: Request) -> Response:
        """``GET /agui/{thread}/events``: stream results, and how operations go, between the runs, without an end.

        ``after``, or the header ``Last-Event-ID``, is the last event that the front end has; else it begins with what it
        has not been told.
        """
        thread = request.path_params["thread"]
        seat = await self._seat(request, thread)
        return self._stream(self._listening(seat, thread, _after(request)))

    async def operations(self, request: Request) -> Response:
        """``GET /agui/{thread}/operations``: all operations of a thread, those that wait last, in their order."""
        seat = await self._seat(request, request.path_params["thread"])
        return JSONResponse({"operations": [content(each) for each in seat.chat.operations()]})

    async def cancel(self, request: Request) -> Response:
        """``POST /agui/{thread}/operations/{operation}/cancel``: ask an operation to stop."""
        seat = await self._seat(request, request.path_params["thread"])
        answer = await seat.chat.cancel(request.path_params["operation"])
        return JSONResponse({"answer": str(answer)})

    async def reorder(self, request: Request) -> Response:
        """``POST /agui/{thread}/operations/{operation}/place``, with ``{"place": 0}``: move one that waits in the queue."""
        body = await read_json(request, self._service.options.body_limit)
        place = body.get("place") if isinstance(body, dict) else None
        if not isinstance(place, int) or isinstance(place, bool) or place < 0:
            raise HTTPProblem(422, "place is to be a whole number, counted from 0", param="place")
        seat = await self._seat(request, request.path_params["thread"])
        queue = await seat.chat.reorder(request.path_params["operation"], place)
        return JSONResponse({"queue": [content(each) for each in queue]})

    async def _seat(self, request: Request, thread: str) -> ClientThread:
        return await self._service.threads.open(("agui", request.headers.get(_USER) or "-", thread))

    def _stream(self, pieces: AsyncIterator[str]) -> Response:
        return streaming(pieces, heartbeat=self._service.options.heartbeat, closing=self._service.closing)

    async def _running(self, seat: ClientThread, intake: RunRequest) -> AsyncIterator[str]:
        started = RunStartedEvent(thread_id=intake.thread, run_id=intake.run, protocol_version=PROTOCOL_VERSION)
        yield _encoded(started)
        translator = Translator(seat.chat.operations(unfinished=True))
        try:
            telling = exchange(seat, intake.text, intake.message, known=intake.known, after=intake.after)
            async with contextlib.aclosing(telling):
                async for told in telling:
                    for made in _translated(translator, told):
                        yield _encoded(made)
        except CoterieError as error:
            for made in translator.close():
                yield _encoded(made)
            code = "invalid_input" if isinstance(error, ConversationError) and isinstance(error, ValueError) else "failed"
            yield _encoded(RunErrorEvent(message=words_for(error, f"run {intake.run}"), code=code))
            return
        yield _encoded(
            RunFinishedEvent(thread_id=intake.thread, run_id=intake.run, outcome=RunFinishedSuccessOutcome(type="success"))
        )

    async def _listening(self, seat: ClientThread, thread: str, after: int | None) -> AsyncIterator[str]:
        start = seat.told if after is None else after
        yield _encoded(RunStartedEvent(thread_id=thread, run_id=f"listening-{start}", protocol_version=PROTOCOL_VERSION), start)
        translator = Translator(seat.chat.operations(unfinished=True))
        for operation in seat.chat.operations(unfinished=True):
            yield _encoded(translator.snapshot(operation))
        seat.listeners += 1
        try:
            async for event in seat.chat.events(after=start):
                mine = isinstance(event, OperationChanged | OperationProgressed) or (
                    isinstance(event, Delivered) and (after is not None or seat.claim(event.id))
                )
                for made in translator.translate(event) if mine else []:
                    yield _encoded(made, event.id)
                if isinstance(event, Delivered) and not seat.reading:
                    seat.advance(event.id)
        finally:
            seat.listeners -= 1


def _translated(translator: Translator, told: Delivery) -> list[BaseEvent]:
    event = told.event
    if not told.own and isinstance(event, TurnEnded):
        return translator.whole(f"answer-{event.id}", event)
    if not told.own and isinstance(event, TurnBegan):
        return []
    return translator.translate(event)


def _encoded(event: BaseEvent, id: int | None = None) -> str:  # noqa: A002 - as the format calls it
    return sse(event.model_dump_json(by_alias=True), id=id)


def _after(request: Request) -> int | None:
    given = request.headers.get("last-event-id") or request.query_params.get("after")
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) < 19):  # noqa: PLR2004 - 64 bits
        raise HTTPProblem(400, f"after: {given!r} is the id of no event; give the last id that was received", param="after")
    return int(given)
