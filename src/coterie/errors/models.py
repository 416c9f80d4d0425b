"""Errors of requests to language models. See `coterie.errors` for the tree.

The texts never hold a key: `coterie.models.providers.redaction` cleans the texts of providers first.
"""

from __future__ import annotations

from coterie.errors.general import CoterieError


class ModelError(CoterieError):
    """A language model did not answer a request."""


class ModelUnavailable(ModelError):
    """The provider cannot be reached, broke off, or failed. Another attempt may succeed."""

    def __init__(self, model: str, reason: str, *, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(f"{model} is unavailable: {reason}; check that its server runs and that its address is right")


class ModelTimeout(ModelError, TimeoutError):
    """A request exceeded its time limit."""

    def __init__(self, model: str, seconds: float, what: str) -> None:
        super().__init__(f"{model} exceeded {seconds:g} s ({what}): raise that limit in Timeouts, or ask for less")


class RateLimited(ModelError):
    """The provider limits the rate of requests."""

    def __init__(self, model: str, reason: str, *, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        """Seconds to wait, as the provider asks; None if it did not say."""
        wait = f"retry after {retry_after:g} s" if retry_after is not None else "without a time to retry"
        super().__init__(f"{model} limits the rate, {wait}: {reason}; lower requests or tokens a minute in Limits")


class ModelRefused(ModelError):
    """The provider refused this request; another attempt would be refused too."""

    def __init__(self, model: str, reason: str, *, status: int | None = None) -> None:
        self.status = status
        """The HTTP status, if any."""
        code = f" (HTTP {status})" if status is not None else ""
        super().__init__(f"{model} refused the request{code}: {reason}; {self._advice()}")

    def _advice(self) -> str:
        return "change the request"


class ContextTooLong(ModelRefused):
    """The prompt and the requested reply exceed the context of the model."""

    def _advice(self) -> str:
        return "shorten the prompt, lower max_tokens, or choose a model with a larger context"


class KeyRefused(ModelRefused):
    """The provider does not accept the API key, or not for this model."""

    def _advice(self) -> str:
        return "check the key in the environment, and that it may use this model"


class KeyMissing(ModelError):
    """A provider needs an API key, and the environment has none."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(f"{model} needs an API key: {reason}; keys are taken from the environment only")


class MalformedReply(ModelError):
    """A reply cannot be read."""

    def __init__(self, model: str, reason: str, text: str = "", *, attempts: int = 1) -> None:
        self.text = text
        """The original reply."""
        self.reason = reason
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        tries = f" after {attempts} attempts" if attempts > 1 else ""
        super().__init__(
            f"{model} gave a malformed reply{tries}: {reason}; it was {shown!r}: simplify the prompt, or choose a better model"
        )


class StreamBroken(ModelError):
    """A stream ended after a part of the reply was delivered, so the request cannot be repeated unnoticed."""

    def __init__(self, model: str, text: str, reason: str) -> None:
        self.text = text
        """The delivered part."""
        super().__init__(f"{model} broke off after {len(text)} characters: {reason}; ask again, and drop what came so far")


class ModelHalted(ModelError):
    """No further request will be answered. The run stops here and can be resumed."""


class BudgetExhausted(ModelHalted):
    """A budget does not permit another request. Nothing was sent."""

    def __init__(self, which: str, agent: str, limit: float, spent: float, *, wanted: float | None = None) -> None:
        self.which = which
        """``requests``, ``tokens`` or ``dollars``."""
        self.agent = agent
        """The owner of the budget; empty for the whole run."""
        self.limit = limit
        self.spent = spent
        owner = f"the agent {agent!r}" if agent else "the run"
        more = f", and the next would take about {wanted:g}" if wanted is not None else ""
        super().__init__(
            f"the budget of {which} of {owner} is exhausted: {spent:g} of {limit:g} are spent{more}; to go on, restore the "
            "gateway's snapshot in one with a larger budget"
        )


class RecordingMissing(ModelHalted, LookupError):
    """A request was not recorded, so it cannot be replayed."""

    def __init__(self, path: object, agent: str, step: str, number: int, nearest: str) -> None:
        who = f"agent {agent!r}, step {step!r}" + (f", repeat {number}" if number else "")
        super().__init__(
            f"{path} holds no reply for {who} with this prompt; {nearest}; record the run again, or correct the prompt"
        )


class RecordingDamaged(ModelHalted):
    """A file of recordings is invalid, is from a later version, or cannot be read or written."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: {reason}; give another file, or delete it and record again")


class RecordingTaken(ModelHalted):
    """A file of recordings is being written by another gateway, of this process or of another."""

    def __init__(self, path: object) -> None:
        super().__init__(f"{path} is being recorded by another gateway: close that one first, or record to a file of its own")


class GatewayForked(ModelHalted):
    """A gateway was used in a forked child of its process, which has neither its thread nor its connections."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the model gateway {name} was made by the parent of this process: make one here, or spawn instead of fork"
        )


class GatewayClosed(ModelHalted):
    """A gateway was used during or after its `close`."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the model gateway {name} is closed: keep it open for as long as agents ask")


_SHOWN = 300
"""Characters of a malformed reply that the error shows; `text` holds all of it."""
_KINDS = (
    ModelUnavailable,
    ModelTimeout,
    RateLimited,
    ModelRefused,
    ContextTooLong,
    KeyRefused,
    MalformedReply,
    StreamBroken,
    BudgetExhausted,
)


def restored(kind: str, text: str, details: dict[str, object]) -> ModelError:
    """Return a recorded error from its text and attributes. An unknown kind becomes a plain `ModelError`."""
    found = next((each for each in _KINDS if each.__name__ == kind), ModelError)
    error: ModelError = found.__new__(found)
    error.args = (text,)
    error.__dict__.update(details)
    return error
