"""Values of a world: frozen plain data with a canonical encoding."""

from __future__ import annotations

import enum
import hashlib
import math
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import msgspec

from coterie.errors import InvalidValue
from coterie.world.state.column import EXTENSION, Column, decode, encode

_SIMPLE = frozenset((str, bool, bytes, type(None)))
_LEAST, _MOST = -(2**63), 2**64 - 1
"""The range of whole numbers that can be encoded."""
_DEEPEST = 64
"""Maximum nesting; deeper values are mistakes or circular."""
_REMEDIES = {
    "set": "give sorted(...) of it",
    "frozenset": "give sorted(...) of it",
    "deque": "give list(...) of it",
    "range": "give list(...) of it",
    "ndarray": "give its tolist()",
    "datetime": "give its isoformat()",
    "date": "give its isoformat()",
    "time": "give its isoformat()",
    "timedelta": "give its total_seconds()",
    "Decimal": "give str(...) of it",
    "Fraction": "give str(...) of it",
    "complex": "give its real and imag",
}


class FrozenMapping(dict[str, Any]):
    """An immutable dict that is iterated in the order of its keys, in every process. Made by `freeze`.

    Readers, including `json` and `msgspec`, see a dict. `dict(...)` makes a mutable copy. Safe from any thread.
    """

    __slots__ = ("depth",)

    depth: int
    """Levels of nesting, including this mapping."""

    def __init__(self, frozen: Mapping[str, Any]) -> None:
        """Store values that are already frozen."""
        super().__init__(frozen if len(frozen) < 2 else sorted(frozen.items()))  # noqa: PLR2004 - one key has an order
        self.depth = 1 + max(map(_depth, self.values()), default=0)

    @classmethod
    def of_scalars(cls, frozen: dict[str, Any]) -> FrozenMapping:
        """Return a mapping of values that are numbers, texts, truth values or None. Fast."""
        made = cls.__new__(cls)
        dict.__init__(made, frozen if len(frozen) < 2 else sorted(frozen.items()))  # noqa: PLR2004 - as above
        made.depth = 1
        return made

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002 - stands for methods of many signatures
        raise TypeError("this mapping is frozen; change a copy, dict(...)")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override] # a dict is mutable and has no hash
        return hash(frozenset(self.items()))

    def __copy__(self) -> FrozenMapping:
        return self

    def __deepcopy__(self, memo: object) -> FrozenMapping:
        return self

    def __reduce__(self) -> tuple[type[FrozenMapping], tuple[dict[str, Any]]]:
        return FrozenMapping, (dict(self),)


def _depth(value: Any) -> int:
    kind = value.__class__
    if kind is FrozenMapping:
        return int(value.depth)
    return 1 + max(map(_depth, value), default=0) if kind is tuple else 0


def freeze(value: Any, key: object = "", depth: int = 0) -> Any:  # noqa: C901, PLR0911, PLR0912 - a branch for each kind of value
    """Return an immutable copy of a value: lists as tuples, mappings as `FrozenMapping`, numbers and text unchanged.

    NumPy's scalars become Python's numbers. Raises `InvalidValue`, which names `key`, for a value that is not plain data,
    such as a set, an object or NaN.
    """
    kind = value.__class__
    if kind in _SIMPLE:
        return value if kind is not str or value.isascii() else _encodable(value, key)
    if kind is int:
        if not _LEAST <= value <= _MOST:
            raise InvalidValue(key, f"{value} is beyond 64 bits")
        return value
    if kind is float:
        if math.isnan(value):
            raise InvalidValue(key, "NaN does not equal itself")
        return value
    if depth + (value.depth - 1 if kind is FrozenMapping else 0) > _DEEPEST:
        raise InvalidValue(key, f"it is nested more than {_DEEPEST} levels deep, perhaps inside itself")
    if kind is FrozenMapping:
        return value
    if kind is Column:
        return value
    if isinstance(value, list | tuple):
        return tuple([freeze(each, key, depth + 1) for each in value])
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise InvalidValue(key, f"{name!r} in a mapping is a {type(name).__qualname__}, but keys must be text")
        return FrozenMapping({freeze(name, key): freeze(each, key, depth + 1) for name, each in value.items()})
    if isinstance(value, bool | int | float | str | bytes):
        # A subclass, such as an enumeration: the log stores only its plain value.
        return freeze(bare(value), key)
    number = scalar(value)
    if number is not value:
        return freeze(number, key, depth + 1)
    raise InvalidValue(key, f"a {kind.__module__}.{kind.__qualname__} is not plain data{_remedy(value)}")


