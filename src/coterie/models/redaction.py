"""Redact secrets from texts and recordings."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

_SECRET = re.compile(r"(?:^|_)(?:API_?)?(?:KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS)(?:_|$)", re.IGNORECASE)
_SHORTEST = 6
"""Shorter values, in characters, are not redacted: they could be part of any word."""
_URL_USER = re.compile(r"(?<=://)[^/@\s'\"]+@")
_BEARER = re.compile(r"(?i)(\b(?:bearer|basic)\s+)[\w.~+/=-]{6,}")
_MARK = "[redacted]"


class Redactor:
    """Redacts the values of environment variables that look like keys, and credentials in URLs.

    Reads the environment once, when it is created. Immutable, so safe from any thread.
    """

    def __init__(self, more: Iterable[str] = (), environment: Mapping[str, str] | None = None) -> None:
        values = os.environ if environment is None else environment
        secrets = {value for name, value in values.items() if _SECRET.search(name)} | set(more)
        found = {form for each in secrets if len(each) >= _SHORTEST for form in _forms(each)}
        pattern = "|".join(map(re.escape, sorted(found, key=len, reverse=True)))
        self._text = re.compile(pattern) if found else None
        self._bytes = re.compile(pattern.encode()) if found else None

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        text = _BEARER.sub(rf"\1{_MARK}", _URL_USER.sub(f"{_MARK}@", text))
        return self._text.sub(_MARK, text) if self._text is not None else text

    def bytes(self, data: bytes) -> bytes:
        """Return JSON without secrets; URLs stay unchanged."""
        return self._bytes.sub(_MARK.encode(), data) if self._bytes is not None else data


def _forms(secret: str) -> set[str]:
    """Return the forms of a secret that a text may hold: plain, in JSON, in a repr, in a URL."""
    quoted = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    twice = {repr(each)[1:-1] for each in quoted}
    return {secret, quote(secret, safe=""), *quoted, *twice}
