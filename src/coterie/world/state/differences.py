"""Differences between two moments, as operations like those of JSON Patch (RFC 6902)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from coterie.errors.world import PatchRefused
from coterie.world.state.values import encoder, freeze, thaw

Operation: TypeAlias = Literal["add", "remove", "replace"]


class Difference(msgspec.Struct, frozen=True):
    """One operation of a patch from one moment to another."""

    op: Operation
    path: str
    """As in RFC 6901: a slash before each part, ``~1`` for a slash in a part, ``~0`` for a tilde."""
    value: Any = None
    """The new value, as ordinary lists and dicts; None for `remove`."""


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], keys: Iterable[str] | None = None
) -> tuple[Difference, ...]:
    """Return the differences from one mapping to another, in the order of the keys; only for `keys` if given.

    Mappings are compared key by key at any depth, lists as a whole. The time is proportional to the compared keys.
    """
    compared = sorted({*before, *after} if keys is None else set(keys))
    return tuple(each for key in compared for each in _compare(key, before, after, ""))


def patched(before: Mapping[str, Any], operations: Sequence[Difference]) -> dict[str, Any]:
    """Return `before` with `operations` applied, as ordinary lists and dicts. Raises `PatchRefused` if one does not apply.

    Lists are replaced as a whole, as in `differences`.
    """
    result: dict[str, Any] = {key: thaw(value) for key, value in before.items()}
    for operation in operations:
        if operation.op not in get_args(Operation) or not operation.path.startswith("/"):
            raise PatchRefused(
                operation.path, "the operation must be add, remove or replace, and the path must begin with a slash"
            )
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation.path.split("/")[1:]]
        target: Any = result
        for parent in parents:
            target = target.get(parent) if isinstance(target, dict) else None
        if not isinstance(target, dict):
            raise PatchRefused(operation.path, "its parent is not a mapping")
        if (last in target) is (operation.op == "add"):
            raise PatchRefused(operation.path, "it exists already" if operation.op == "add" else "it does not exist")
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
            # Not by ==, which treats 1, 1.0 and true as equal; the digest distinguishes them.
            yield Difference("replace", here, thaw(other))
