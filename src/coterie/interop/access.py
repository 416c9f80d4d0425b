"""Authentication by an access token."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from coterie.errors import InvalidSetting

SHORTEST = 16
"""Minimum characters of a token that the user sets."""
OPEN = ("/health",)
"""Paths that need no token."""


class AccessToken:
    """The secret of requests, sent as ``Authorization: Bearer …``. `repr` and logs never show it.

    Digests are compared in constant time.
    """

    __slots__ = ("_digest", "_text", "generated")

    def __init__(self, text: str, *, generated: bool = False) -> None:
        if len(text) < SHORTEST or not text.isprintable() or " " in text:
            need = f"at least {SHORTEST} printable characters without spaces, such as the output of `openssl rand -hex 24`"
            raise InvalidSetting("token", "***", need)
        self._text = text
        self._digest = hashlib.sha256(text.encode()).digest()
        self.generated = generated
        """True if this process generated it."""

    def __repr__(self) -> str:
        return "<Token ***>"

    @classmethod
    def of(cls, environment: Mapping[str, str], name: str = "COTERIE_TOKEN") -> AccessToken:
        """Return the token from an environment variable, or a new one. Raises `InvalidSetting` for a weak token."""
        given = environment.get(name, "")
        return cls(given) if given else cls(secrets.token_urlsafe(24), generated=True)

    def reveal(self) -> str:
        """Return the secret itself, to show it once to the operator."""
        return self._text

    def matches(self, given: str) -> bool:
        """Return whether `given` is the token."""
        return hmac.compare_digest(self._digest, hashlib.sha256(given.encode()).digest())


class TokenAuthMiddleware:
    """ASGI middleware that rejects requests without the token, before any other code reads them."""

    def __init__(self, app: ASGIApp, token: AccessToken) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or reject it."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in OPEN):
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # there are no web sockets here; the server closes it
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        kind, _, secret = (given[0] if len(given) == 1 else b"").decode("latin-1").partition(" ")
        if kind.lower() == "bearer" and self._token.matches(secret.strip()):
            await self._app(scope, receive, send)
            return
        message = "the token is missing or wrong; send the header `Authorization: Bearer TOKEN`"
        error = {"message": message, "type": "authentication_error", "param": None, "code": "invalid_api_key"}
        await JSONResponse({"error": error}, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
