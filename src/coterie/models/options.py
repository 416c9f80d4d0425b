"""Settings of a gateway: limits, timeouts, budgets, prices."""

from __future__ import annotations

from dataclasses import dataclass

from coterie.kernel import check_number


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Limits of concurrency and rate, over all agents of a gateway. Raises `InvalidSetting`."""

    concurrency: int | None = 32
    """Requests at the provider at once; None for any number."""
    requests_per_minute: int | None = None
    """Requests sent within any 60 seconds; None for any number."""
    tokens_per_minute: int | None = None
    """Tokens, of prompts and replies, within any 60 seconds: estimated when a request is sent, corrected by its reply."""
    age_after: float = 10.0
    """Seconds of waiting that count as much as one step of priority, so that no request waits for ever."""

    def __post_init__(self) -> None:
        check_number("RateLimits.concurrency", self.concurrency, least=1, whole=True, optional=True)
        check_number("RateLimits.requests_per_minute", self.requests_per_minute, least=1, whole=True, optional=True)
        check_number("RateLimits.tokens_per_minute", self.tokens_per_minute, least=1, whole=True, optional=True)
        check_number("RateLimits.age_after", self.age_after, above=0)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts of requests, in seconds; None is unlimited. Raises `InvalidSetting`."""

    total: float | None = 600.0
    """For a request: its turn, all its attempts, and the pauses between them."""
    attempt: float | None = 120.0
    """For one attempt, from sending to the end of its reply."""
    first_token: float | None = 60.0
    """For the first piece of a stream, from sending."""

    def __post_init__(self) -> None:
        check_number("Timeouts.total", self.total, above=0, optional=True)
        check_number("Timeouts.attempt", self.attempt, above=0, optional=True)
        check_number("Timeouts.first_token", self.first_token, above=0, optional=True)


@dataclass(frozen=True, slots=True)
class Budget:
    """Upper bounds on the spending of a run or an agent. None is unlimited; 0 permits nothing. Raises `InvalidSetting`."""

    requests: int | None = None
    """Requests sent to the provider, retries included. Exact."""
    tokens: int | None = None
    """Tokens of prompts and replies together, as the provider counts them."""
    dollars: float | None = None
    """US dollars, by the price of the model."""

    def __post_init__(self) -> None:
        check_number("Budget.requests", self.requests, whole=True, optional=True)
        check_number("Budget.tokens", self.tokens, whole=True, optional=True)
        check_number("Budget.dollars", self.dollars, optional=True)


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a model, in US dollars per million tokens. Raises `InvalidSetting`."""

    input: float
    """Of the prompt."""
    output: float
    """Of the reply."""

    def __post_init__(self) -> None:
        check_number("Price.input", self.input)
        check_number("Price.output", self.output)

    def of(self, input_tokens: float, output_tokens: float) -> float:
        """Return the price of these tokens, in US dollars."""
        return (input_tokens * self.input + output_tokens * self.output) / 1_000_000
