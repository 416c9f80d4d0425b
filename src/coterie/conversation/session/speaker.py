"""Stream a model's reply, which may be cut short."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from coterie.conversation.events import TextWritten
from coterie.conversation.sanitize import check_reply, plain_text, text_of_piece
from coterie.conversation.session.deadlines import WorkTime
from coterie.conversation.session.session_log import SessionLog
from coterie.errors import ModelError, describe
from coterie.models import Model, ModelReply, ModelRequest, PromptMessage, TextMessage
from coterie.models.spans import begin_chat, end_chat, nest_chat
from coterie.runtime import Context
from coterie.telemetry.spans import NO_SPAN


class AnswerCut(Exception):
    """The answer was cut short. `text` is the part so far."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__("the answer was cut short")


class ModelInterrupted(Exception):
    """The model failed, or fell silent, in the middle of a reply. `text` is the part so far, which readers have seen."""

    def __init__(self, text: str, problem: str) -> None:
        self.text = text
        self.problem = problem
        super().__init__(problem)


def without_strange_files(model: Model, request: ModelRequest) -> ModelRequest:
    """Return a request with a note in place of each file that the model does not take, as far as it says."""
    accepts = getattr(model, "accepts", None)
    if accepts is None or not any(isinstance(each, TextMessage) and each.attachments for each in request.exchanges):
        return request
    exchanges: list[PromptMessage] = []
    for each in request.exchanges:
        if isinstance(each, TextMessage) and each.attachments:
            kept = tuple(one for one in each.attachments if accepts(one.media_type))
            strange = [one for one in each.attachments if one not in kept]
            notes = [f"[{one.name or 'a file'} ({one.media_type}) is attached, which you cannot read]" for one in strange]
            exchanges.append(TextMessage(each.role, "\n".join([each.text, *notes]), kept))
        else:
            exchanges.append(each)
    return msgspec.structs.replace(request, exchanges=tuple(exchanges))


class Speaker:
    """Asks the model and publishes its reply piece by piece. Only the conversation's thread uses it."""

    def __init__(self, session_log: SessionLog, context: Context) -> None:
        self._waits = context.measure_waits()
        self._session_log = session_log
        self._host = session_log.host
        self._asking: asyncio.Task[ModelReply] | None = None
        self._cut = False

    @property
    def speaking(self) -> bool:
        """Return whether a model request is open."""
        return self._asking is not None

    def cut(self) -> bool:
        """Cut the current reply short; return whether there was one."""
        if self._asking is None:
            return False
        self._cut = True
        self._asking.cancel()
        return True

    async def speak(self, request: ModelRequest, *, turn: int, delivery: bool = False, quiet: bool = False) -> ModelReply:
        """Return the model's whole reply, and publish its pieces as they come, unless `quiet`.

        Raises `AnswerCut`; `ModelError`, and `TimeoutError` when the model was silent for too long; `ModelInterrupted` if one
        of these came after a part of the reply had been published.
        """
        said: list[str] = []
        self._cut = False
        try:
            return await self._speak(request, turn, said, delivery=delivery, quiet=quiet)
        except (ModelError, TimeoutError) as error:
            if not said or quiet:
                raise
            raise ModelInterrupted(plain_text("".join(said)), describe(error)) from error

    async def _speak(self, request: ModelRequest, turn: int, said: list[str], *, delivery: bool, quiet: bool) -> ModelReply:
        loop = asyncio.get_running_loop()
        silence = self._host.settings.model_timeout
        heard = WorkTime(self._waits)
        asking = loop.create_task(self._read(request, turn, said, heard, delivery=delivery, quiet=quiet))
        self._asking = asking
        try:
            while not asking.done():
                # The conversation hears nothing while it waits for a thread itself.
                left = silence - heard.worked
                if left <= 0:
                    asking.cancel()
                    raise TimeoutError(f"the model said nothing for {silence:g} s")
                await asyncio.wait({asking}, timeout=left)
            if asking.cancelled():
                if self._cut:
                    raise AnswerCut(plain_text("".join(said)))
                raise ModelError("the model cancelled its own answer")
            return asking.result()
        finally:
            self._asking = None
            asking.cancel()

    async def _read(
        self, request: ModelRequest, turn: int, said: list[str], heard: WorkTime, *, delivery: bool, quiet: bool
    ) -> ModelReply:
        reply: ModelReply | None = None
        stream: Any = None
        length = 0
        span = begin_chat(self._host.model.name, request)
        # A gateway makes such spans too; this runs in a task of its own.
        nest_chat(span)
        problem: BaseException | None = None
        number = 0
        try:
            model = self._session_log.state.model_of(self._session_log.role)
            sent = without_strange_files(model, request)
            number = self._session_log.requests.begin(model.name, sent, turn)
            stream = model.stream(sent)
            async for piece in stream:
                heard.restart()
                if isinstance(piece, ModelReply):
                    reply = piece
                elif text := text_of_piece(piece):
                    said.append(text)
                    self._publish(plain_text(text), turn, length, delivery=delivery, quiet=quiet)
                    length += len(text)
        except (ModelError, asyncio.CancelledError) as error:
            problem = error
            raise
        except BaseException as error:
            problem = error
            raise ModelError(f"{self._host.model.name} failed: {describe(error)}") from error
        finally:
            self._session_log.requests.end(number, reply, problem)
            if span is not NO_SPAN:
                safe = self._session_log.spans.without_secrets(reply, self._host.tools)
                end_chat(span, request, safe, problem, self._session_log.spans.mask)
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()
        whole = "".join(said)
        if reply is None:
            return ModelReply(text=plain_text(whole))
        reply = check_reply(reply)
        if not whole:
            self._publish(reply.text, turn, 0, delivery=delivery, quiet=quiet)
        return reply

    def _publish(self, text: str, turn: int, offset: int, *, delivery: bool, quiet: bool) -> None:
        if text and not quiet:
            self._session_log.announce(TextWritten, turn=turn, text=text, delivery=delivery, offset=offset)