def frozen_items(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a new dict with valid keys and frozen values. Raises `InvalidValue`. Fast for ordinary keys and numbers."""
    ordinary = (
        changes.__class__ is dict
        and all(key.__class__ is str and key.isascii() for key in changes)
        and "" not in changes
        and all(value.__class__ is int and _LEAST <= value <= _MOST for value in changes.values())
    )
    return dict(changes) if ordinary else {as_key(key): freeze(value, key) for key, value in changes.items()}


def frozen_arguments(given: dict[str, Any]) -> FrozenMapping:
    """Return named arguments as an immutable mapping. Raises `InvalidValue`, which names the argument. Fast for plain ones."""
    for name, value in given.items():
        kind = value.__class__
        if not (
            name.isascii()
            and (
                (kind is int and _LEAST <= value <= _MOST)
                or (kind is str and value.isascii())
                or (kind is float and value == value)  # noqa: PLR0124 - it is not NaN
                or kind is bool
                or value is None
            )
        ):
            # One by one, so that an error names the argument.
            frozen: FrozenMapping = freeze({name: freeze(value, name) for name, value in given.items()})
            return frozen
    return FrozenMapping.of_scalars(given)


def scalar(value: Any) -> Any:
    """Return a scalar of NumPy as a Python number, and other values unchanged."""
    numpy = sys.modules.get("numpy")
    return value.item() if numpy is not None and isinstance(value, numpy.generic) else value


def _remedy(value: Any) -> str:
    if hasattr(value, "__dataclass_fields__"):
        return "; give dataclasses.asdict(...) of it"
    if isinstance(value, enum.Enum):
        return "; give its value"
    remedy = _REMEDIES.get(type(value).__name__)
    return f"; {remedy}" if remedy is not None else ""


def thaw(value: Any) -> Any:
    """Return a frozen value as ordinary lists and dicts."""
    if isinstance(value, tuple):
        return [thaw(each) for each in value]
    if isinstance(value, Mapping):
        return {name: thaw(each) for name, each in value.items()}
    return value


def fits(value: Any, key: object) -> Any:
    """Return a frozen value like `freeze`, but allow NaN, which can be recorded in an event but not stored in a key."""
    return value if value.__class__ is float else freeze(value, key)


def as_key(key: Any) -> str:
    """Return a valid key: text that is not empty. Raises `InvalidValue`."""
    if not isinstance(key, str) or not key:
        raise InvalidValue(key, "it is not a key")
    return str(freeze(key, key))


def bare(value: Any) -> Any:
    """Return the plain number or text of a member of an enumeration or another subclass."""
    for kind in (int, float, str, bytes):
        if isinstance(value, kind):
            return kind.__call__(value) if kind is not str else str.__str__(value)
    return value


def _encodable(text: str, key: object) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidValue(key, f"{text!r} has half of a surrogate pair, which cannot be encoded") from error
    return text


def _extended(value: Any) -> msgspec.msgpack.Ext:
    """Return a value that MessagePack does not know as an extension type."""
    if value.__class__ is Column:
        return msgspec.msgpack.Ext(EXTENSION, encode(value))
    raise TypeError(f"a {type(value).__qualname__} is not plain data")


def as_extended(code: int, data: memoryview) -> Any:
    """Return the value of an extension type."""
    return decode(data) if code == EXTENSION else msgspec.msgpack.Ext(code, bytes(data))


encoder = msgspec.msgpack.Encoder(order="deterministic", enc_hook=_extended)
"""The canonical encoding of values and events: equal values give equal bytes."""


def fingerprint(key: str, value: Any, deadline: float | None) -> int:
    """Return a 256-bit hash of one entry of a world."""
    if value.__class__ is Column:
        value = ("column", value.digest)
    return int.from_bytes(hashlib.blake2b(encoder.encode((key, value, deadline)), digest_size=32).digest(), "big")
