"""Who may come in: whoever has the token."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from coterie.errors import InvalidSetting

SHORTEST = 16
"""Characters of a token that is set by hand."""
OPEN = ("/health",)
"""What anybody may ask."""


class AccessToken:
    """A secret that requests must bring, as ``Authorization: Bearer …``. Never shown by `repr`, never logged.

    Only its digest is compared, in a time that does not depend on where two differ.
    """

    __slots__ = ("_digest", "_text", "generated")

    def __init__(self, text: str, *, generated: bool = False) -> None:
        if len(text) < SHORTEST or not text.isprintable() or " " in text:
            need = f"at least {SHORTEST} printable characters without spaces, such as the output of `openssl rand -hex 24`"
            raise InvalidSetting("token", "***", need)
        self._text = text
        self._digest = hashlib.sha256(text.encode()).digest()
        self.generated = generated
        """Whether nobody knows it yet but this process."""

    def __repr__(self) -> str:
        return "<Token ***>"

    @classmethod
    def of(cls, environment: Mapping[str, str], name: str = "COTERIE_TOKEN") -> AccessToken:
        """Return the token that the environment holds, or a new one. Raises `InvalidSetting` for one that is too weak."""
        given = environment.get(name, "")
        return cls(given) if given else cls(secrets.token_urlsafe(24), generated=True)

    def reveal(self) -> str:
        """Return the secret itself, to be shown once to whoever runs the server."""
        return self._text

    def matches(self, given: str) -> bool:
        """Return whether that is the token."""
        return hmac.compare_digest(self._digest, hashlib.sha256(given.encode()).digest())


class TokenAuthMiddleware:
    """ASGI middleware that lets nobody pass without the token. It stands before everything that reads a request."""

    def __init__(self, app: ASGIApp, token: AccessToken) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
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
