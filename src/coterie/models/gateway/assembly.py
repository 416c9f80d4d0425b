"""Build the stack of models around the model of a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, cast

import msgspec

from coterie.errors import InvalidSetting, ModelTimeout, ModelUnavailable, RateLimited
from coterie.errors.models import MalformedReply
from coterie.kernel import Clock, check_instance, check_number
from coterie.models.contract import Model
from coterie.models.options import Budget, Price, RateLimits, Timeouts
from coterie.models.policies import (
    BudgetedModel,
    BudgetLedger,
    Meter,
    MeteredModel,
    PricedModel,
    RateLimitedModel,
    RetryingModel,
    SharedLimits,
    SharedLimitsModel,
    TimeLimitedModel,
    TokenEstimator,
)
from coterie.models.providers import ProviderModel
from coterie.models.recording import RecordingModel, ReplayModel, begun
from coterie.models.values import ModelReply, ModelRequest, TextMessage
from coterie.work import Retry

RETRY = Retry(4, initial=0.5, maximum=30.0, jitter=0.5, on=(ModelUnavailable, ModelTimeout, RateLimited, MalformedReply))
"""The default retry policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """The arguments of a gateway."""

    model: Model | str
    base_url: str | None
    limits: RateLimits
    timeouts: Timeouts
    retry: Retry
    budget: Budget
    agent_budget: Budget
    agent_budgets: Mapping[str, Budget]
    prices: Mapping[str, Price]
    record: Path | None
    replay: Path | None
    clock: Clock
    random: Random
    shared: SharedLimits | None = None


@dataclass(frozen=True, slots=True)
class ModelStack:
    """The wrapped model, and the parts that its wrappers share."""

    model: Model
    meter: Meter
    ledger: BudgetLedger
    recording: RecordingModel | ReplayModel | None
    core: Model | None

    async def close(self) -> None:
        """Close files and clients."""
        if self.recording is not None:
            self.recording.close()
        if isinstance(self.core, ProviderModel):
            await self.core.aclose()

    def snapshot(self) -> dict[str, Any]:
        """Return the spending, and the counts of requests."""
        return {"spent": self.ledger.snapshot(), "asked": self.recording.snapshot() if self.recording is not None else []}

    def restore(self, state: Any) -> None:
        """Restore a state of `snapshot`. Raises `ValueError`, `TypeError` or `KeyError` for any other value."""
        if self.recording is not None:
            self.recording.restore(state["asked"])
        self.ledger.restore(state["spent"])


def assemble(parts: GatewayOptions) -> ModelStack:
    """Build the stack of models; `ModelGateway` documents the order."""
    if parts.replay is not None and (parts.record is None) and not isinstance(parts.model, str):
        check_model(parts.model)
    offline = parts.replay is not None and parts.record is None
    core = None if offline else _core(parts)
    priced = PricedModel(core, parts.prices) if core is not None else None
    name = priced.name if priced is not None else str(getattr(parts.model, "name", parts.model))
    estimator = TokenEstimator()
    ledger = BudgetLedger(
        parts.budget, parts.agent_budget, parts.agent_budgets, estimator, priced.price if priced is not None else _free
    )
    budgets = (parts.budget, parts.agent_budget, *parts.agent_budgets.values())
    if priced is not None and any(each.dollars is not None for each in budgets) and priced.price(1, 1) is None:
        raise InvalidSetting(
            "Budget.dollars", name, f"a model whose price is known: prices={{{name!r}: Price(input=…, output=…)}}"
        )
    meter = Meter(name)
    live = _wrap(priced, parts, estimator, ledger, meter) if priced is not None else None
    model, recording = _with_recording(live, parts)
    replayed = recording.holds if isinstance(recording, ReplayModel) else _never
    return ModelStack(MeteredModel(model, meter, parts.clock.monotonic, replayed), meter, ledger, recording, core)


def check_table(where: str, table: object, kind: type) -> None:
    """Check that a setting is a mapping of names to instances of a type, or None. Raises `InvalidSetting`."""
    fits = isinstance(table, Mapping) and all(isinstance(name, str) and isinstance(table[name], kind) for name in table)
    if table is not None and not fits:
        raise InvalidSetting(f"ModelGateway.{where}", table, f"a mapping of names to {kind.__name__}, or None")


def check_model(model: object) -> Model:
    """Check that a value is a `Model`, and return it. Raises `InvalidSetting`."""
    if not callable(getattr(model, "ask", None)) or not callable(getattr(model, "stream", None)):
        raise InvalidSetting("ModelGateway.model", model, "a Model, or a model string such as 'openai:gpt-5-mini'")
    return cast("Model", model)


def _with_recording(live: Model | None, parts: GatewayOptions) -> tuple[Model, RecordingModel | ReplayModel | None]:
    """Wrap the model with recording or replay."""
    going_on = parts.record is not None and parts.replay == parts.record and not begun(parts.record)
    if parts.replay is not None and not going_on:
        replayed = ReplayModel(parts.replay, otherwise=live, record=parts.record)
        return replayed, replayed
    assert live is not None
    if parts.record is None:
        return live, None
    recorded = RecordingModel(live, parts.record)
    return recorded, recorded


def _core(parts: GatewayOptions) -> Model:
    if isinstance(parts.model, str):
        return ProviderModel(parts.model, base_url=parts.base_url, clock=parts.clock)
    if parts.base_url is not None:
        raise InvalidSetting("ModelGateway.base_url", parts.base_url, "a model that is given by its name")
    return check_model(parts.model)


def _never(_reply: ModelReply) -> bool:
    return False


def _free(_prompt: int, _reply: int) -> float:
    return 0.0


def _wrap(core: Model, parts: GatewayOptions, estimator: TokenEstimator, ledger: BudgetLedger, meter: Meter) -> Model:
    timeouts = parts.timeouts
    attempt = TimeLimitedModel(core, timeouts.attempt, "one attempt", first_token=timeouts.first_token)
    sent = attempt if parts.shared is None else SharedLimitsModel(attempt, parts.shared)
    turns = RateLimitedModel(BudgetedModel(sent, ledger), parts.limits, estimator, meter, ledger, timeouts.total)
    retrying = RetryingModel(turns, parts.retry, parts.random, meter, timeouts.total)
    return TimeLimitedModel(retrying, timeouts.total, "its turn, all attempts, and the pauses between them")


_DECODER = msgspec.json.Decoder(ModelRequest)
_ROLES = ("user", "assistant")


def check_request(where: str, request: object) -> ModelRequest:
    """Check all fields of a request, which msgspec does not do on construction, and return it.

    Raises `InvalidSetting` with the wrong field, and for a request that JSON cannot hold.
    """
    check_instance(where, request, ModelRequest, "a ModelRequest")
    assert isinstance(request, ModelRequest)
    check_number(f"{where}.temperature", request.temperature, optional=True)
    check_number(f"{where}.max_tokens", request.max_tokens, least=1, whole=True, optional=True)
    try:
        _DECODER.decode(msgspec.json.encode(request))
    except (msgspec.MsgspecError, UnicodeError, TypeError, ValueError, OverflowError, RecursionError) as error:
        shown = f"a request of {request.agent!r}, step {request.step!r}"
        raise InvalidSetting(where, shown, f"one that can be written as JSON: {error}") from None
    for place, each in enumerate(request.exchanges):
        if isinstance(each, TextMessage) and each.role not in _ROLES:
            raise InvalidSetting(
                f"{where}.exchanges[{place}].role", each.role, "user or assistant; put a system prompt in instructions"
            )
    return request
