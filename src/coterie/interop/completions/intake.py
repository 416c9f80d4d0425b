"""What a request for a completion brings along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from coterie.interop.threads.records import digest
from coterie.interop.web.bodies import HTTPProblem

_SHOWN = 5


class Part(BaseModel):
    """A part of a message."""

    model_config = ConfigDict(extra="ignore")
    type: str
    text: str | None = None


class CompletionMessage(BaseModel):
    """A message. What is here for other servers is read over."""

    model_config = ConfigDict(extra="ignore")
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None


class StreamOptions(BaseModel):
    """How a stream ends."""

    model_config = ConfigDict(extra="ignore")
    include_usage: bool = False


class Body(BaseModel):
    """The body of a request. Sampling parameters are accepted and have no effect: the assistant has its own."""

    model_config = ConfigDict(extra="ignore")
    model: str = Field(min_length=1)
    messages: list[CompletionMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int | None = None
    user: str | None = Field(default=None, max_length=512)
    safety_identifier: str | None = Field(default=None, max_length=512)
    metadata: dict[str, Any] | None = None
    tools: list[Any] | None = None


@dataclass(frozen=True)
class CompletionRequest:
    """A request that was checked."""

    model: str
    text: str
    """What the user says now."""
    user: str
    lines: tuple[tuple[str, str], ...]
    """What was said before: role and text, without what the front end tells the model."""
    stream: bool
    usage: bool

    @property
    def begins(self) -> bool:
        """Whether nothing was answered before."""
        return not any(role == "assistant" for role, _ in self.lines)

    def before(self) -> str:
        """Return what stands for the history that this goes on from."""
        return digest(self.user, self.lines)

    def afterwards(self, answer: str) -> str:
        """Return what will stand for the history once the answer is part of it."""
        return digest(self.user, (*self.lines, ("user", self.text), ("assistant", answer)))


def take(body: Any, name: str) -> CompletionRequest:
    """Return what a body asks for. Raises `HTTPProblem`, with the parameter that is wrong."""
    try:
        given = Body.model_validate(body)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in error.errors()]
        first = ".".join(map(str, error.errors()[0]["loc"])) or None
        raise HTTPProblem(400, "; ".join(faults[:_SHOWN]), param=first) from error
    if given.model != name:
        raise HTTPProblem(404, f"there is no model {given.model!r} here, only {name!r}", param="model", code="model_not_found")
    if given.n not in (None, 1):
        raise HTTPProblem(400, f"n = {given.n} is not possible: a conversation goes on in one way; leave n out", param="n")
    if given.tools:
        raise HTTPProblem(400, "tools: the assistant has its own; leave them out", param="tools", code="unsupported_parameter")
    lines = [(each.role, _text(each, place)) for place, each in enumerate(given.messages) if each.role in ("user", "assistant")]
    if not lines or lines[-1][0] != "user" or given.messages[-1].role != "user":
        raise HTTPProblem(400, "messages: the last is to be the user's; there is nothing to answer", param="messages")
    usage = given.stream_options is not None and given.stream_options.include_usage
    return CompletionRequest(
        given.model, lines[-1][1], given.user or given.safety_identifier or "", tuple(lines[:-1]), given.stream, usage
    )


def _text(message: CompletionMessage, place: int) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    return "\n".join(_texts(message.content, place))


def _texts(parts: Sequence[Part], place: int) -> list[str]:
    texts = []
    for part in parts:
        if part.type != "text" or part.text is None:
            raise HTTPProblem(
                400, f"a part of type {part.type!r} cannot be taken in, only text", param=f"messages.{place}.content"
            )
        texts.append(part.text)
    return texts
