"""Limits and budgets of models over a whole cluster: one agent keeps them, and gateways ask it for each attempt.

An attempt takes seconds, and the question a round trip between nodes, so nothing is shared out in advance: the limits hold exactly,
whichever gateway asks. A gateway that dies leaves its attempts to the agent, which books them by their estimates.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType

import msgspec

from coterie.cluster.cluster import Cluster
from coterie.errors import BudgetExhausted, DeliveryError, ModelUnavailable, NameTaken, RateLimited, describe
from coterie.errors.cluster import ClusterError
from coterie.messaging import Message, Stream
from coterie.models import Budget, ModelReply, ModelRequest, Price, RateLimits, TextDelta, Usage
from coterie.models.contract import reading
from coterie.models.policies import BudgetedModel, BudgetLedger, Meter, RateLimitedModel, TokenEstimator
from coterie.models.policies.shared import SharedTurn
from coterie.runtime import Agent, AgentRef, ReplyStream, on
from coterie.storage import Database, Schema, open_database

_CHARACTERS = 4
_WINDOW = 60.0
_WITHIN = 30.0
"""Seconds that an agent of a budget has to take the end of a turn."""
_SCHEMA = Schema(
    "cluster_budgets",
    (
        "CREATE TABLE cluster_budgets (name TEXT PRIMARY KEY, spent TEXT NOT NULL);",
        "ALTER TABLE cluster_budgets ADD COLUMN at DOUBLE PRECISION NOT NULL DEFAULT 0;",
    ),
)
_NOW = "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"
"""The time of the database, in seconds."""

_encode = msgspec.json.encode


class TakeModelTurn(Stream[bytes]):
    """Asks for the turn of a request. The item is a `ModelTurnGiven`; the stream ends with the turn."""

    turn: str
    agent: str
    prompt: int
    """The estimated tokens of the prompt."""
    max_tokens: int | None = None
    priority: int = 0


class ModelTurnGiven(msgspec.Struct, frozen=True):
    """That a request may be sent, or the budget that does not permit it."""

    refused: str = ""
    """The exhausted part of the budget: requests, tokens or dollars."""
    agent: str = ""
    limit: float = 0.0
    spent: float = 0.0


class EndModelTurn(Message):
    """The usage of a request, at the end of its turn."""

    turn: str
    usage: Usage
    retry_after: float | None = None


class ModelBudgetKeeper(Agent):
    """Keeps limits and budgets, by the policies of a gateway: its model is whoever has got the turn."""

    def __init__(
        self,
        name: str,
        limits: RateLimits,
        budget: Budget,
        agent_budget: Budget,
        price: Price | None = None,
        store: str = "",
        rest: float = 0.0,
    ) -> None:
        self._name = name
        self._has_rates = limits.requests_per_minute is not None or limits.tokens_per_minute is not None
        self._ends: dict[str, asyncio.Future[EndModelTurn]] = {}
        self._store = store
        self._rest = rest
        self._database: Database | None = None
        estimator = TokenEstimator()
        cost: Callable[[int, int], float | None] = price.of if price is not None else _no_price
        self._ledger = BudgetLedger(budget, agent_budget, {}, estimator, cost)
        within = BudgetedModel(_Lender(name, self._ends), self._ledger)
        self._model = RateLimitedModel(within, limits, estimator, Meter(name), self._ledger, None)

    async def on_start(self) -> None:
        """Read the spending, and wait until what an earlier agent has let through is a minute old."""
        if self._store:
            self._database = await self.context.run_blocking(self._open)
        if self._rest:
            await asyncio.sleep(self._rest)

    def _open(self) -> Database:
        database = open_database(self._store)
        database.migrate(_SCHEMA)
        row = database.row(f"SELECT spent, {_NOW} - at FROM cluster_budgets WHERE name = ?", (self._name,))  # noqa: S608 - our own
        if row is not None:
            self._ledger.restore(msgspec.json.decode(row[0]))
        if self._has_rates:
            # The earlier agent stored the time of each request, so this one knows better than the gateway that has started it.
            self._rest = 0.0 if row is None else min(_WINDOW, max(0.0, _WINDOW - row[1]))
        return database

    def on_stop(self) -> None:
        """Close the database."""
        if self._database is not None:
            self._database.close()

    @on(interleave=True)
    async def take(self, message: TakeModelTurn) -> AsyncIterator[bytes]:
        """Yield one item when the request may be sent; the end of the turn, or of its asker, ends the stream."""
        request = ModelRequest(
            instructions=" " * (_CHARACTERS * (message.prompt - 1)), agent=message.agent, step=message.turn,
            max_tokens=message.max_tokens, priority=message.priority,
        )  # fmt: skip
        self._ends[message.turn] = asyncio.get_running_loop().create_future()
        try:
            async with reading(self._model.stream(request)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, TextDelta):
                        await self._save()
                        yield _encode(ModelTurnGiven())
        except BudgetExhausted as error:
            yield _encode(ModelTurnGiven(error.which, error.agent, error.limit, error.spent))
        except RateLimited:
            pass  # The provider wants a pause, which the policies have noted.
        finally:
            del self._ends[message.turn]
        await self._save()

    @on
    def end(self, message: EndModelTurn) -> None:
        """End a turn."""
        ended = self._ends.get(message.turn)
        if ended is not None and not ended.done():
            ended.set_result(message)

    async def _save(self) -> None:
        """Store the spending, with what is reserved for the requests that are on their way."""
        if self._database is None:
            return
        text = _encode(self._ledger.snapshot(reserved=True)).decode()
        await self._database.write(
            lambda write: write.execute(
                f"INSERT INTO cluster_budgets VALUES (?, ?, {_NOW}) "  # noqa: S608 - our own
                "ON CONFLICT (name) DO UPDATE SET spent = excluded.spent, at = excluded.at",
                (self._name, text),
            )
        )


class _Lender:
    """The model within the policies: whoever has got the turn, and says later what it has used."""

    def __init__(self, name: str, ends: dict[str, asyncio.Future[EndModelTurn]]) -> None:
        self.name = name
        self._ends = ends

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return what the turn has used, once that is known."""
        *_, reply = [piece async for piece in self.stream(request)]
        assert isinstance(reply, ModelReply)
        return reply

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Yield once the turn has begun: from then on it costs its estimate, unless its end is heard of. Then yield what it used."""
        yield TextDelta("")
        ended = await self._ends[request.step]
        yield ModelReply(usage=ended.usage)
        if ended.retry_after is not None:
            raise RateLimited(self.name, "as a gateway has heard", retry_after=ended.retry_after)


def _no_price(_prompt: int, _reply: int) -> float:
    return 0.0


class ClusterTurn(AbstractAsyncContextManager[SharedTurn]):
    """The turn of one request. If nothing is reported of it, or it is dropped, its stream ends, and it costs its estimate.

    It is an object and no generator, so that it needs no event loop to end when it is dropped.
    """

    def __init__(self, limits: str, find: Callable[[], AgentRef], wanted: TakeModelTurn) -> None:
        self._limits = limits
        self._find = find
        self._wanted = wanted
        self._turn = SharedTurn()
        self._keeper: AgentRef | None = None
        self._stream: ReplyStream[bytes] | None = None
        self._items: AsyncIterator[bytes] | None = None

    async def __aenter__(self) -> SharedTurn:
        """Wait for room. Raises `BudgetExhausted`, and `ModelUnavailable` if none answers."""
        try:
            keeper = self._keeper = await asyncio.to_thread(self._find)
            self._stream = keeper.stream(self._wanted, timeout=None)
            items = self._items = aiter(self._stream)
            given = msgspec.json.decode(await anext(items), type=ModelTurnGiven)
        except (DeliveryError, ClusterError, StopAsyncIteration) as error:
            raise ModelUnavailable(f"the limits {self._limits!r} of the cluster", describe(error)) from error
        if given.refused:
            raise BudgetExhausted(given.refused, given.agent, given.limit, given.spent)
        return self._turn

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Report what it has used."""
        turn, keeper, stream, items = self._turn, self._keeper, self._stream, self._items
        assert keeper is not None
        assert stream is not None
        assert items is not None
        with stream:
            usage = Usage(cost=0.0) if turn.failed else turn.usage
            if usage is not None:
                keeper.tell(EndModelTurn(self._wanted.turn, usage, turn.retry_after))
                # Its end is waited for: a stream that is left earlier would be booked by its estimate.
                with contextlib.suppress(DeliveryError, TimeoutError):
                    async with asyncio.timeout(_WITHIN):
                        async for _ in items:
                            pass


