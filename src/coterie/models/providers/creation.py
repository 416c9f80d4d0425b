"""Create a Pydantic AI model from its name, its address and the environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote, urlsplit, urlunsplit

import aiohttp  # noqa: F401 - the client below needs it; if it is missing, the error names the extra
import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient, Omit
from openai.types.chat import ChatCompletion
from pydantic_ai.exceptions import UserError
from pydantic_ai.models import Model, create_async_httpx2_client, infer_model, parse_model_id
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles import merge_profile
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers import Provider, infer_provider, infer_provider_class
from pydantic_ai.providers.openai import OpenAIProvider

from coterie.errors import InvalidSetting, KeyMissing, ModelError
from coterie.models.providers.direct import HELD
from coterie.models.redaction import Redactor

ON_AIOHTTP = (
    "alibaba", "azure", "cerebras", "deepseek", "fireworks", "heroku", "litellm", "moonshotai", "nebius", "ollama", "openai",
    "openai-chat", "openai-responses", "openrouter", "ovhcloud", "sambanova", "together", "vercel", "vllm",
)  # fmt: skip
"""Providers that use OpenAI's client with a key alone. Those that sign requests, or use another client, keep their own."""


def new_client() -> httpx2.AsyncClient:
    """Return a client with the settings of Pydantic AI's own, but on the connections of aiohttp.

    The pool of httpx2 scans all its connections whenever a request begins or ends; with a hundred requests at once this costs
    more than the rest of a request. The client belongs to the event loop of its first use.
    """
    pattern = create_async_httpx2_client(transport=httpx2.MockTransport(_nothing))
    return DefaultAioHttpClient(
        timeout=pattern.timeout,
        # 0 is unlimited, None would be the 100 of aiohttp: the gateway limits the connections.
        limits=httpx2.Limits(max_connections=0, keepalive_expiry=_IDLE),
        headers=pattern.headers,
        event_hooks=pattern.event_hooks,
        follow_redirects=pattern.follow_redirects,
    )


def send_unchanged(client: AsyncOpenAI) -> None:
    """Make a client send messages and tools unchanged, as JSON.

    The client would walk through them by their declared types, and change nothing, in a fifth or more of a request's time, and
    again for each message of a history. It does not touch `extra_body`.
    """
    completions = client.chat.completions
    create: Any = completions.create

    async def straight(**given: Any) -> Any:
        held = HELD.get()
        if held is not None:
            held.given = given
            if held.error is not None:
                raise held.error
            if held.answered:
                whole = isinstance(held.response, dict)
                return ChatCompletion.model_construct(**held.response) if whole else held.response
        body = {name: given[name] for name in ("messages", "tools") if isinstance(given.get(name), list)}
        left: dict[str, Any] = {name: [] if name == "messages" else Omit() for name in body}
        return await create(**{**given, **left, "extra_body": {**body, **(given.get("extra_body") or {})}})

    completions.create = straight  # type: ignore[method-assign]


