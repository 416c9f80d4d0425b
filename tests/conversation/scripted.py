"""A scripted model, gates for tools, and a reader of events."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from typing import Any, TypeVar

from coterie.concurrency import Signal
from coterie.conversation import AnyConversationEvent, Conversation, Delivered, Operation, OperationState
from coterie.conversation.entries import FIRST_PART, PARTS
from coterie.models import ModelReply, ModelRequest, PromptMessage, TextDelta, TextMessage, ToolCall, ToolResult

T = TypeVar("T")


class Gate(Signal):
    """Opened once, from anywhere; waited for by ``await`` on any loop, or by `wait` on a thread."""

    def __await__(self) -> Generator[Any, None, None]:
        if not self.done:
            yield from self.suspend()


class Script:
    """A model. `answer` gets the request and returns a reply, a text, or an error that is raised."""

    def __init__(self, answer: Callable[[ModelRequest], ModelReply | str | Exception]) -> None:
        self.answer = answer
        self.requests: list[ModelRequest] = []
        self.name = "script"
        self.gates: dict[str, Gate] = {}
        """By the start of a request's step: opened before the last word of the reply is said."""
        self.reached: dict[str, Gate] = {}
        self._lock = threading.Lock()

    def hold(self, step: str) -> tuple[Gate, Gate]:
        """Have replies to such requests stop before their last word; return what tells so, and what lets them go on."""
        self.gates[step], self.reached[step] = Gate(), Gate()
        return self.reached[step], self.gates[step]

    async def ask(self, request: ModelRequest) -> ModelReply:
        raise NotImplementedError

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        with self._lock:
            self.requests.append(request)
        assert_paired(request.exchanges)
        answer = self.answer(request)
        if isinstance(answer, Exception):
            raise answer
        reply = ModelReply(text=answer) if isinstance(answer, str) else answer
        words = reply.text.split(" ")
        for word in words[:-1]:
            yield TextDelta(word + " ")
        for step, gate in list(self.gates.items()):
            if request.step.startswith(step):
                self.reached[step].set()
                await gate
        if words[-1]:
            yield TextDelta(words[-1])
        yield reply


def assert_paired(exchanges: Sequence[PromptMessage]) -> None:
    """See that behind each batch of calls comes one result for every call in it, and no result anywhere else."""
    waiting: list[str] = []
    answered = False
    seen: set[str] = set()
    for exchange in exchanges:
        if isinstance(exchange, ToolCall):
            assert not (waiting and answered), "a call stands among results"
            assert exchange.id not in seen, "two calls have one id"
            seen.add(exchange.id)
            waiting.append(exchange.id)
        elif isinstance(exchange, ToolResult):
            assert exchange.id in waiting, "a result has no call"
            waiting.remove(exchange.id)
            answered = bool(waiting)
        else:
            assert not waiting, "a call has no result"
            answered = False
    assert not waiting, "a call has no result"


def calls(*pairs: tuple[str, Mapping[str, Any]], text: str = "") -> ModelReply:
    return ModelReply(text=text, calls=tuple(ToolCall(f"x{index}", name, given) for index, (name, given) in enumerate(pairs)))


def by_words(request: ModelRequest) -> ModelReply | str:
    """Call ``tool {json}`` for each line that begins with ``!``, tell results, answer all else."""
    import json  # noqa: PLC0415 - the one use

    if request.step.startswith("delivery"):
        return "merged: " + "; ".join(each.content for each in request.exchanges if isinstance(each, ToolResult))[-400:]
    last = request.exchanges[-1]
    if isinstance(last, ToolResult):
        results: list[str] = []
        for each in reversed(request.exchanges):
            if not isinstance(each, ToolResult):
                break
            results.insert(0, each.content)
        return "; ".join(results)
    assert isinstance(last, TextMessage)
    wanted = [line[1:].partition(" ") for line in last.text.splitlines() if line.startswith("!")]
    if wanted:
        return calls(*((name, json.loads(given) if given else {}) for name, _, given in wanted))
    return f"you said {last.text}"


def run(work: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Run a test on a loop of its own, with a time limit."""

    async def limited() -> Any:
        async with asyncio.timeout(seconds):
            return await work()

    return asyncio.run(limited())


async def next_delivery(chat: Conversation, after: int) -> Delivered:
    async for event in chat.events(after):
        if isinstance(event, Delivered):
            return event
    raise AssertionError("the conversation has ended")


async def all_events(chat: Conversation) -> list[AnyConversationEvent]:
    """Return what is in the log by now, and in memory."""
    found: list[AnyConversationEvent] = []
    last = chat.last_event
    reopened = last & ((1 << PARTS) - 1) == FIRST_PART
    async for event in chat.events(0):
        found.append(event)
        if event.id >= last or (reopened and event.id >> PARTS == last >> PARTS):
            break
    return found


async def kill(chat: Conversation) -> None:
    """End the agents of a conversation as the end of the process does: nothing is recorded any more."""
    await asyncio.to_thread(chat.conversations._runtime.stop, drain=False)  # there is no public way to crash


def state_of(chat: Conversation, number: int) -> OperationState:
    return operation(chat, number).state


def operation(chat: Conversation, number: int) -> Operation:
    return next(each for each in chat.operations() if each.number == number)
