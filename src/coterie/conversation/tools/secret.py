"""Arguments that are nobody's business: they are given to the tool and kept nowhere."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr

MASK = "[secret]"
"""What stands in place of a secret wherever it is kept or shown."""
_SHORTEST = 3
"""Characters of a secret that is looked for in what the user said; shorter ones would be found everywhere."""


class Secret:
    """Marks a parameter of a tool, such as a password or a one-time code: ``code: Annotated[str, Secret]``.

    The tool gets it; the log, the ledger, events, and prompts get ``[secret]`` in its place, also where the user said it.
    It is held in memory until the operation has ended, so one that a crash interrupts has to be asked for again.
    Parameters of pydantic's `SecretStr` and `SecretBytes` are treated alike.
    """


def is_secret(hint: Any, seen: frozenset[type] = frozenset()) -> bool:
    """Return whether a type, or a part of it, is marked as a secret."""
    if hint in (Secret, SecretStr, SecretBytes) or isinstance(hint, Secret):
        return True
    if isinstance(hint, type) and issubclass(hint, BaseModel) and hint not in seen:
        fields = hint.model_fields.values()
        return any(is_secret(part, seen | {hint}) for each in fields for part in (each.annotation, *each.metadata))
    metadata = getattr(hint, "__metadata__", ())
    return any(is_secret(part, seen) for part in (*typing.get_args(hint), *metadata) if not isinstance(part, str))


def texts_of(value: Any) -> Iterator[str]:
    """Yield the texts that a secret is, so that they can be looked for in what was said."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from texts_of(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts_of(each)
    elif isinstance(value, str | int) and not isinstance(value, bool) and len(str(value).strip()) >= _SHORTEST:
        yield str(value).strip()
