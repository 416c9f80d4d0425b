"""A model of any provider, through Pydantic AI."""

from __future__ import annotations

from collections.abc import AsyncIterator

from coterie.errors import ExtraMissing, ModelError, ModelUnavailable
from coterie.kernel import Clock, SystemClock, check_instance
from coterie.models.redaction import Redactor
from coterie.models.values import ModelReply, ModelRequest, TextDelta


class ProviderModel:
    """A `Model` for a Pydantic AI model string. For one event loop: that of its first request, where its client lives.

    `ModelGateway` provides that loop, and makes the model safe from any thread. It never retries. Keys come from the
    environment only, and are removed from the texts of errors.

    Args:
        model: A Pydantic AI model string, ``provider:name``.
        base_url: The URL of an OpenAI-compatible server. With ``openai:name`` it is by default ``OPENAI_BASE_URL``, and
            chat completions are used, as Ollama and vLLM understand them. A user and a password in the URL are sent as
            basic authentication, and never shown.
        clock: The clock for dates in `Retry-After`.

    Raises `ExtraMissing`, `KeyMissing`, and `InvalidSetting` for an invalid model or URL.
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
            from coterie.models.providers import creation, direct  # noqa: PLC0415 - Pydantic AI is optional, and slow to import
            from coterie.models.providers.translation import ProviderTranslator  # noqa: PLC0415 - as above
        except ImportError as error:
            if not (error.name or "").startswith(("pydantic_ai", "openai", "genai_prices", "aiohttp", "httpx2")):
                raise
            raise ExtraMissing("a model string", "models") from None
        self._name = model
        self._redactor = Redactor()
        self._opened = creation.open_model(model, base_url, self._redactor)
        self._redactor = self._opened.redactor
        self._direct = direct.direct_completions(model, self._opened.model)
        self._translator = ProviderTranslator(model, clock or SystemClock(), self._redactor)

    @property
    def name(self) -> str:
        """The model string."""
        return self._name

    @property
    def context_window(self) -> int | None:
        """The tokens of its window, prompt and reply; None if its profile does not say."""
        return self._opened.model.context_window

    def accepts(self, media_type: str) -> bool:
        """Return whether it takes files of a type, as far as its profile says."""
        kind = media_type.partition("/")[0]
        setting = {"image": "supports_image_input", "audio": "supports_audio_input", "video": "supports_video_input"}
        return bool(self._opened.model.profile.get(setting.get(kind, "supports_document_input"), True))

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return the price of these tokens in US dollars; None if it is unknown."""
        return self._translator.price(input_tokens, output_tokens, self._opened.model)

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return the reply. Raises `ModelError`, whose text and causes hold no key."""
        failed: ModelError
        try:
            if self._direct is not None:
                return await self._direct.ask(request, self._ask)
            return await self._ask(request)
        except ModelError:
            raise
        except Exception as error:  # noqa: BLE001 - any exception of a provider becomes a ModelError
            failed = self._translator.error(error)
        # Outside the handler: the provider's exception holds its request, which holds the key.
        raise failed

    async def _ask(self, request: ModelRequest) -> ModelReply:
        """Return the reply through Pydantic AI."""
        return await self._translator.ask(self._opened.model, request)

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Yield the pieces of the reply, and the whole reply last. Raises `ModelError`, as `ask` does."""
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
        """Close its HTTP client, on the event loop of its requests."""
        await self._opened.aclose()
