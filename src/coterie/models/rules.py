"""A model made of a function."""

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
    """Answers by rules: for demonstrations without a key, for tests, and where a rule is all it takes.

    ::

        model = RuleModel(lambda request: f"You said: {request.exchanges[-1].text}")

    The rules see what any model sees, and no more, so what runs on them runs on a language model too. Text is streamed
    word by word. Costs nothing, keeps nothing between two requests, and is safe from any thread and event loop if the
    rules are. What they raise, the asker hears.

    Args:
        rules: What to answer; a plain function is called on the asker's thread, an asynchronous one on its loop.
        name: What the model is called.
        pause: Seconds between two words of a stream, to look on.
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
        """What it is called."""
        return self._name

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return what the rules answer."""
        found = self._rules(request)
        reply = await found if inspect.isawaitable(found) else found
        if isinstance(reply, str):
            reply = ModelReply(text=reply)
        finish = Finish.TOOLS if reply.calls else reply.finish
        return msgspec.structs.replace(reply, finish=finish, model=self._name, usage=Usage(cost=0.0))

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Yield what the rules answer word by word, and the whole reply last."""
        reply = await self.ask(request)
        for piece in _PIECE.findall(reply.text):
            yield TextDelta(piece)
            if self._pause:
                await asyncio.sleep(self._pause)
        yield reply
