"""A model that answers by a function."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from coterie.kernel import check_instance, check_number
from coterie.models.values import Finish, ModelReply, ModelRequest, TextDelta, Usage

ReplyFunction = Callable[[ModelRequest], ModelReply | str | Awaitable[ModelReply | str]]
"""Returns the reply to a request, or its text."""

_PIECE = re.compile(r"\S+\s*|\s+")


class RuleModel:
    """Answers by rules: for demonstrations without a key, for tests, and for simple cases.

    ::

        model = RuleModel(lambda request: f"You said: {request.exchanges[-1].text}")

    The rules get the same request as any model, so a program that runs on them runs on a language model too. Text is streamed
    word by word. It costs nothing and keeps no state; it is safe from any thread and event loop if the rules are. An exception
    of the rules reaches the caller. Raises `InvalidSetting`.

    Args:
        rules: Returns the reply; called on the caller's thread, or on its event loop if it is asynchronous.
        name: The name of the model.
        pause: Seconds between two words of a stream.
    """

    def __init__(self, rules: ReplyFunction, *, name: str = "rules", pause: float = 0.0) -> None:
        check_instance("RuleModel.rules", rules, Callable, "a function of a ModelRequest")  # type: ignore[arg-type]
        check_number("RuleModel.pause", pause)
        self._rules = rules
        self._name = name
        self._pause = pause

    def __repr__(self) -> str:
        return f"<RuleModel {self._name}>"

    @property
    def name(self) -> str:
        """The name of the model."""
        return self._name

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return the reply of the rules."""
        found = self._rules(request)
        reply = await found if inspect.isawaitable(found) else found
        if isinstance(reply, str):
            reply = ModelReply(text=reply)
        finish = Finish.TOOLS if reply.calls else reply.finish
        return msgspec.structs.replace(reply, finish=finish, model=self._name, usage=Usage(cost=0.0))

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Yield the reply of the rules word by word, and the whole reply last."""
        reply = await self.ask(request)
        for piece in _PIECE.findall(reply.text):
            yield TextDelta(piece)
            if self._pause:
                await asyncio.sleep(self._pause)
        yield reply
