"""What an OpenAI-compatible server writes: replies, pieces of a stream, errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from coterie.testing.models.behaviour import Served
from coterie.testing.models.filling import fill

_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Return the first lines of an HTTP answer."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def whole(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """Return an HTTP answer with its body."""
    every = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    return head(status, every) + body


def chunk(data: bytes) -> bytes:
    """Return a chunk of a body whose length is not known before; the last if it is empty."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(value: object) -> bytes:
    """Return a server-sent event."""
    return b"data: " + (value.encode() if isinstance(value, str) else json.dumps(value).encode()) + b"\n\n"


def error(served: Served) -> bytes:
    """Return the body of an error."""
    kind = "invalid_request_error" if served.status < 500 else "server_error"
    return json.dumps({"error": {"message": served.error, "type": kind, "param": None, "code": served.code}}).encode()


class Reply:
    """The reply to one request, whole or in pieces."""

    def __init__(self, request: Mapping[str, Any], served: Served, number: int) -> None:
        self._request = request
        self._served = served
        self._number = number
        self.text = self._say() if served.text is None and not served.calls else served.text or ""

    @property
    def streamed(self) -> bool:
        """Whether it is wanted in pieces."""
        return bool(self._request.get("stream"))

    def body(self) -> bytes:
        """Return it whole."""
        message = {"role": "assistant", "content": self.text or None, "tool_calls": self._calls() or None}
        choice = {"index": 0, "message": message, "finish_reason": self._finish(), "logprobs": None}
        return json.dumps({**self._frame("chat.completion"), "choices": [choice], "usage": self._usage()}).encode()

    def pieces(self) -> Iterator[bytes]:
        """Return it as the events of a stream."""
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