def _nothing(_request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(204)


_IDLE = 4.0
"""Seconds after which an idle connection is closed; many servers close it after 5, which would break a request."""


_TEST = "test"
"""Pydantic AI's model for tests, which has no provider."""
_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
_CHAT = ("openai", "openai-chat")
"""Providers that use chat completions at a custom URL."""

_WHOLE = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)
"""A stream without a finish reason was cut off."""


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A model, with the HTTP client to close."""

    model: Model
    client: httpx2.AsyncClient | None
    redactor: Redactor

    async def aclose(self) -> None:
        """Close the HTTP client."""
        if self.client is not None:
            await self.client.aclose()
            return
        provider = getattr(self.model, "_provider", None)
        own = getattr(provider, "_own_http_client", None)
        if own is not None:
            await own.aclose()


def open_model(name: str, base_url: str | None, redactor: Redactor) -> OpenedModel:
    """Return the model of that name. Raises `InvalidSetting` and `KeyMissing`."""
    kind, short = parse_model_id(name)
    if (kind is None or not short) and name != _TEST:
        raise InvalidSetting("ModelGateway.model", name, "provider:name, for example 'openai:gpt-5-mini' or 'ollama:qwen3'")
    setting = "ModelGateway.base_url"
    if base_url is None and kind in _CHAT and os.environ.get("OPENAI_BASE_URL"):
        base_url, setting = os.environ["OPENAI_BASE_URL"], "OPENAI_BASE_URL"
    failed: ModelError | InvalidSetting
    try:
        if base_url is None:
            opened = _at_default_url(kind or name, name, redactor)
        else:
            opened = _at_url(kind or name, short, name, _Address(setting, base_url), redactor)
    except UserError as error:
        failed = _refused(name, redactor.text(str(error)))
    except ImportError as error:
        need = f"a provider whose package is installed: {redactor.text(str(error))}"
        failed = InvalidSetting("ModelGateway.model", name, need)
    except (ValueError, TypeError) as error:
        if isinstance(error, InvalidSetting):
            raise
        failed = InvalidSetting("ModelGateway.model", name, f"something else: {redactor.text(str(error))}")
    else:
        _disable_retries(opened.model)
        _require_finish_reason(opened.model)
        return opened
    raise failed


def _refused(name: str, text: str) -> ModelError | InvalidSetting:
    """Return the error for a model that Pydantic AI cannot create, mostly because a variable is not set."""
    variables = list(dict.fromkeys(_VARIABLE.findall(text)))
    keys = [each for each in variables if each.endswith(("KEY", "TOKEN"))]
    if keys:
        return KeyMissing(name, f"set the environment variable {' or '.join(keys)}")
    if variables:
        return InvalidSetting("ModelGateway.model", name, f"its address: give base_url, or set {' or '.join(variables)}")
    return InvalidSetting("ModelGateway.model", name, f"a model that there is: {text}")


class _Address:
    """A URL without its user and password, and both apart."""

    def __init__(self, where: str, url: str) -> None:
        try:
            parts = urlsplit(url)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment
            # `urlsplit` drops some invisible characters, on which clients fail.
            valid = valid and url.isprintable() and " " not in url
            port = f":{parts.port}" if parts.port is not None else ""
        except (ValueError, AttributeError, TypeError):
            valid = False
        if not valid:
            shown = Redactor().text(str(url))
            raise InvalidSetting(where, shown, "an address such as 'http://localhost:11434/v1', without a query")
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        self.url = urlunsplit((parts.scheme, f"{host}{port}", parts.path, "", ""))
        self.user = (unquote(parts.username or ""), unquote(parts.password or "")) if parts.username or parts.password else None


def _at_default_url(kind: str, name: str, redactor: Redactor) -> OpenedModel:
    if kind not in ON_AIOHTTP:
        return OpenedModel(infer_model(name), None, redactor)
    client = new_client()

    def make(which: str) -> Provider[Any]:
        found: Any = infer_provider_class(which)
        made: Provider[Any] = found(http_client=client)
        return made

    return OpenedModel(infer_model(name, make), client, redactor)


def _at_url(kind: str, short: str, name: str, address: _Address, redactor: Redactor) -> OpenedModel:
    client = new_client() if kind in ON_AIOHTTP else create_async_httpx2_client()
    if address.user is not None:
        client.auth = httpx2.BasicAuth(*address.user)
        redactor = Redactor([part for part in address.user if part])
    if kind in _CHAT:
        provider = OpenAIProvider(base_url=address.url, http_client=client)
        return OpenedModel(OpenAIChatModel(short, provider=provider), client, redactor)

    def make(which: str) -> Provider[Any]:
        if which != kind:
            return infer_provider(which)
        try:
            found: Any = infer_provider_class(which)
            made: Provider[Any] = found(base_url=address.url, http_client=client)
        except TypeError:
            need = f"no address for {which}, or openai:NAME for an OpenAI-compatible server"
            raise InvalidSetting("ModelGateway.base_url", address.url, need) from None
        return made

    return OpenedModel(infer_model(name, make), client, redactor)


def _disable_retries(model: Model) -> None:
    """Disable the retries of the provider's client: the gateway retries, within its limits and budgets.

    It also sends messages unchanged.
    """
    client: Any = getattr(getattr(model, "_provider", None), "client", None)
    if hasattr(client, "max_retries"):
        client.max_retries = 0
    if isinstance(client, AsyncOpenAI):
        send_unchanged(client)


def _require_finish_reason(model: Model) -> None:
    """Make the client raise when a stream of chat completions is cut off."""
    if isinstance(model, OpenAIChatModel):
        model.profile = cast("OpenAIModelProfile", merge_profile(model.profile, _WHOLE))
