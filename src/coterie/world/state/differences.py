"""What is different between two moments, as operations in the manner of JSON Patch (RFC 6902)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from coterie.world.state.values import thaw

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
    """Return what `before` becomes by `operations`, as ordinary lists and dicts. Raises `KeyError` where one does not fit."""
    result: dict[str, Any] = {key: thaw(value) for key, value in before.items()}
    for operation in operations:
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation.path.split("/")[1:]]
        target = result
        for parent in parents:
            target = target[parent]
        if operation.op == "remove":
            del target[last]
        else:
            if (last in target) is (operation.op == "add"):
                raise KeyError(operation.path)
            target[last] = operation.value
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
        if one is other or (type(one) is type(other) and one == other):
            return
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            for name in sorted({*one, *other}):
                yield from _compare(name, one, other, here)
        else:
            yield Difference("replace", here, thaw(other))
