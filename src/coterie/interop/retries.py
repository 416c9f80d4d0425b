"""Repeated requests: a client that sends a request again, because no answer reached it, gets the answer to the first."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request

from coterie.errors import CoterieError
from coterie.interop.responses import HTTPProblem, status_of
from coterie.kernel import Clock
from coterie.storage import Database, Schema, Transaction

_SCHEMA = Schema(
    "serving_requests",
    (
        """
        CREATE TABLE serving_requests (key TEXT PRIMARY KEY, thread TEXT NOT NULL, message TEXT NOT NULL, body TEXT NOT NULL,
            answer TEXT, at DOUBLE PRECISION NOT NULL);
        CREATE INDEX serving_requests_by_time ON serving_requests (at);
        """,
    ),
)
KEPT = 86_400.0
"""Seconds that a request with an idempotency key is known."""
_KEYS = ("idempotency-key", "x-idempotency-key")
_COUNTS = ("x-stainless-retry-count", "x-retry-count")
"""Headers in which clients count their retries."""
_MAX_KEY_LENGTH = 500
_LOOKS, _LOOKS_COUNTED, _PAUSE = 4, 20, 0.1
"""How often, and with how many seconds in between, to look whether the client of the first request has left."""


@dataclass
class TakenRequest:
    """A request that was taken: its thread, the id of its message, and its answer once there is one."""

    key: str
    thread: str
    message: str
    body: str
    keyed: bool
    answer: str | None = None
    again: bool = False
    """True if it was taken before."""
    delivered: bool = False
    """Set when the answer has been sent to a client that was still there."""
    is_gone: Callable[[], Awaitable[bool]] | None = None
    """Return whether the client of a request that is being answered has left; None if that ends the request itself."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class RequestRecords:
    """The requests that were taken lately, in the store and, while they are answered, in memory. For the server's loop only.

    A request with an idempotency key is known for a day. Without one, a request with the same content counts as a retry
    if the answer to the first did not reach its client: the client has left, or counts its retries in a header, or is a
    known user whose first request is being answered still. So strangers who say the same never share an answer.
    """

    def __init__(self, database: Database, clock: Clock, window: float) -> None:
        self._database = database
        self._clock = clock
        self._window = window
        self._open: dict[str, TakenRequest] = {}
        database.migrate(_SCHEMA)

    @contextlib.asynccontextmanager
    async def take(
        self, request: Request, who: Sequence[str], content: Sequence[object], thread: Callable[[], str], *, known: bool
    ) -> AsyncIterator[TakenRequest]:
        """Take a request in, on the disk, and return it, or the one that it repeats. The block answers it.

        `content` is what two requests have in common if one repeats the other; `thread` names the thread of a new one;
        `known` says that its user is. Raises `HTTPProblem` for a key that was used for another request.
        """
        given, body = _key(request), _hash([*who, *content])
        key = _hash([*who, "key", given]) if given else _hash([*who, "content", body])
        taken = await self._find(request, key, body, keyed=bool(given), known=known)
        if taken is None:
            if key in self._open:
                # A stranger says the same at the same time: neither may get what is the other's.
                key = secrets.token_hex(32)
            taken = TakenRequest(key, thread(), f"request {secrets.token_urlsafe(16)}", body, keyed=bool(given))
            self._open[key] = taken
        first = self._open.setdefault(taken.key, taken) is taken
        try:
            if not taken.again:
                await self._write(taken)
            yield taken
        except CoterieError as error:
            if status_of(error) < 500:  # noqa: PLR2004 - an HTTP status
                # The message was refused, so nothing of it is to be repeated.
                taken.keyed, taken.delivered = False, True
            raise
        finally:
            if first:
                del self._open[taken.key]
                taken.ended.set()
            await asyncio.shield(self._close(taken))

    async def _find(self, request: Request, key: str, body: str, *, keyed: bool, known: bool) -> TakenRequest | None:
        """Wait for the end of the request that this one repeats, and return it. Return None for a new request."""
        before = self._open.get(key)
        if before is not None:
            _check(before.body, body)
            if not (keyed or known or await _is_gone(before, request)):
                return None
            await before.ended.wait()
            return TakenRequest(key, before.thread, before.message, body, keyed=keyed, answer=before.answer, again=True)
        row = self._database.row("SELECT thread, message, body, answer, at FROM serving_requests WHERE key = ?", (key,))
        if row is None or row[4] < self._clock.time() - (KEPT if keyed else self._window):
            return None
        _check(row[2], body)
        return TakenRequest(key, row[0], row[1], row[2], keyed=keyed, answer=row[3], again=True)

    async def _write(self, taken: TakenRequest) -> None:
        now = self._clock.time()

        def write(transaction: Transaction) -> None:
            transaction.execute("DELETE FROM serving_requests WHERE at < ?", (now - KEPT,))
            transaction.execute(
                "INSERT INTO serving_requests VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET thread = excluded.thread,"
                " message = excluded.message, body = excluded.body, answer = excluded.answer, at = excluded.at",
                (taken.key, taken.thread, taken.message, taken.body, taken.answer, now),
            )

        await self._database.write(write)

    async def _close(self, taken: TakenRequest) -> None:
        """Forget a request that was answered; keep one with a key, and one whose answer did not reach the client."""
        if taken.keyed or not taken.delivered:
            if taken.answer is not None or taken.again:
                await self._write(taken)
            return

        def forget(transaction: Transaction) -> None:
            transaction.execute("DELETE FROM serving_requests WHERE key = ? AND message = ?", (taken.key, taken.message))

        await self._database.write(forget)


async def _is_gone(before: TakenRequest, request: Request) -> bool:
    """Return whether the client of a request that is being answered has left; wait a moment if this one says it retries."""
    counted = any(request.headers.get(name, "0") not in ("", "0") for name in _COUNTS)
    for _ in range(_LOOKS_COUNTED if counted else _LOOKS):
        if before.ended.is_set() or (before.is_gone is not None and await before.is_gone()):
            return not before.delivered
        await asyncio.sleep(_PAUSE)
    return False


def _key(request: Request) -> str:
    given = next((value for name in _KEYS if (value := request.headers.get(name, "").strip())), "")
    if len(given) > _MAX_KEY_LENGTH:
        raise HTTPProblem(400, f"the idempotency key has more than {_MAX_KEY_LENGTH} characters; send a shorter one")
    return given


def _check(before: str, now: str) -> None:
    if before != now:
        raise HTTPProblem(422, "this idempotency key was used for another request; use a new key for each request")


def _hash(parts: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode(errors="surrogatepass")).hexdigest()
