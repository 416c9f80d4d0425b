"""What is different between two moments, as operations in the manner of JSON Patch (RFC 6902)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from coterie.errors import PatchRefused
from coterie.world.state.values import encoder, freeze, thaw

Operation: TypeAlias = Literal["add", "remove", "replace"]


class Difference(msgspec.Struct, frozen=True):
    """One operation that leads from one moment to another: what to do, where, and with which value."""

    op: Operation
    path: str
    """As in RFC 6901: a slash before each part, ``~1`` for a slash within a part, ``~0`` for a tilde."""
    value: Any = None
    """What is there afterwards, as ordinary lists and dicts; None for `remove`."""


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], keys: Iterable[str] | None = None
) -> tuple[Difference, ...]:
    """Return what leads from one mapping to the other, in the order of the keys; of `keys` alone if they are given.

    Mappings are compared key by key, whatever the depth; lists whole. Takes time in proportion to the keys compared.
    """
    compared = sorted({*before, *after} if keys is None else set(keys))
    return tuple(each for key in compared for each in _compare(key, before, after, ""))


def patched(before: Mapping[str, Any], operations: Sequence[Difference]) -> dict[str, Any]:
    """Return what `before` becomes by `operations`, as ordinary lists and dicts. Raises `PatchRefused` where one does not fit.

    Lists are replaced whole, as `differences` does it.
    """
    result: dict[str, Any] = {key: thaw(value) for key, value in before.items()}
    for operation in operations:
        if operation.op not in get_args(Operation) or not operation.path.startswith("/"):
            raise PatchRefused(operation.path, f"{operation.op} is add, remove or replace, and a path begins with a slash")
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation.path.split("/")[1:]]
        target: Any = result
        for parent in parents:
            target = target.get(parent) if isinstance(target, dict) else None
        if not isinstance(target, dict):
            raise PatchRefused(operation.path, "there is no mapping on the way to it")
        if (last in target) is (operation.op == "add"):
            raise PatchRefused(operation.path, "it is there already" if operation.op == "add" else "there is no such thing")
        if operation.op == "remove":
            del target[last]
        else:
            target[last] = thaw(freeze(operation.value, operation.path))
    return result


def _compare(key: str, before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> Iterator[Difference]:
    here = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
    if key not in before:
        if key in after:
            yield Difference("add", here, thaw(after[key]))
    elif key not in after:
        yield Difference("remove", here)
    else:
        one, other = before[key], after[key]
        if one is other:
            return
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            for name in sorted({*one, *other}):
                yield from _compare(name, one, other, here)
        elif encoder.encode(one) != encoder.encode(other):
            # Not by ==, for which 1, 1.0 and true are the same, and which the digest tells apart.
            yield Difference("replace", here, thaw(other))
