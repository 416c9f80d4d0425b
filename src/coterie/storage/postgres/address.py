"""The address of a server, whose password is nobody's business."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from coterie.errors import WrongUrl

_HIDDEN = "***"
_SECRETS = frozenset({"password", "passfile", "sslpassword", "sslkey"})


class ConnectionTarget:
    """Where to connect, with the password; and `shown`, without.

    Raises `WrongUrl`, which shows nothing that might be a secret, for what is no address.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            # A password with an unquoted "/" or ":" ends up in the host or the port: nothing of it is shown.
            raise WrongUrl("postgresql://...", "its host and port make no sense; is its password quoted?") from None
        if parts.scheme not in ("postgresql", "postgres"):
            raise WrongUrl("...", "this is no address of a PostgreSQL server")
        if "@" in parts.path or "@" in parts.query or "@" in parts.fragment:
            raise WrongUrl("postgresql://...", "it has an @ where none belongs; is its password quoted?")
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
        return f"<Address {self.shown}>"

    def clean(self, text: object) -> str:
        """Return a text, such as an error's, on one line and with no secret in it."""
        line = " ".join(str(text).split())
        for secret in sorted(filter(None, self._secrets), key=len, reverse=True):
            line = re.sub(re.escape(secret), _HIDDEN, line)
        return line
