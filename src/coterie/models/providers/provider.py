"""A model of any provider, through Pydantic AI."""

from __future__ import annotations

from collections.abc import AsyncIterator

from coterie.errors import ExtraMissing, ModelError, ModelUnavailable
from coterie.kernel import Clock, SystemClock, check_instance
from coterie.models.redaction import Redactor
from coterie.models.values import ModelReply, ModelRequest, TextDelta


class ProviderModel:
    """A Pydantic AI model string as a `Model`. For one event loop: the first that it is asked on, where its client lives.

    `ModelGateway` gives it that loop, and makes it usable from everywhere. It never asks twice by itself. Keys come from
    the environment only, and what the provider says is freed of them before it becomes an error.

    Args:
        model: A Pydantic AI model string, ``provider:name``.
        base_url: Where an OpenAI-compatible server is. With ``openai:name`` it is spoken to by chat completions, as Ollama
            and vLLM understand them. So it is where ``OPENAI_BASE_URL`` is set. A user and a password in the address are
            sent as such, and shown nowhere.
        clock: What dates in `Retry-After` are compared with.

    Raises `ExtraMissing`, `KeyMissing`, and `InvalidSetting` for a model or an address that makes no sense.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        check_instance("ProviderModel.model", model, str, "a model string such as 'openai:gpt-5-mini'")
        try:
            from coterie.models.providers import creation  # noqa: PLC0415 - Pydantic AI is optional, and slow to import
            from coterie.models.providers.translation import ProviderTranslator  # noqa: PLC0415 - as above
        except ImportError as error:
            if not (error.name or "").startswith(("pydantic_ai", "openai", "genai_prices", "aiohttp", "httpx2")):
                raise
            raise ExtraMissing("a model string", "models") from None
        self._name = model
        self._redactor = Redactor()
        self._opened = creation.open_model(model, base_url, self._redactor)
        self._redactor = self._opened.redactor
        self._translator = ProviderTranslator(model, clock or SystemClock(), self._redactor)

    @property
    def name(self) -> str:
        """The model string."""
        return self._name

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return what so many tokens cost, in US dollars; None where the price is not known."""
        return self._translator.price(input_tokens, output_tokens, self._opened.model)

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return the reply. Raises `ModelError`, with nothing in it, or behind it, that holds a key."""
        failed: ModelError
        try:
            return await self._translator.ask(self._opened.model, request)
        except ModelError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a provider raises is told in our words
            failed = self._translator.error(error)
        # Outside of the handler: what the provider raised holds its request, and that its key.
        raise failed

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Return the reply as it is written. Raises `ModelError`, as `ask` does."""
        failed: ModelError | None = None
        whole = False
        try:
            async for piece in self._translator.stream(self._opened.model, request):
                whole = isinstance(piece, ModelReply)
                yield piece
        except ModelError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            failed = self._translator.error(error)
        if failed is None and not whole:
            failed = ModelUnavailable(self._name, "its stream ended before the reply was whole")
        if failed is not None:
            raise failed

    async def aclose(self) -> None:
        """Close its HTTP client; on the event loop that it was asked on."""
        await self._opened.aclose()
