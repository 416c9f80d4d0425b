"""Addresses of servers, and texts without their passwords."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from coterie.errors.storage import WrongUrl

_HIDDEN = "***"
_SECRETS = frozenset({"password", "passfile", "sslpassword", "sslkey"})


class ConnectionTarget:
    """The address of a server: `url` with its password, and `shown` without.

    Raises `WrongUrl`, which shows no possible secret, for a text that is not an address.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            # A password with an unquoted "/" or ":" ends up in the host or the port, so the error shows nothing of it.
            raise WrongUrl("postgresql://...", "its host or port is invalid; is its password quoted?") from None
        if parts.scheme not in ("postgresql", "postgres"):
            raise WrongUrl("...", "this is not the address of a PostgreSQL server")
        if "@" in parts.path or "@" in parts.query or "@" in parts.fragment:
            raise WrongUrl("postgresql://...", "it has an @ in the wrong place; is its password quoted?")
        query = parse_qsl(parts.query, keep_blank_values=True)
        self.options = frozenset(name for name, _ in query)
        self._secrets = [value for name, value in query if name in _SECRETS]
        if parts.password:
            self._secrets += [parts.password, unquote(parts.password)]
        self._secrets += [quote(secret, safe="") for secret in self._secrets]
        user = f"{parts.username}@" if parts.username else ""
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        place = f"{user}{host}{f':{port}' if port else ''}"
        open_query = urlencode([(name, _HIDDEN if name in _SECRETS else value) for name, value in query], safe="*/")
        self.shown = f"{parts.scheme}://{place}{parts.path}{f'?{open_query}' if open_query else ''}"

    def __repr__(self) -> str:
        return f"<ConnectionTarget {self.shown}>"

    def clean(self, text: object) -> str:
        """Return a text, such as that of an error, on one line and without secrets."""
        line = " ".join(str(text).split())
        for secret in sorted(filter(None, self._secrets), key=len, reverse=True):
            line = re.sub(re.escape(secret), _HIDDEN, line)
        return line
