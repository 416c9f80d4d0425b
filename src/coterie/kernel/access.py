"""Access to servers: the token of requests, and addresses that only this machine can reach."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Mapping

from coterie.errors import InvalidSetting

SHORTEST = 16
"""Minimum characters of a token that the user sets."""


class AccessToken:
    """The secret of requests, sent as ``Authorization: Bearer …``. `repr` and logs never show it.

    Digests are compared in constant time. Raises `InvalidSetting` for a secret that is too short.
    """

    __slots__ = ("_digest", "_text", "generated")

    def __init__(self, text: str, *, generated: bool = False) -> None:
        if len(text) < SHORTEST or not text.isprintable() or " " in text:
            need = f"at least {SHORTEST} printable characters without spaces, such as the output of `openssl rand -hex 24`"
            raise InvalidSetting("token", "***", need)
        self._text = text
        self._digest = hashlib.sha256(text.encode()).digest()
        self.generated = generated
        """True if this process generated it."""

    def __repr__(self) -> str:
        return "<Token ***>"

    @classmethod
    def of(cls, environment: Mapping[str, str], name: str = "COTERIE_TOKEN") -> AccessToken:
        """Return the token from an environment variable, or a new one. Raises `InvalidSetting` for a weak token."""
        given = environment.get(name, "")
        return cls(given) if given else cls(secrets.token_urlsafe(24), generated=True)

    def reveal(self) -> str:
        """Return the secret itself, to show it once to the operator."""
        return self._text

    def matches(self, given: str) -> bool:
        """Return whether `given` is the token."""
        return hmac.compare_digest(self._digest, hashlib.sha256(given.encode()).digest())


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
