"""A model that answers from a script."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec

from coterie.concurrency import Rank, Signal, Timers, new_lock
from coterie.kernel import Clock, SystemClock
from coterie.models import ModelReply, ModelRequest, TextDelta, Usage

ScriptedAnswer = ModelReply | str | Exception
"""A reply, its text, or an error that is raised."""


class ScriptedModel:
    """Answers from a list, in the order of the requests, or by a function of the request.

    ::

        model = ScriptedModel(["yes", RateLimited("scripted", "too often"), ModelReply(text="no")])
        model = ScriptedModel(lambda request: f"you said {request.exchanges[-1].text}", delay=0.5, clock=clock)

    After the end of the list, asking raises `AssertionError`; ``repeat=True`` restarts the list. Text is streamed word by
    word. A reply without a usage counts one token per word. Safe from any thread and event loop; `_lock` guards all fields.

    Args:
        answers: The list, or the function, which is called on the caller's thread.
        delay: Seconds of `clock` before each answer, and in a stream before the first piece.
        clock: The clock of the delay: a `ManualClock` makes it exact.
        repeat: Whether the list restarts after its end.
        name: The name of the model.
    """

    def __init__(
        self,
        answers: Sequence[ScriptedAnswer] | Callable[[ModelRequest], ScriptedAnswer],
        *,
        delay: float = 0.0,
        clock: Clock | None = None,
        repeat: bool = False,
        name: str = "scripted",
    ) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._answers = answers if callable(answers) else tuple(answers)
        self._delay = delay
        self._timers = Timers(clock or SystemClock(), name) if delay else None
        self._repeat = repeat
        self._name = name
        self._asked: list[ModelRequest] = []
        self._running = 0
        self._most = 0
        self._cancelled = 0

    @property
    def name(self) -> str:
        """The name of the model."""
        return self._name

    @property
    def requests(self) -> tuple[ModelRequest, ...]:
        """All requests it was asked, in order."""
        with self._lock:
            return tuple(self._asked)

    @property
    def running(self) -> int:
        """The number of requests without an answer yet."""
        return self._running

    @property
    def most_at_once(self) -> int:
        """The maximum number of requests that it answered at once."""
        return self._most

    @property
    def cancelled(self) -> int:
        """The number of requests cancelled before the end of their answers."""
        return self._cancelled

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return the next answer, or raise it."""
        number = self._enter(request)
        ended = False
        try:
            await self._wait()
            reply = self._reply(request, number)
            ended = True
        except Exception:
            ended = True
            raise
        finally:
            self._leave(ended=ended)
        return reply

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Yield the words of the next answer, and the whole answer last, or raise it."""
        number = self._enter(request)
        ended = False
        try:
            await self._wait()
            reply = self._reply(request, number)
            for word in _words(reply.text):
                yield TextDelta(word)
            ended = True
            yield reply
        except Exception:
            ended = True
            raise
        finally:
            self._leave(ended=ended)

    def close(self) -> None:
        """Stop its timers; delayed requests are never answered."""
        if self._timers is not None:
            self._timers.close()

    def _enter(self, request: ModelRequest) -> int:
        with self._lock:
            self._asked.append(request)
            self._running += 1
            self._most = max(self._most, self._running)
            return len(self._asked) - 1

    def _leave(self, *, ended: bool) -> None:
        with self._lock:
            self._running -= 1
            self._cancelled += not ended

    async def _wait(self) -> None:
        if self._timers is not None:
            over = Signal()
            timer = self._timers.call_later(self._delay, over.set)
            try:
                await over
            finally:
                timer.cancel()

    def _reply(self, request: ModelRequest, number: int) -> ModelReply:
        answer = self._answers(request) if callable(self._answers) else self._next(number)
        if isinstance(answer, Exception):
            raise answer
        reply = answer if isinstance(answer, ModelReply) else ModelReply(text=answer)
        changes: dict[str, Any] = {} if reply.model else {"model": self._name}
        if reply.usage == Usage():
            asked = " ".join((request.instructions, *(getattr(each, "text", "") for each in request.exchanges)))
            changes["usage"] = Usage(len(asked.split()), len(reply.text.split()))
        return msgspec.structs.replace(reply, **changes)

    def _next(self, number: int) -> ScriptedAnswer:
        answers: Sequence[ScriptedAnswer] = self._answers  # type: ignore[assignment] # it is not a function
        if number < len(answers):
            return answers[number]
        if self._repeat and answers:
            return answers[number % len(answers)]
        raise AssertionError(f"{self._name} was asked {number + 1} times, and its script has {len(answers)} answers")


def _words(text: str) -> list[str]:
    return [word for word in text.replace(" ", " \0").split("\0") if word]
