"""Find secrets in texts, as they were typed: with spaces, dots and dashes in between, but never inside other words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from coterie.conversation.tools.schema import MASK

_SEPARATORS = re.compile(r"[\s.\-]+")
_WORD = "[0-9A-Za-z]"


def without_secrets(name: str, secrets: Iterable[str], *, distinct: bool) -> str:
    """Return the name of a resource, or an idempotency key, without the secrets in it, also inside of words.

    With `distinct` different secrets give different texts, by a digest from which a short secret can be found by trying; else
    all give the same.
    """
    for secret in sorted(set(secrets), key=len, reverse=True):
        if secret in name:
            digest = hashlib.blake2b(secret.encode(), digest_size=16).hexdigest()
            name = name.replace(secret, f"[secret {digest}]" if distinct else MASK)
    return name


class SecretRedactor:
    """Masks known secrets in texts. Parts of longer words or numbers are not masked.

    `mask` is safe from any thread, as the table of patterns is replaced as a whole; one thread adds.
    """

    def __init__(self) -> None:
        self._patterns: dict[str, re.Pattern[str]] = {}

    @property
    def has_any(self) -> bool:
        """Return whether a secret is known."""
        return bool(self._patterns)

    def add(self, secrets: Iterable[str]) -> bool:
        """Add secrets to mask; return whether one of them is new."""
        patterns = dict(self._patterns)
        for secret in secrets:
            bare = _SEPARATORS.sub("", secret)
            letters = r"[\s.\-]*".join(map(re.escape, bare)) if bare.isalnum() else re.escape(secret)
            if bare:
                patterns.setdefault(bare, re.compile(f"(?<!{_WORD}){letters}(?!{_WORD})"))
        new = len(patterns) > len(self._patterns)
        self._patterns = patterns
        return new

    def mask(self, text: str) -> str:
        """Return a text with a mask for each secret in it."""
        patterns = self._patterns
        for bare in sorted(patterns, key=len, reverse=True):
            text = patterns[bare].sub(MASK, text)
        return text
