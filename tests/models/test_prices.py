"""What a reply costs is what is publicly known, looked up once."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.usage import RequestUsage

from coterie.models.providers import pricing
from coterie.models.providers.pricing import PublicPrices


def reply(model: str, provider: str, *, details: dict[str, Any] | None = None, **usage: Any) -> ModelResponse:
    return ModelResponse(
        parts=[TextPart("x")],
        usage=RequestUsage(**usage),
        model_name=model,
        provider_name=provider,
        provider_details=details,
        timestamp=datetime(2026, 3, 1, 12, tzinfo=UTC),
    )


REPLIES = [
    reply(model, provider, details=details, **usage)
    for model, provider in [
        ("gpt-4o-mini", "openai"),
        ("gpt-5-mini", "openai"),
        ("claude-haiku-4-5", "anthropic"),
        ("gemini-2.5-pro", "google"),
        ("deepseek-chat", "deepseek"),
        ("sonar", "perplexity"),
    ]
    for details in (None, {"service_tier": "flex"}, {"service_tier": "priority", "finish_reason": "stop"})
    for usage in (
        {"input_tokens": 1_234, "output_tokens": 77},
        {"input_tokens": 300_000, "output_tokens": 77},
        {"input_tokens": 1_234, "cache_read_tokens": 1_000, "output_tokens": 77},
        {"input_tokens": 0, "output_tokens": 0},
    )
]


def test_every_reply_has_the_listed_price_at_any_tier_and_length() -> None:
    prices = PublicPrices()
    for _ in range(2):
        for each in REPLIES:
            assert prices.of_reply(each) == pytest.approx(float(each.cost().total_price), rel=1e-12)


def test_an_unknown_model_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    prices, asked = PublicPrices(), 0

    def cost(_: ModelResponse) -> None:
        nonlocal asked
        asked += 1
        raise LookupError

    monkeypatch.setattr(ModelResponse, "cost", cost)
    for _ in range(5):
        assert prices.of_reply(reply("my-own", "openai", input_tokens=1)) is None
    assert asked == 1


def test_a_plain_price_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    prices, asked = PublicPrices(), 0
    real = ModelResponse.cost

    def cost(response: ModelResponse) -> Any:
        nonlocal asked
        asked += 1
        return real(response)

    monkeypatch.setattr(ModelResponse, "cost", cost)
    for count in range(5):
        assert prices.of_reply(reply("gpt-4o-mini", "openai", input_tokens=count)) is not None
    assert asked == 1


def test_names_that_change_with_every_reply_do_not_fill_the_memory() -> None:
    prices = PublicPrices()
    for number in range(pricing._KEPT + 10):
        prices.of_reply(reply(f"model-{number}", "nobody"))
    assert len(prices._models) <= pricing._KEPT
