"""Authentication by an access token."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from coterie.interop.responses import HTTPProblem
from coterie.kernel.access import AccessToken

OPEN = ("/health", "/.well-known/agent-card.json")
"""Paths that need no token."""


USER = "coterie.user"
"""The key of a scope under which the user stands whose own token a request brought."""


def verified_user(request: HTTPConnection, headers: tuple[str, ...]) -> str:
    """Return the user of a request, or an empty text if it is anonymous. No other code determines the user.

    A token of the user's own comes first. Otherwise the first of `headers` in the request counts, because the holder of the
    shared token is trusted to set it. The body, the path and the query never count. Raises `HTTPProblem` for a header that
    occurs twice, or that names another user than the token.
    """
    own = request.scope.get(USER, "")
    given = next((found for name in headers if (found := request.headers.getlist(name))), [])
    if len(given) > 1:
        raise HTTPProblem(400, "the header that names the user is given more than once")
    named = given[0].strip() if given else ""
    if own and named and named != own:
        raise HTTPProblem(403, "this token belongs to another user than the header names")
    return str(own or named)


def acting_person(request: HTTPConnection, user: str, headers: tuple[str, ...]) -> str:
    """Return the person who approves or resolves: the user, or the one that the holder of the shared token names.

    A token of the user's own acts for that user alone. Raises `HTTPProblem` if it comes with such a header.
    """
    given = next((found for name in headers if (found := request.headers.get(name, "").strip())), "")
    if given and given != user and request.scope.get(USER):
        raise HTTPProblem(403, "this token belongs to another person than the header names")
    return given or user


class TokenAuthMiddleware:
    """ASGI middleware that rejects requests without the token, before any other code reads them."""

    def __init__(self, app: ASGIApp, token: AccessToken, users: Mapping[str, AccessToken]) -> None:
        self._app = app
        self._token = token
        self._users = dict(users)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or reject it."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in OPEN):
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # there are no web sockets here; the server closes it
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        kind, _, secret = (given[0] if len(given) == 1 else b"").decode("latin-1").partition(" ")
        if kind.lower() == "bearer":
            if self._token.matches(secret.strip()):
                await self._app(scope, receive, send)
                return
            user = next((name for name, token in self._users.items() if token.matches(secret.strip())), None)
            if user is not None:
                await self._app({**scope, USER: user}, receive, send)
                return
        message = "the token is missing or wrong; send the header `Authorization: Bearer TOKEN`"
        error = {"message": message, "type": "authentication_error", "param": None, "code": "invalid_api_key"}
        await JSONResponse({"error": error}, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
