"""The ASGI application of a console: pages, their live parts, and actions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from coterie.console.access import Admission, check_same_origin, visitor
from coterie.console.audit import AuditEntry, AuditLog
from coterie.console.metrics import metrics_endpoint
from coterie.console.options import ConsoleOptions
from coterie.console.page import ConsoleAction, Page, Visit
from coterie.console.problems import ConsoleProblem
from coterie.console.rendering import STATIC, Renderer, in_path
from coterie.console.sources import Sources
from coterie.errors import CoterieError, describe
from coterie.kernel import Clock, SystemClock
from coterie.kernel.access import AccessToken

_LONGEST_FORM = 65_536
_NEARLY = 0.9
_SLOW = 3.0
"""Seconds between two updates, beyond which the page says so."""
_OPERATOR = "operator"
_log = logging.getLogger(__name__)


class ConsoleApplication:
    """The pages and actions of one console. Its loop's thread uses it; pages are read on threads of the server."""

    def __init__(
        self,
        sources: Sources,
        pages: Iterable[Page],
        actions: Iterable[ConsoleAction],
        options: ConsoleOptions,
        clock: Clock,
        audit: AuditLog,
    ) -> None:
        self._sources = sources
        self._pages = tuple(pages)
        self._actions = tuple(actions)
        self._options = options
        self._clock = clock
        self._renderer = Renderer(clock)
        self._audit = audit
        self.closing: asyncio.Event | None = None
        """Set when the server stops, so that streams end. Made on the server's loop."""
        self.viewers = 0
        """The pages that are open and visible now."""
        self.visited = False
        """Whether a page was ever opened."""

    def asgi(self, token: AccessToken, users: Mapping[str, AccessToken], port: int) -> Starlette:
        """Return the application that admits the holders of these tokens."""
        routes = [Route("/health", _health), Mount("/static", StaticFiles(directory=STATIC))]
        routes.append(Route("/metrics", metrics_endpoint(self._sources)))
        for page in self._pages:
            # The more special paths first: a name in a path may be anything.
            base = page.path.rstrip("/")
            routes.append(Route(f"{base}/-/parts", self._admitted(page, self._parts)))
            routes.append(Route(f"{base}/-/stream", self._admitted(page, self._stream)))
        routes.extend(Route(page.path, self._admitted(page, self._page)) for page in self._pages)
        routes.extend(Route(each.path, self._action(each), methods=["POST"]) for each in self._actions)
        admission = Middleware(Admission, token=token, users=users, problem=self._problem_page, port=port)
        return Starlette(
            routes=routes,
            middleware=[admission],
            exception_handlers={ConsoleProblem: self._refused, HTTPException: self._unknown, Exception: self._broken},
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self.closing = asyncio.Event()
        yield

    # Pages.

    def _admitted(
        self, page: Page, answer: Callable[[Page, Request, Visit], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            user = visitor(request)
            if user and not page.for_users:
                raise ConsoleProblem(
                    403, "This page is for the operator. Your token shows your own conversations and memories."
                )
            self.visited = True
            return await answer(page, request, Visit(self._sources, _path(request), request.query_params, user))

        return endpoint

    async def _page(self, page: Page, request: Request, visit: Visit) -> Response:
        html = await run_in_threadpool(lambda: self._renderer.page(page, self._read(page, request, visit)))
        return HTMLResponse(html, headers={"Cache-Control": "no-store"})

    async def _parts(self, page: Page, request: Request, visit: Visit) -> Response:
        parts = await run_in_threadpool(lambda: self._renderer.parts(page, self._read(page, request, visit)))
        return Response(msgspec.json.encode(parts), media_type="application/json", headers={"Cache-Control": "no-store"})

    async def _stream(self, page: Page, request: Request, visit: Visit) -> Response:
        headers = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._updates(page, request, visit), media_type="text/event-stream", headers=headers)

    async def _updates(self, page: Page, request: Request, visit: Visit) -> AsyncIterator[str]:
        """Yield the live parts of a page as they change, at a rate that costs at most `share` of a processor."""
        sent: dict[str, str] = {}
        silent = before = 0.0
        assert self.closing is not None
        self.viewers += 1
        try:
            while not self.closing.is_set():
                parts, cost, whole = await run_in_threadpool(self._costed, page, request, visit)
                # The smaller of two: the first one loads templates, and one may have read a long log.
                usual = min(cost, before)
                pause = max(self._options.period, min(usual / self._options.share, self._options.slowest))
                if whole:
                    pause = max(pause, usual / self._options.most_share)
                before = cost
                if pause > _SLOW or "connection" in sent:
                    parts["connection"] = _pace(pause)
                changed = {name: html for name, html in parts.items() if sent.get(name) != html}
                sent.update(changed)
                silent = 0.0 if changed else silent + pause
                if changed:
                    yield f"data: {msgspec.json.encode(changed).decode()}\n\n"
                elif silent >= self._options.heartbeat:
                    silent = 0.0
                    yield ": still here\n\n"
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.closing.wait(), pause)
        finally:
            self.viewers -= 1

    def _costed(self, page: Page, request: Request, visit: Visit) -> tuple[dict[str, str], float, bool]:
        """Return the parts, the processor time that they took, and whether the page has read nearly all that there is."""
        began, whole = SystemClock.thread(), True
        try:
            values = self._read(page, request, visit)
            whole = values.get("reading", 1.0) >= _NEARLY
            parts = self._renderer.parts(page, values)
        except ConsoleProblem as problem:
            parts = {"problem": self._renderer.notice(problem.message)}
        else:
            parts["problem"] = ""
        return parts, SystemClock.thread() - began, whole

    def _read(self, page: Page, request: Request, visit: Visit) -> dict[str, Any]:
        try:
            found = dict(page.read(visit))
        except (CoterieError, OSError) as error:
            raise ConsoleProblem(409, str(error)) from error
        base = page.path.rstrip("/").format(**{key: in_path(value) for key, value in visit.path.items()})
        return {
            "visit": visit,
            "live_path": f"{base}/-/",
            "here": base or "/",
            "query": request.url.query,
            "read_only": self._options.read_only,
            "operator": not visit.user,
            **found,
        }

    # Actions.

    def _action(self, action: ConsoleAction) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            user = visitor(request)
            check_same_origin(request)
            visit = Visit(self._sources, _path(request), await _form(request), user)
            target = " ".join(str(value) for value in (*visit.path.values(), *visit.query.values()))[:300]
            outcome, status = await self._done(action, visit)
            who = user or _OPERATOR
            self._audit.add(AuditEntry(self._clock.time(), who, action.name, target, outcome, status == 200))  # noqa: PLR2004
            if "application/json" in request.headers.get("accept", ""):
                return JSONResponse({"message": outcome, "done": status == 200}, status)  # noqa: PLR2004 - an HTTP status
            return HTMLResponse(self._renderer.outcome(outcome, request.headers.get("referer", "/")), status)

        return endpoint

    async def _done(self, action: ConsoleAction, visit: Visit) -> tuple[str, int]:
        if self._options.read_only:
            return "This console is read-only: it was started so that it changes nothing.", 403
        if visit.user and not action.for_users:
            return "This action is for the operator.", 403
        try:
            return await run_in_threadpool(action.act, visit), 200
        except ConsoleProblem as problem:
            return problem.message, problem.status
        except (CoterieError, OSError) as error:
            return str(error), 409

    # Problems.

    def _problem_page(self, request: Request, problem: ConsoleProblem) -> Response:
        if request.method == "POST" or request.url.path.endswith(("/-/parts", "/-/stream")):
            return JSONResponse({"message": problem.message, "done": False}, problem.status)
        return HTMLResponse(self._renderer.problem(problem.status, problem.message), problem.status)

    async def _refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, ConsoleProblem)
        return self._problem_page(request, error)

    async def _unknown(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return self._problem_page(request, ConsoleProblem(error.status_code, f"There is nothing at {request.url.path}."))

    async def _broken(self, request: Request, error: Exception) -> Response:
        _log.error("%s %s: %s", request.method, request.url.path, describe(error), exc_info=error)
        return self._problem_page(request, ConsoleProblem(500, "Something went wrong here; the log of the console says what."))


def _pace(pause: float) -> str:
    """Return how often a page is updated, for its reader, in few different texts."""
    return "live" if pause <= _SLOW else f"live, every {max(5, round(pause / 5) * 5)} s"


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _form(request: Request) -> QueryParams:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_FORM:
            raise ConsoleProblem(413, f"The form has more than {_LONGEST_FORM} bytes; send less.")
    return QueryParams(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _path(request: Request) -> dict[str, str]:
    """Return the variable parts of a path, as they were before `in_path`."""
    return {key: str(value).replace("%2F", "/").replace("%25", "%") for key, value in request.path_params.items()}
