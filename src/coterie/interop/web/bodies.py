"""Requests that are read with a limit, and the one form in which they are refused."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse


class HTTPProblem(Exception):
    """A request cannot be answered, and why. `status` is that of HTTP, `param` the key that is wrong."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code

    def response(self) -> JSONResponse:
        """Return it as it is sent: in the form that clients of completions know."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"  # noqa: PLR2004 - as HTTP has it
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return JSONResponse({"error": error}, self.status)


async def read_json(request: Request, limit: int) -> Any:
    """Return the body of a request. Raises `HTTPProblem` for one that is too long, or no JSON."""
    too_long = HTTPProblem(413, f"the request has more than {limit} bytes; send less", code="request_too_large")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise too_long
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_long
    try:
        # Two readers would have to agree on what is JSON; the strict one decides.
        return msgspec.json.decode(bytes(body))
    except (msgspec.DecodeError, RecursionError) as error:
        raise HTTPProblem(400, f"the body is not JSON: {error}", code="invalid_json") from error
