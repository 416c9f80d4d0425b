"""Values and errors of stages on their way to another process, as plain data with the names of their classes.

Only classes that a process has imported already are made again: nothing is imported or unpickled for a name.
"""

from __future__ import annotations

import dataclasses
import sys
import traceback
from typing import Any

import msgspec

from coterie.errors import InvalidValue
from coterie.world.state.values import freeze, thaw

_CAUSES = 8
"""The causes of an error that are carried."""
_DEEPEST = 64


class ModuleNames(msgspec.Struct, frozen=True):
    """The name of one module, or package, in this process, and its name in the other one; all others are called the same."""

    here: str = ""
    there: str = ""

    def sent(self, module: str) -> str:
        """Return the name of a module for the other process."""
        return _renamed(module, self.here, self.there)

    def known(self, module: str) -> str:
        """Return the name of a module of the other process in this one."""
        return _renamed(module, self.there, self.here)


SAME = ModuleNames()


def carry(value: Any, key: object, names: ModuleNames = SAME) -> Any:
    """Return a form of a value: a list of the plain value; or of a kind, the names of its parts, and the forms of the parts.

    A value that is not plain data may consist of msgspec structs, dataclasses, lists, tuples and dicts. Raises `InvalidValue` for any
    other.
    """
    try:
        return [thaw(freeze(value, key))]
    except InvalidValue:
        return _carried(value, key, names, 0)


def carried(form: Any, names: ModuleNames = SAME) -> Any:
    """Return a value of `carry` again; plain data is frozen. Raises `InvalidValue` for a class that is not known here."""
    return freeze(form[0]) if len(form) == 1 else _opened(form, names)


def _carried(value: Any, key: object, names: ModuleNames, depth: int) -> list[Any]:
    if depth > _DEEPEST:
        raise InvalidValue(key, f"it is nested more than {_DEEPEST} levels deep, perhaps inside itself")
    kind = type(value)
    if isinstance(value, msgspec.Struct):
        fields: Any = {name: getattr(value, name) for name in value.__struct_fields__}
    elif dataclasses.is_dataclass(value):
        fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    elif kind in (list, tuple):
        fields = dict(enumerate(value))
    elif kind is dict and all(isinstance(name, str) for name in value):
        fields = value
    else:
        return [thaw(freeze(value, key))]
    name = kind.__name__ if kind in (list, tuple, dict) else f"{names.sent(kind.__module__)}:{kind.__qualname__}"
    return [name, list(map(str, fields)), [_carried(each, key, names, depth + 1) for each in fields.values()]]


def _opened(form: Any, names: ModuleNames) -> Any:
    if len(form) == 1:
        return form[0]
    kind, fields, parts = form[0], form[1], [_opened(each, names) for each in form[2]]
    if kind in ("list", "tuple"):
        return parts if kind == "list" else tuple(parts)
    values = dict(zip(fields, parts, strict=True))
    if kind == "dict":
        return values
    found = _class(kind, names)
    if found is None or not (issubclass(found, msgspec.Struct) or dataclasses.is_dataclass(found)):
        raise InvalidValue(kind, "this process has no such class; use plain data between stages")
    if issubclass(found, msgspec.Struct):
        return found(**values)
    made = found.__new__(found)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


class CarriedError(msgspec.Struct, frozen=True):
    """An error that was raised elsewhere, with its cause: the name of its class, its text, and its traceback."""

    kind: str
    text: str
    trace: str = ""
    cause: CarriedError | None = None

    @classmethod
    def of(cls, error: BaseException, names: ModuleNames = SAME, causes: int = _CAUSES) -> CarriedError:
        """Return an error as plain data."""
        kind = type(error)
        trace = "".join(traceback.format_exception(error, chain=False))
        cause = cls.of(error.__cause__, names, causes - 1) if error.__cause__ is not None and causes else None
        return cls(f"{names.sent(kind.__module__)}:{kind.__qualname__}", _text(error), trace, cause)

    def revived(self) -> Exception:
        """Return the error again, of its own class if this process has it."""
        found = _class(self.kind, SAME)
        error = self._of(found if found is not None and issubclass(found, Exception) else self._substitute())
        error.add_note(f"It was raised on another node:\n{self.trace}")
        error.__cause__ = self.cause.revived() if self.cause is not None else None
        return error

    def _of(self, kind: Any) -> Exception:
        # Its own constructor may want what is not known here.
        error: Exception = kind.__new__(kind)
        error.args = (self.text,)
        return error if _text(error) == self.text else self._substitute()(self.text)

    def _substitute(self) -> type[Exception]:
        return type(self.kind.partition(":")[2].rpartition(".")[2], (Exception,), {})


def _class(kind: str, names: ModuleNames) -> type | None:
    module, _, name = kind.partition(":")
    found: Any = sys.modules.get(names.known(module))
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None


def _renamed(module: str, old: str, new: str) -> str:
    if old and f"{module}.".startswith(f"{old}."):
        return new + module[len(old) :]
    return module


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as fault:  # noqa: BLE001 - the text of a user's error may fail
        return f"(its text cannot be read: {type(fault).__qualname__})"
