"""Errors of declarations, settings, messages and encodings. See `coterie.errors` for the tree."""

from __future__ import annotations

import re

from coterie.errors.general import CoterieError


class DefinitionError(CoterieError, TypeError):
    """A class is declared wrongly.

    Raised when the class is defined, or at the latest when an agent of it is spawned.
    """

    def __init__(self, where: str, problem: str, remedy: str) -> None:
        self.where = where
        super().__init__(f"{where}: {problem}; {remedy}")


class InvalidSetting(CoterieError, ValueError):
    """An option has an invalid value."""

    def __init__(self, where: str, value: object, need: str) -> None:
        self.where = where
        shown = f"the class {value.__qualname__}" if isinstance(value, type) else _without_secrets(repr(value))
        super().__init__(f"{where}={shown}: need {need}")


def _without_secrets(shown: str) -> str:
    """Return a text, possibly a URL, without user names and passwords."""
    return re.sub(
        r"([?&]\w*(?:password|secret|key|token)\w*=)[^&'\"\s]*",
        r"\1***",
        re.sub(r"://.*@", "://***@", shown),
        flags=re.IGNORECASE,
    )


class InvalidMessage(CoterieError, TypeError):
    """A sent value is not an instance of `Message`, or was sent by the wrong call."""

    def __init__(
        self, value: object, recipient: object, remedy: str = "send an instance of a subclass of Message or Request"
    ) -> None:
        kind = f"the class {value.__qualname__}" if isinstance(value, type) else f"a {type(value).__qualname__}"
        super().__init__(f"{kind} was sent to {recipient}: {remedy}")


class InvalidAddress(CoterieError, ValueError):
    """A text that should name an agent does not."""

    def __init__(self, text: object) -> None:
        super().__init__(f"{text!r} is not an address: expected coterie://NODE/NAME or coterie://NODE/NAME#NUMBER")


class CodecError(CoterieError):
    """A value cannot cross the wire."""


class EncodeFailed(CodecError):
    """A value has no wire form. The cause is the reason."""

    def __init__(self, what: str, reason: object, use: str = "") -> None:
        possible = use or "numbers, text, bytes, lists, dicts, dates, dataclasses, messages or agent references"
        super().__init__(f"cannot encode {what}: {reason}; use {possible}")


class DecodeFailed(CodecError):
    """Bytes do not decode to the expected type. The cause is the reason."""

    def __init__(self, what: str, reason: object) -> None:
        super().__init__(f"cannot decode {what}: {reason}")
