"""Costs of replies, by public prices."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal

from genai_prices import calc_price
from genai_prices.types import ModelInfo, ModelPrice, PriceCalculation
from pydantic_ai import messages
from pydantic_ai.models import Model
from pydantic_ai.usage import RequestUsage

_PER_REQUEST = "requests_kcount"
"""A price per request instead of per token."""
_MILLION = Decimal(1_000_000)
_OTHERS = tuple(each.name for each in fields(RequestUsage) if each.name not in ("input_tokens", "output_tokens", "details"))
"""Counts other than plain tokens, such as cached, audio and reasoning tokens."""
_KEPT = 1_000
"""The maximum number of models to remember: a provider may name another model in each reply."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """A model that has a public price."""

    model: ModelInfo
    varies: bool
    """Whether its price depends on how a request was served."""


class PublicPrices:
    """Looks up a model once, and multiplies by its price if that is a plain price per token.

    `genai_prices` computes all other prices each time: by the length of the prompt, for cached tokens, for audio. Both follow
    the time and the service tier of a reply. Safe from any thread: a second look-up does no harm.
    """

    def __init__(self) -> None:
        self._models: dict[tuple[str | None, str | None, str | None], _Listed | None] = {}

    def of_tokens(self, model: Model, input_tokens: int, output_tokens: int) -> float | None:
        """Return the price of these tokens of a model, in US dollars; None if it is unknown."""
        usage = RequestUsage(input_tokens=input_tokens, output_tokens=output_tokens)
        # By its provider, as for the price of a reply.
        try:
            return float(calc_price(usage, model.model_name, provider_id=model.system).total_price)
        except (LookupError, ValueError):
            return None

    def of_reply(self, response: messages.ModelResponse) -> float | None:
        """Return the price of a reply, in US dollars; None if it is unknown."""
        key = (response.model_name, response.provider_url, response.provider_name)
        if key not in self._models:
            return self._look_up(key, response)
        listed = self._models[key]
        if listed is None:
            return None
        usage = response.usage
        prices = listed.model.get_prices(response.timestamp, response.provider_details if listed.varies else None)
        plain = _plain(prices) if not any(getattr(usage, name) for name in _OTHERS) else None
        if plain is None:
            calculation = _calculate(response)
            return float(calculation.total_price) if calculation is not None else None
        return float((usage.input_tokens * plain[0] + usage.output_tokens * plain[1]) / _MILLION)

    def _look_up(self, key: tuple[str | None, str | None, str | None], response: messages.ModelResponse) -> float | None:
        try:
            calculation = _calculate(response)
        except LookupError:
            calculation, listed = None, None
        else:
            if calculation is None:
                # Only this reply has no price; later ones of the model may have one.
                return None
            model = calculation.model
            listed = _Listed(model, any(model is each for each in calculation.provider.models))
        if len(self._models) >= _KEPT:
            self._models.clear()
        self._models[key] = listed
        return float(calculation.total_price) if calculation is not None else None


def _calculate(response: messages.ModelResponse) -> PriceCalculation | None:
    """Return the price of a reply; None if its usage is unknown. Raises `LookupError` for an unknown model."""
    try:
        return response.cost()
    except (ValueError, AssertionError):
        return None


def _plain(prices: ModelPrice) -> tuple[Decimal, Decimal] | None:
    """Return the price of a million tokens, of the prompt and of the reply, if nothing else counts."""
    into, out = prices.__dict__.get("input_mtok"), prices.__dict__.get("output_mtok")
    if isinstance(into, Decimal) and isinstance(out, Decimal) and prices.__dict__.get(_PER_REQUEST) is None:
        return into, out
    return None
