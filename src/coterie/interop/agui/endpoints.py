"""The endpoints of AG-UI: a run, and the stream between runs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any

from ag_ui.core import (
    PROTOCOL_VERSION,
    BaseEvent,
    CustomEvent,
    Interrupt,
    RunErrorEvent,
    RunFinishedCancelledOutcome,
    RunFinishedEvent,
    RunFinishedInterruptOutcome,
    RunFinishedSuccessOutcome,
    RunStartedEvent,
)
from starlette.requests import Request
from starlette.responses import Response

from coterie.conversation import (
    AnyConversationEvent,
    Delivered,
    OperationChanged,
    OperationProgressed,
    ResultsAwaited,
    TextWritten,
    TranscriptMessage,
    TurnBegan,
    TurnEnded,
    TurnOutcome,
)
from coterie.errors import ConversationError, CoterieError
from coterie.interop.access import acting_person, verified_user
from coterie.interop.agui.interrupts import RefusedAnswer, give_answers, interrupts
from coterie.interop.agui.run_request import RunRequest, parse_request
from coterie.interop.agui.translator import EventTranslator, whole_message
from coterie.interop.asides import answer_aside
from coterie.interop.exchange import Delivery, chain, exchange, outcomes_of, rest_of
from coterie.interop.helper_requests import LEAST_QUOTATION, is_helper_request, quotes
from coterie.interop.responses import HTTPProblem, public_message, read_json, sse, streaming
from coterie.interop.threads import ClientThread, ServerState

_EVENT_ID = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,6}))?", re.ASCII)


class AgUiEndpoints:
    """The endpoints for AG-UI front ends."""

    def __init__(self, server: ServerState) -> None:
        self._server = server

    async def run(self, request: Request) -> Response:
        """``POST /agui``: send the new message, if any, and stream the events until the turn ends."""
        parsed = parse_request(await read_json(request, self._server.options.body_limit))
        if parsed.text is not None and await self._is_helper(request, parsed):
            return self._stream(self._aside(parsed, parsed.text))
        client = await self._client_thread(request, parsed.thread)
        refused: Sequence[RefusedAnswer] = ()
        if parsed.answers:
            before = client.chat.last_event
            user = verified_user(request, self._server.options.user_headers)
            person = acting_person(request, user, self._server.options.person_headers)
            going, refused = await give_answers(client.chat, parsed.answers, person)
            if parsed.text is None:
                rest = outcomes_of(client, going, before, self._server.options.resume_wait)
                return self._stream(self._running(client, parsed, None, rest, refused=refused))
        if parsed.text is None and parsed.results:
            before = client.chat.last_event
            running = client.chat.page(limit=1).running
            turns = [await client.chat.supply(call, content, failed=failed) for call, content, failed in parsed.results]
            if any(turns):
                return self._stream(self._running(client, parsed, None, rest_of(client, max(turns), before), running))
        deliveries = exchange(
            client, parsed.text, parsed.message, known=parsed.known, after=parsed.after,
            attachments=parsed.attachments, tools=parsed.tools,
        )  # fmt: skip
        # The message is on the disk before the run is announced: a front end that leaves then has not lost it.
        first: Delivery | CoterieError | None
        try:
            first = await anext(deliveries, None)
        except CoterieError as error:
            first = error
        return self._stream(self._running(client, parsed, first, deliveries, refused=refused))

    async def _is_helper(self, request: Request, parsed: RunRequest) -> bool:
        patterns, text = self._server.options.helper_prompts, parsed.text or ""
        if is_helper_request(text, begins=parsed.begins, headers=request.headers, patterns=patterns):
            return True
        if not parsed.begins or len(text) < LEAST_QUOTATION:
            return False
        return quotes(text, (await self._client_thread(request, parsed.thread)).chat.transcript())

    async def _aside(self, parsed: RunRequest, text: str) -> AsyncIterator[str]:
        """Answer a request of the front end's own, which does not enter the conversation."""
        yield _encoded(_started(parsed))
        try:
            answer = await answer_aside(self._server.conversations, [("user", text)])
        except CoterieError as error:
            yield _encoded(RunErrorEvent(message=public_message(error, f"run {parsed.run}"), code="failed"))
            return
        for made in whole_message(f"aside-{parsed.run}", answer):
            yield _encoded(made)
        yield _encoded(_finished(parsed))

    async def listen(self, request: Request) -> Response:
        """``GET /agui/{thread}/events``: stream results and the progress of operations between runs, without an end.

        ``after``, or the header ``Last-Event-ID``, is the last event that the front end has, or the part of it, such as ``640.2``
        while two more parts follow; without it the stream starts with the events that were not sent yet. With ``all=true`` it has everything: the messages of all tabs, and the answers
        as they are written. Each tab has a stream of its own, and each hears all.
        """
        thread = request.path_params["thread"]
        client = await self._client_thread(request, thread)
        everything = request.query_params.get("all", "") in ("1", "true")
        return self._stream(self._listening(client, thread, _after(request), everything=everything))

    async def _client_thread(self, request: Request, thread: str) -> ClientThread:
        user = verified_user(request, self._server.options.user_headers)
        return await self._server.threads.of_agui(thread, user)

    def _stream(self, pieces: AsyncIterator[str]) -> Response:
        return streaming(pieces, heartbeat=self._server.options.heartbeat, closing=self._server.closing)

    async def _running(
        self,
        client: ClientThread,
        parsed: RunRequest,
        first: Delivery | CoterieError | None,
        deliveries: AsyncGenerator[Delivery, None],
        running: TranscriptMessage | None = None,
        refused: Sequence[RefusedAnswer] = (),
    ) -> AsyncIterator[str]:
        yield _encoded(_started(parsed))
        if ignored := parsed.ignored:
            yield _encoded(CustomEvent(name="IGNORED", value=ignored))
        if refused:
            yield _encoded(CustomEvent(name="REFUSED", value=[each.shown() for each in refused]))
        translator = EventTranslator(client.chat.operations(unfinished=True))
        if running is not None:
            translator.resume(running.turn, running.began, running.texts, [call for call, _, _ in parsed.results])
        last: AnyConversationEvent | None = None
        try:
            async with contextlib.aclosing(deliveries):
                if isinstance(first, CoterieError):
                    raise first
                async for delivery in chain(first, deliveries):
                    last = delivery.event if delivery.own else last
                    for made in _translated(translator, delivery):
                        yield _encoded(made)
        except CoterieError as error:
            for made in translator.close():
                yield _encoded(made)
            code = "invalid_input" if isinstance(error, ConversationError) and isinstance(error, ValueError) else "failed"
            yield _encoded(RunErrorEvent(message=public_message(error, f"run {parsed.run}"), code=code))
            return
        for made in translator.close():
            yield _encoded(made)
        yield _encoded(_finished(parsed, interrupts(client.chat.operations(unfinished=True)), last))

    async def _listening(
        self, client: ClientThread, thread: str, after: tuple[int, int] | None, *, everything: bool
    ) -> AsyncIterator[str]:
        begun, left = after if after is not None else (client.last_sent, 0)
        # An event of which parts are missing is read again.
        start = begun - 1 if left else begun
        yield _encoded(RunStartedEvent(thread_id=thread, run_id=f"listening-{start}", protocol_version=PROTOCOL_VERSION), start)
        translator = EventTranslator(client.chat.operations(unfinished=True), everything=everything)
        for operation in client.chat.operations(unfinished=True):
            yield _encoded(translator.snapshot(operation))
        client.listeners += 1
        try:
            async for event in client.chat.events(after=start):
                mine = everything or isinstance(event, OperationChanged | OperationProgressed | Delivered)
                if everything and isinstance(event, TextWritten) and not translator.knows(event.turn):
                    # The stream begins in the middle of a turn.
                    translator.resume(event.turn, *client.chat.text_place(event))
                made = translator.translate(event) if mine else []
                if left and event.id == begun:
                    made = made[-left:]
                # The last part has the id of the event. The others have the number of parts that follow too.
                for following, part in zip(reversed(range(len(made))), made, strict=True):
                    yield _encoded(part, f"{event.id}.{following}" if following else event.id)
                if isinstance(event, Delivered) and not client.reading:
                    client.advance(event.id)
        finally:
            client.listeners -= 1


