"""The gateway to a language model, shared by all agents of a process."""

from __future__ import annotations

import asyncio
import random
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from coterie.errors import InvalidSetting, ModelError
from coterie.kernel import Clock, SystemClock, check_instance
from coterie.models.contract import Model
from coterie.models.gateway.assembly import RETRY, GatewayOptions, assemble, check_request, check_table
from coterie.models.gateway.futures import ModelReplyFuture, StreamChannel
from coterie.models.gateway.loop import EventLoopThread
from coterie.models.gateway.requests import GatewayLoop
from coterie.models.options import Budget, Price, RateLimits, Timeouts
from coterie.models.policies import CallMetrics, SharedLimits, Spending
from coterie.models.spans import begin_chat, end_chat
from coterie.models.values import ModelReply, ModelRequest, TextDelta
from coterie.telemetry.spans import NO_SPAN
from coterie.work import Retry


class ModelGateway:
    """A model shared by any number of agents, from any thread and any event loop.

    ::

        with ModelGateway("openai:gpt-5-mini", limits=RateLimits(concurrency=16), budget=Budget(dollars=2.0)) as gateway:
            reply = await gateway.ask(request)            # on any event loop
            reply = gateway.ask_blocking(request)         # on any thread
            async for piece in gateway.stream(request): ...

    It owns one event loop on its own thread, where all HTTP clients live: clients that several loops share fail or hang.
    Policies wrap the model, from the inside out: the timeout of an attempt, budgets, rate limits, retries, the total timeout,
    recording or replay, metrics. Each is a model that wraps a model.

    Every request ends, with a reply or a `ModelError`. Cancelling the await of a request ends its HTTP call.

    Args:
        model: A Pydantic AI model string, such as ``"openai:gpt-5-mini"``, ``"anthropic:claude-haiku-4-5"`` or
            ``"ollama:qwen3"`` (needs the extra `models`), or any `Model`.
        base_url: The URL of an OpenAI-compatible server, such as ``"http://localhost:11434/v1"``, for a model string.
        limits: Limits of concurrency, and of requests and tokens per minute.
        timeouts: Timeouts of requests and attempts.
        retry: The errors to retry, and the pauses. A `Retry-After` of the provider is always respected.
        budget: The budget of the whole run.
        agent_budget: The budget of each agent.
        agent_budgets: Other budgets for certain agents, by name.
        prices: Prices by model string or by the provider's name of the model; they precede public prices.
        record: A file to which requests and replies are appended; of entries with one key the last counts.
        replay: A recording that answers requests, without network. With `record`, requests that it lacks go to the model and
            are recorded, so that an interrupted run continues and pays nothing twice.
        clock: The clock of limits, timeouts and pauses.
        seed: The seed of the jitter of retries.
        name: The name of its thread.
        shared: Limits and budgets that it shares with other gateways, such as a `ClusterLimits`; its own hold as well.

    Raises `ExtraMissing` without Pydantic AI, `KeyMissing`, `RecordingDamaged`, and `InvalidSetting`.
    """

    def __init__(
        self,
        model: Model | str,
        *,
        base_url: str | None = None,
        limits: RateLimits = RateLimits(),  # noqa: B008 - it is immutable
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - as above
        retry: Retry = RETRY,
        budget: Budget = Budget(),  # noqa: B008 - as above
        agent_budget: Budget = Budget(),  # noqa: B008 - as above
        agent_budgets: Mapping[str, Budget] | None = None,
        prices: Mapping[str, Price] | None = None,
        record: str | Path | None = None,
        replay: str | Path | None = None,
        clock: Clock | None = None,
        seed: int | None = None,
        name: str = "models",
        shared: SharedLimits | None = None,
    ) -> None:
        for where, value, kind in (
            ("limits", limits, RateLimits),
            ("timeouts", timeouts, Timeouts),
            ("retry", retry, Retry),
            ("budget", budget, Budget),
            ("agent_budget", agent_budget, Budget),
            ("name", name, str),
        ):
            check_instance(f"ModelGateway.{where}", value, kind, f"a {kind.__name__}")
        for where, path in (("record", record), ("replay", replay)):
            check_instance(f"ModelGateway.{where}", path, (str, Path, type(None)), "a path, or None")
        check_table("agent_budgets", agent_budgets, Budget)
        check_table("prices", prices, Price)
        self._clock = clock if clock is not None else SystemClock()
        parts = GatewayOptions(
            model=model, base_url=base_url, limits=limits, timeouts=timeouts, retry=retry, budget=budget,
            agent_budget=agent_budget, agent_budgets=dict(agent_budgets or {}), prices=dict(prices or {}),
            record=Path(record) if record is not None else None, replay=Path(replay) if replay is not None else None,
            clock=self._clock, random=random.Random(seed),  # noqa: S311 - for jitter
            shared=shared,
        )  # fmt: skip
        self._assembly = assemble(parts)
        self._running = GatewayLoop(EventLoopThread(self._clock, name), self._assembly, name)
        weakref.finalize(self, self._running.dropped).atexit = False

    @property
    def name(self) -> str:
        """The name of the model."""
        return self._assembly.model.name

    def accepts(self, media_type: str) -> bool:
        """Return whether the model takes files of a type, as far as is known."""
        known = getattr(self._assembly.core, "accepts", None)
        return True if known is None else bool(known(media_type))

    @property
    def context_window(self) -> int | None:
        """The tokens of the model's window, prompt and reply; None if they are unknown."""
        known = getattr(self._assembly.core, "context_window", None)
        return known if isinstance(known, int) else None

    @property
    def closed(self) -> bool:
        """True once the gateway takes no more requests."""
        return self._running.closed

    def __repr__(self) -> str:
        return f"<ModelGateway {self.name}{' closed' if self.closed else ''}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def submit(self, request: ModelRequest) -> ModelReplyFuture:
        """Send a request; return a future that can be awaited or waited for.

        Raises `GatewayClosed`, and `InvalidSetting` for an invalid request.
        """
        check_request("ModelGateway.ask", request)
        span = begin_chat(self.name, request)
        pending = self._running.submit(request)
        if span is not NO_SPAN:
            pending.add_callback(lambda: end_chat(span, request, *pending.ended))
        return pending

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return the reply, or raise a `ModelError`. Cancelling ends the HTTP call."""
        return await self.submit(request)

    def ask_blocking(self, request: ModelRequest, timeout: float | None = None) -> ModelReply:
        """Block the calling thread until the reply comes, and return it, or raise a `ModelError`.

        After `timeout` seconds of real time the request is cancelled, and `WaitTimeout` raised.
        """
        self._running.refuse_own_thread("ask_blocking")
        pending = self.submit(request)
        try:
            return pending.result(timeout)
        finally:
            pending.cancel()

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Yield the pieces of the reply, and the whole reply last. Closing the iterator ends the HTTP call.

        Raises a `ModelError`, and `InvalidSetting` for an invalid request.
        """
        check_request("ModelGateway.stream", request)
        channel = StreamChannel()
        span = begin_chat(self.name, request)
        leave = self._running.stream(request, channel)
        try:
            while (item := await channel.take()) is not None:
                if isinstance(item, BaseException):
                    end_chat(span, request, None, item)
                    raise item
                if isinstance(item, ModelReply):
                    end_chat(span, request, item)
                yield item
        finally:
            leave()
            span.end()

    def stream_blocking(self, request: ModelRequest, timeout: float | None = None) -> Iterator[TextDelta | ModelReply]:
        """Yield the same items as `stream`, and block the calling thread. Raises `WaitTimeout` after `timeout` silent seconds."""
        check_request("ModelGateway.stream", request)
        self._running.refuse_own_thread("stream_blocking")
        channel = StreamChannel()
        span = begin_chat(self.name, request)
        leave = self._running.stream(request, channel)
        try:
            while (item := channel.take_blocking(timeout)) is not None:
                if isinstance(item, BaseException):
                    end_chat(span, request, None, item)
                    raise item
                if isinstance(item, ModelReply):
                    end_chat(span, request, item)
                yield item
        finally:
            leave()
            span.end()

    def metrics(self) -> CallMetrics:
        """Return the totals of requests, replies and spending, with quantiles of times. Never blocks requests."""
        return self._assembly.meter.total()

    def metrics_by_agent(self) -> dict[str, CallMetrics]:
        """Return the same for each agent."""
        return self._assembly.meter.by_agent()

    def spent(self, agent: str | None = None) -> Spending:
        """Return the spending that counts against the budget of an agent, or of the whole run."""
        ledger = self._assembly.ledger
        return ledger.spent if agent is None else ledger.spent_by(agent)

    def snapshot(self) -> dict[str, Any]:
        """Return spending and request counts as a plain value, for a checkpoint."""
        return self._assembly.snapshot()

    def restore(self, state: Any) -> None:
        """Restore a state of `snapshot`. The budgets of this gateway stay.

        Raises `InvalidSetting` for any other value.
        """
        try:
            self._assembly.restore(state)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidSetting("ModelGateway.restore", state, "a state that snapshot returned") from error

    def close(self, timeout: float = 5.0) -> None:
        """Refuse new requests, end those in flight with `GatewayClosed`, and end the thread.

        Blocks for at most `timeout` seconds of real time; raises `ModelError` if a request does not end. Closing twice is
        harmless.
        """
        if not self._running.close(timeout):
            raise ModelError(
                f"the model gateway {self._running.name} has not ended within {timeout:g} s: something in it blocks"
            )
