"""Admit requests by a token, once in a link and then by a cookie, and actions only from the console's own pages."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from coterie.console.problems import ConsoleProblem, ProblemPage
from coterie.kernel.access import AccessToken

VISITOR = "coterie.visitor"
"""The key of a scope under which the admitted user stands; an empty text for the operator."""
_OPEN = ("/health", "/static/")
_HEADERS = (
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class Admission:
    """ASGI middleware that admits the operator and users by their tokens, and adds the headers that restrict pages.

    The link has the token once; the answer sets a cookie with a digest of it, which pages and scripts cannot read, and
    forwards to the address without the token. Programs may send ``Authorization: Bearer TOKEN`` instead.
    """

    def __init__(
        self, app: ASGIApp, token: AccessToken, users: Mapping[str, AccessToken], problem: ProblemPage, port: int = 0
    ) -> None:
        self._app = app
        self._tokens: dict[str, AccessToken] = {"": token, **users}
        self._sessions = {_session(each): user for user, each in self._tokens.items()}
        self._problem = problem
        self.cookie = f"coterie-console-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an admitted request on, answer one with the token in its link, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def restricted(message: object) -> None:
            if isinstance(message, dict) and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS]
            await send(message)  # type: ignore[arg-type] # it is one

        request = Request(scope)
        if any(scope["path"].startswith(path) for path in _OPEN):
            await self._app(scope, receive, restricted)
            return
        given = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        if "token" in given and request.method == "GET":
            await self._enter(request, given)(scope, receive, restricted)
            return
        user = self._user(request)
        if user is None:
            problem = ConsoleProblem(401, "The token is missing or wrong. Open the link that the console printed at its start.")
            await self._problem(request, problem)(scope, receive, restricted)
            return
        await self._app({**scope, VISITOR: user}, receive, restricted)

    def _enter(self, request: Request, given: dict[str, str]) -> ASGIApp:
        token = next((each for each in self._tokens.values() if each.matches(given["token"])), None)
        if token is None:
            problem = ConsoleProblem(401, "This link has a wrong token. Each start of a console prints a new link.")
            return self._problem(request, problem)
        del given["token"]
        query = f"?{urlencode(given)}" if given else ""
        response = RedirectResponse(request.url.path + query, 303)
        response.set_cookie(self.cookie, _session(token), httponly=True, samesite="lax", path="/")
        return response

    def _user(self, request: Request) -> str | None:
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return next((user for user, each in self._tokens.items() if each.matches(secret.strip())), None)
        given = request.cookies.get(self.cookie, "")
        return next((user for session, user in self._sessions.items() if hmac.compare_digest(session, given)), None)


def _session(token: AccessToken) -> str:
    return hashlib.sha256(f"console {token.reveal()}".encode()).hexdigest()


def visitor(request: HTTPConnection) -> str:
    """Return the admitted user of a request; an empty text for the operator."""
    return str(request.scope[VISITOR])


def check_same_origin(request: Request) -> None:
    """Raise `ConsoleProblem` for an action that another site's page sends."""
    if request.headers.get("authorization"):
        return  # a program, which has the token itself; a browser does not add this header for another site
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    if (
        request.headers.get("sec-fetch-site", "same-origin") != "same-origin"
        or origin is None
        or urlsplit(origin).netloc != host
    ):
        raise ConsoleProblem(403, "Actions are accepted from the console's own pages only.")