def _started(parsed: RunRequest) -> BaseEvent:
    return RunStartedEvent(thread_id=parsed.thread, run_id=parsed.run, protocol_version=PROTOCOL_VERSION)


def _finished(
    parsed: RunRequest, open_interrupts: Sequence[Interrupt] = (), last: AnyConversationEvent | None = None
) -> BaseEvent:
    """Return the end of a run whose own last event was `last`."""
    outcome: Any = RunFinishedSuccessOutcome(type="success")
    if isinstance(last, ResultsAwaited):
        outcome = RunFinishedSuccessOutcome(type="success", pending_tool_call_ids=list(last.calls))
    elif isinstance(last, TurnEnded) and last.outcome is TurnOutcome.STOPPED:
        outcome = RunFinishedCancelledOutcome(type="cancelled")
    elif open_interrupts:
        outcome = RunFinishedInterruptOutcome(type="interrupt", interrupts=list(open_interrupts))
    return RunFinishedEvent(thread_id=parsed.thread, run_id=parsed.run, outcome=outcome)


def _translated(translator: EventTranslator, delivery: Delivery) -> list[BaseEvent]:
    event = delivery.event
    if not delivery.own and isinstance(event, TurnEnded):
        return translator.whole(f"answer-{event.id}", event)
    if not delivery.own and isinstance(event, TurnBegan):
        return []
    return translator.translate(event)


def _encoded(event: BaseEvent, id: int | str | None = None) -> str:  # noqa: A002 - the name in the format
    return sse(event.model_dump_json(by_alias=True), id=id)


def _after(request: Request) -> tuple[int, int] | None:
    """Return the last event that a reader has, and the number of its parts that follow."""
    given = request.headers.get("last-event-id") or request.query_params.get("after")
    if given is None:
        return None
    found = _EVENT_ID.fullmatch(given)
    if found is None:
        raise HTTPProblem(400, f"after: {given!r} is not an event id; give the last id that was received", param="after")
    return int(found[1]), int(found[2] or 0)