class ClusterLimits:
    """Limits and budgets that hold for all gateways of a cluster together, under a name. Safe from any thread and event loop.

    ::

        limits = ClusterLimits(cluster, "openai", limits=RateLimits(requests_per_minute=500), budget=Budget(dollars=20.0), price=...)
        with ModelGateway("openai:gpt-5-mini", shared=limits) as gateway:
            ...

    The first use starts an agent for the name on a node; its settings hold for all others. `agent_budget` is for each agent of
    the requests, and `price` is needed for dollars that are reserved; the real costs are those that gateways report. If
    its node dies another agent takes over at the next attempt. With a store of the cluster it goes on with what was spent,
    requests on their way included; without a store, a `Budget` ends with its node, and gateways that have used it send
    nothing more. Rates begin again after a minute of rest, so no window lets more through; without a store, the gateway that
    starts the next agent must have used the one before.
    """

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        *,
        limits: RateLimits = RateLimits(),  # noqa: B008 - it is immutable
        budget: Budget = Budget(),  # noqa: B008 - as above
        agent_budget: Budget = Budget(),  # noqa: B008 - as above
        price: Price | None = None,
    ) -> None:
        self._cluster = cluster
        self._name = name
        self._settings = (limits, budget, agent_budget, price)
        self._counts = budget != Budget() or agent_budget != Budget()
        self._rates = limits.requests_per_minute is not None or limits.tokens_per_minute is not None
        self._keeper: AgentRef | None = None
        self._estimator = TokenEstimator()

    def __deepcopy__(self, memo: object) -> ClusterLimits:
        return self

    def turn(self, request: ModelRequest) -> AbstractAsyncContextManager[SharedTurn]:
        """Wait for room, and return the turn of a request; see `SharedLimits`."""
        wanted = TakeModelTurn(
            secrets.token_hex(8), request.agent, self._estimator.prompt(request), request.max_tokens, request.priority
        )
        return ClusterTurn(self._name, self._find, wanted)

    def _find(self) -> AgentRef:
        """Return the agent of the name; start it if there is none. Raises `ClusterError`."""
        before = self._keeper
        if before is not None and before.is_alive:
            return before
        called = f"budget-{self._name}"
        store = self._cluster.settings.store
        found = self._cluster.find(called)
        if found is None:
            if before is not None and self._counts and not store:
                raise ClusterError(
                    f"the spending of {self._name!r} was lost with its node; give the cluster a store, or open a budget of another name"
                )
            rest = _WINDOW if before is not None and self._rates else 0.0
            try:
                found = self._cluster.spawn(ModelBudgetKeeper, self._name, *self._settings, store, rest, name=called)
            except NameTaken:
                found = self._cluster.find(called)
        if found is None:
            raise ClusterError("its agent has ended just now; ask again")
        self._keeper = found
        return found
