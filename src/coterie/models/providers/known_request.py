"""Requests of a known form, sent on the connections of the provider's client without its layers.

The client makes the first request of a form. Its address, headers and limits of time are kept, and further ones differ in the
body alone. What they raise is what the client would raise.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Self

import aiohttp
import httpx2
import msgspec
from openai import APIConnectionError, APITimeoutError, AsyncOpenAI

_APART = frozenset(("accept-encoding", "content-length", "cookie"))
"""Headers that belong to one request, or to one client."""
_DECODED = frozenset((b"content-encoding", b"content-length", b"transfer-encoding"))
"""Headers of a response that do not fit its body once that is decoded."""
_REDIRECTS, _ERRORS = 300, 400


class KnownRequest:
    """The form of a request. For the event loop of the client."""

    __slots__ = ("_client", "_mapped", "_options", "_session", "_url")

    def __init__(
        self,
        client: AsyncOpenAI,
        session: aiohttp.ClientSession,
        url: str,
        options: dict[str, Any],
        mapped: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._client = client
        self._session = session
        self._url = url
        self._options = options
        self._mapped = mapped
        """Returns a context that raises the errors of the connections as those of the client's transport."""

    @classmethod
    def of(cls, client: AsyncOpenAI, request: httpx2.Request) -> Self | None:
        """Return the form of a request that the client has sent; None if the client is of another kind, or does more."""
        try:
            from openai._vendor.httpx_aiohttp.transport import map_aiohttp_exceptions  # noqa: PLC0415 - private, so perhaps not there
        except ImportError:
            return None
        http: Any = client._client  # noqa: SLF001 - its connections are used, and no other name leads to them
        transport: Any = http._transport_for_url(request.url)  # noqa: SLF001 - as above
        session = getattr(transport, "client", None)
        if not isinstance(session, aiohttp.ClientSession) or client._api_key_provider is not None:  # noqa: SLF001 - as above
            return None
        limits = request.extensions.get("timeout", {})
        proxy = getattr(transport, "proxy", None)
        if proxy is not None or request.method != "POST":
            return None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _APART}
        timeout = aiohttp.ClientTimeout(
            sock_connect=limits.get("connect"), sock_read=limits.get("read"), connect=limits.get("pool")
        )
        options = {"headers": {**headers, "accept-encoding": "gzip, deflate"}, "timeout": timeout}
        return cls(client, session, str(request.url), options, map_aiohttp_exceptions)

    async def send(self, body: dict[str, Any]) -> Any:
        """Return the decoded body of the response, or its text if it is no JSON. Raises the errors of the client.

        Raises `Redirected` for a response that the client must follow.
        """
        content = msgspec.json.encode(body)
        failed: Exception
        try:
            with self._mapped():
                async with self._session.request(
                    "POST", self._url, data=content, allow_redirects=False, compress=False, **self._options
                ) as response:
                    found = await response.read()
        except httpx2.TimeoutException as error:
            failed = APITimeoutError(request=self._request())
            failed.__cause__ = error
        except (httpx2.RequestError, ssl.SSLError) as error:
            failed = APIConnectionError(request=self._request())
            failed.__cause__ = error
        else:
            return self._decoded(response, found)
        raise failed

    def _decoded(self, response: aiohttp.ClientResponse, found: bytes) -> Any:
        status = response.status
        if status < _REDIRECTS and response.headers.get("content-type", "").partition(";")[0].endswith("json"):
            return json.loads(found)
        if _REDIRECTS <= status < _ERRORS:
            raise Redirected
        headers = [(name, value) for name, value in response.raw_headers if name.lower() not in _DECODED]
        whole = httpx2.Response(status, headers=headers, content=found, request=self._request())
        if status < _REDIRECTS:
            return whole.text
        raise self._client._make_status_error_from_response(whole)  # noqa: SLF001 - the error that the client raises

    def _request(self) -> httpx2.Request:
        return httpx2.Request("POST", self._url)


class Redirected(Exception):
    """The response is a redirection."""
