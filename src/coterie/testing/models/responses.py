"""Responses of the model server: how a request is served, and its bytes on the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """The behaviour of the server for one request; by default a correct answer at once."""

    text: str | None = None
    """The text of the reply; None for ``you said`` and the last message, or for a value that fits the schema."""
    calls: Sequence[tuple[str, Mapping[str, Any] | str]] = ()
    """Tools that the reply calls, with arguments; a string is sent unchanged, JSON or not."""
    delay: float = 0.0
    """Seconds before the answer."""
    pace: float = 0.0
    """Seconds between the pieces of a stream."""
    status: int = 200
    """The HTTP status; 400 or more answers with an error."""
    headers: Mapping[str, str] = {}
    """Additional headers, such as ``Retry-After``."""
    error: str = ""
    """The text of an error."""
    code: str | None = None
    """The code of an error, such as ``context_length_exceeded``."""
    body: str | None = None
    """Sent unchanged instead of a reply, for example broken JSON. In a stream, instead of its second piece."""
    break_after: int | None = None
    """Pieces of a stream after which the connection is cut; without a stream, cut before the answer if it is 0."""
    hang: bool = False
    """Whether to send nothing more: before the answer, or after `break_after` pieces of a stream."""
    usage: tuple[int, int] | None = None
    """Tokens of prompt and reply; None for one token per word."""
    finish: str | None = None
    """The provider's finish reason."""

    @classmethod
    def rate_limited(cls, retry_after: str | float | None = None) -> Served:
        """Answer 429, with a `Retry-After` of seconds or a date."""
        headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
        return cls(status=429, headers=headers, error="Rate limit reached", code="rate_limit_exceeded")

    @classmethod
    def failing(cls, status: int = 500) -> Served:
        """Answer with an error of the server."""
        return cls(status=status, error="The server had an error")

    @classmethod
    def too_long(cls) -> Served:
        """Answer with the error of a context that is too long."""
        text = "This model's maximum context length is 128 tokens. Please reduce the length of the messages."
        return cls(status=400, error=text, code="context_length_exceeded")


def fill(schema: Mapping[str, Any], definitions: Mapping[str, Any] | None = None) -> Any:
    """Return a value that fits a schema of the kinds that types make: objects, lists, enumerations, unions, references."""
    known: Mapping[str, Any] = schema.get("$defs", {}) if definitions is None else definitions
    if "$ref" in schema:
        return fill(known[schema["$ref"].rpartition("/")[2]], known)
    choices = next((schema[name] for name in ("anyOf", "oneOf", "allOf") if name in schema), None)
    if choices is not None:
        return fill(choices[0], known)
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    kind = schema.get("type")
    return _simple(kind[0] if isinstance(kind, list) else kind, schema, known)


def _simple(kind: str | None, schema: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    if kind == "object" or "properties" in schema:
        properties: Mapping[str, Any] = schema.get("properties", {})
        return {name: fill(properties[name], known) for name in schema.get("required", properties) if name in properties}
    if kind == "array":
        if "prefixItems" in schema:
            return [fill(each, known) for each in schema["prefixItems"]]
        return [fill(schema.get("items", {}), known) for _ in range(schema.get("minItems", 1))]
    if kind in ("integer", "number"):
        return max(1, schema.get("minimum", 1))
    if kind in ("boolean", "null"):
        return True if kind == "boolean" else None
    return "text"[: schema.get("maxLength", 4)].ljust(schema.get("minLength", 0), ".")


_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Return the head of an HTTP answer."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def whole(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """Return an HTTP answer with its body."""
    every = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    return head(status, every) + body


def chunk(data: bytes) -> bytes:
    """Return a chunk of a body of unknown length; empty data makes the last chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(value: object) -> bytes:
    """Return a server-sent event."""
    return b"data: " + (value.encode() if isinstance(value, str) else json.dumps(value).encode()) + b"\n\n"


def error(served: Served) -> bytes:
    """Return the body of an error."""
    kind = "invalid_request_error" if served.status < 500 else "server_error"
    return json.dumps({"error": {"message": served.error, "type": kind, "param": None, "code": served.code}}).encode()


class ServedReply:
    """The reply to one request, whole or in pieces."""

    def __init__(self, request: Mapping[str, Any], served: Served, number: int) -> None:
        self._request = request
        self._served = served
        self._number = number
        self.text = self._say() if served.text is None and not served.calls else served.text or ""

    @property
    def streamed(self) -> bool:
        """True if the client asks for a stream."""
        return bool(self._request.get("stream"))

    def body(self) -> bytes:
        """Return the body of the whole reply."""
        message = {"role": "assistant", "content": self.text or None, "tool_calls": self._calls() or None}
        choice = {"index": 0, "message": message, "finish_reason": self._finish(), "logprobs": None}
        return json.dumps({**self._frame("chat.completion"), "choices": [choice], "usage": self._usage()}).encode()

    def pieces(self) -> Iterator[bytes]:
        """Return the events of a stream."""
        for number, word in enumerate(self._words()):
            yield self._piece({"role": "assistant", "content": word} if number == 0 else {"content": word})
        if self._served.calls:
            yield self._piece({"tool_calls": [{"index": number, **call} for number, call in enumerate(self._calls())]})
        yield self._piece({}, self._finish())
        yield event({**self._frame("chat.completion.chunk"), "choices": [], "usage": self._usage()})
        yield event("[DONE]")

    def _piece(self, delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return event({**self._frame("chat.completion.chunk"), "choices": [choice]})

    def _frame(self, kind: str) -> dict[str, Any]:
        model = self._request.get("model", "served")
        return {"id": f"chatcmpl-{self._number}", "object": kind, "created": 1_700_000_000, "model": model}

    def _calls(self) -> list[dict[str, Any]]:
        return [
            {
                "id": f"call-{self._number}-{place}",
                "type": "function",
                "function": {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)},
            }
            for place, (name, given) in enumerate(self._served.calls)
        ]

    def _finish(self) -> str:
        return self._served.finish or ("tool_calls" if self._served.calls else "stop")

    def _usage(self) -> dict[str, int]:
        prompt = sum(len(said(message).split()) for message in self._request.get("messages", ()))
        given, taken = self._served.usage or (prompt, len(self.text.split()))
        return {"prompt_tokens": given, "completion_tokens": taken, "total_tokens": given + taken}

    def _say(self) -> str:
        wanted = self._request.get("response_format") or {}
        if wanted.get("type") == "json_schema":
            return json.dumps(fill(wanted["json_schema"]["schema"]))
        messages = self._request.get("messages") or [{}]
        return f"you said {said(messages[-1])}"

    def _words(self) -> list[str]:
        return [word for word in self.text.replace(" ", " \0").split("\0") if word]


def said(message: Mapping[str, Any]) -> str:
    """Return the text of a message, whose content may be in parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return str(content or "")
