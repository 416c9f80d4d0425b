"""The schema of a tool's arguments, from its signature, and secret arguments."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, SecretBytes, SecretStr, ValidationError, create_model
from pydantic.fields import FieldInfo

from coterie.conversation.tools.function import innermost, is_context
from coterie.errors import DefinitionError, EncodeFailed
from coterie.kernel import Codec

CODEC = Codec()
"""Encodes arguments, to see whether they can be stored."""
MASK = "[secret]"
"""The text in place of a secret wherever it would be stored or shown."""
_MIN_LENGTH = 3
"""Minimum characters of a secret to mask in messages of the user; shorter ones would match everywhere."""


class Secret:
    """Marks a parameter of a tool, such as a password or a one-time code: ``code: Annotated[str, Secret]``.

    The tool gets the value; the log, the ledger, events and prompts get ``[secret]`` in its place, also in the message of
    the user. The value stays in memory until the operation has ended; after a crash the user must give it again.
    Parameters of pydantic's `SecretStr` and `SecretBytes` are treated alike.
    """


def is_secret(hint: Any, seen: frozenset[type] = frozenset()) -> bool:
    """Return whether a type, or a part of it, is a secret."""
    if hint in (Secret, SecretStr, SecretBytes) or isinstance(hint, Secret):
        return True
    if isinstance(hint, type) and hint not in seen:
        return any(is_secret(part, seen | {hint}) for part in _fields_of(hint))
    alias = getattr(hint, "__value__", None) or getattr(hint, "__supertype__", None)
    if alias is not None:
        return is_secret(alias, seen)
    metadata = getattr(hint, "__metadata__", ())
    return any(is_secret(part, seen) for part in (*typing.get_args(hint), *metadata) if not isinstance(part, str))


def _fields_of(hint: type) -> list[Any]:
    """Return the types of the fields of a model, dataclass, typed dictionary or named tuple."""
    if issubclass(hint, BaseModel):
        return [part for each in hint.model_fields.values() for part in (each.annotation, *each.metadata)]
    if dataclasses.is_dataclass(hint) or hasattr(hint, "__total__") or hasattr(hint, "_fields"):
        try:
            return list(typing.get_type_hints(hint, include_extras=True).values())
        except (NameError, TypeError):
            # It says `Secret` in words that cannot be resolved here, or it has no schema, which is refused later.
            return [Secret] if "Secret" in str(getattr(hint, "__annotations__", "")) else []
    return []


def texts_of(value: Any) -> Iterator[str]:
    """Yield the texts in a secret value, to mask them in messages."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from texts_of(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from texts_of(each)
    elif isinstance(value, str | int) and not isinstance(value, bool) and len(str(value).strip()) >= _MIN_LENGTH:
        yield str(value).strip()


_ENTRY = re.compile(r"^(\w+)(?:\s*\([^)]*\))?:\s*(.+)$")
SHOWN_FAULTS = 5
"""Errors of one call that the model is shown."""


class ToolArguments:
    """The arguments of a tool: their JSON schema, and the validation of a model's arguments. Immutable."""

    __slots__ = ("_kept", "_model", "_names", "schema", "secrets")

    def __init__(self, function: Callable[..., Any], names: Mapping[str, Any], where: str) -> None:
        hints = _hints(function, names, where)
        self._names = {_field(place): name for place, name in enumerate(hints)}
        self.secrets = frozenset(name for name, (hint, _) in hints.items() if is_secret(hint))
        """The parameters whose values are never stored."""
        self._model, self.schema = _modelled(hints, where)
        for name in self.secrets:
            self.schema["properties"][name]["writeOnly"] = True
        without = {name: (Any, None) if name in self.secrets else hint for name, hint in hints.items()}
        self._kept = _modelled(without, where)[0] if self.secrets else self._model

    def check(self, given: object) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the arguments for the function, and as plain values for the log, with secrets masked.

        Raises `ValueError`, whose text has the correction for the model.
        """
        if not isinstance(given, Mapping):
            raise ValueError(f"the arguments must be an object, not {type(given).__name__}")  # noqa: TRY004 - all invalid arguments raise ValueError
        hidden = self.hidden(given)
        if hidden:
            raise ValueError(f"{', '.join(hidden)}: it is a secret and was not kept; ask the user for it again")
        values, kept = self._checked(self._model, given)
        return values, self.mask(kept, given)

    def kept(self, plain: Mapping[str, Any]) -> dict[str, Any]:
        """Return stored arguments for the function, with None for secrets. Raises `ValueError`."""
        return self._checked(self._kept, {**plain, **dict.fromkeys(self.hidden(plain))})[0]

    def hidden(self, plain: Mapping[str, Any]) -> list[str]:
        """Return the names of the masked secrets."""
        return sorted(name for name in self.secrets if plain.get(name) == MASK)

    def mask(self, plain: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Return plain arguments with a mask for each given secret."""
        return {name: MASK if name in self.secrets and given.get(name) is not None else value for name, value in plain.items()}

    def _checked(self, model: type[BaseModel], given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        try:
            checked = model.model_validate(dict(given))
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, each['loc'])) or 'arguments'}: {each['msg']}" for each in error.errors()]
            more = f"; and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
            raise ValueError("; ".join(faults[:SHOWN_FAULTS]) + more) from error
        values = {name: getattr(checked, field) for field, name in self._names.items()}
        plain = checked.model_dump(mode="json", by_alias=True)
        try:
            CODEC.encode(plain)
        except EncodeFailed as error:
            raise ValueError(f"the arguments cannot be stored: {error.__cause__}") from error
        return values, plain


def description_of(function: Callable[..., Any]) -> str:
    """Return the part of a function's docstring before its sections."""
    text = inspect.getdoc(innermost(function)) or ""
    return re.split(r"^(?:Args|Arguments|Returns|Raises|Yields):\s*$", text, maxsplit=1, flags=re.MULTILINE)[0].strip()


def _field(place: int) -> str:
    """Return the name of a parameter in the pydantic model, which cannot collide with the model's own methods."""
    return f"argument_{place}"


def _modelled(hints: Mapping[str, tuple[Any, Any]], where: str) -> tuple[type[BaseModel], dict[str, Any]]:
    """Return a pydantic model of parameters, and its JSON schema. Raises `DefinitionError`."""
    fields: dict[str, Any] = {}
    for place, (name, (hint, default)) in enumerate(hints.items()):
        found = default if isinstance(default, FieldInfo) else Field(default)
        given = {key: value for key, value in found._attributes_set.items() if key != "annotation"}  # noqa: SLF001 - the way to merge
        given.update(alias=name, validation_alias=name, serialization_alias=name)
        given.setdefault("title", name.replace("_", " ").title())
        fields[_field(place)] = (hint, Field(**given))
    try:
        settings = ConfigDict(extra="forbid", arbitrary_types_allowed=False, allow_inf_nan=False)
        model: type[BaseModel] = create_model("Arguments", __config__=settings, **fields)
        schema = model.model_json_schema()
    except (PydanticUserError, TypeError, NameError, ValueError) as error:
        problem = f"its arguments have no schema: {str(error).splitlines()[0]}"
        raise DefinitionError(where, problem, "annotate them with plain types, dataclasses or pydantic models") from error
    schema.pop("title", None)
    schema.setdefault("properties", {})
    return model, schema


def _hints(function: Callable[..., Any], names: Mapping[str, Any], where: str) -> dict[str, tuple[Any, Any]]:
    """Return the type and the default of each parameter that the model supplies. Raises `DefinitionError`."""
    parameters = list(inspect.signature(function).parameters.values())
    fixed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for each in parameters:
        if each.kind in fixed:
            raise DefinitionError(where, f"a model cannot supply {each}", "use named parameters only")
        if each.name in ("self", "cls") and each.annotation is each.empty:
            raise DefinitionError(
                where, "it is a method without its object", "make the tool from a bound method: tool(...)(thing.method)"
            )
        if each.name.startswith("_"):
            raise DefinitionError(where, f"{each.name} starts with an underscore", "rename it")
    parameters = [each for each in parameters if not is_context(each)]
    only = types.SimpleNamespace(
        __annotations__={each.name: each.annotation for each in parameters if each.annotation is not each.empty}
    )
    known = getattr(innermost(function), "__globals__", {})
    try:
        hints = typing.get_type_hints(only, globalns=known, localns=dict(names), include_extras=True)
    except (NameError, SyntaxError, TypeError, AttributeError) as error:
        remedy = "import it in the tool's module, outside of TYPE_CHECKING"
        raise DefinitionError(where, f"a type cannot be resolved: {error}", remedy) from error
    told = _argument_descriptions(function)
    found: dict[str, tuple[Any, Any]] = {}
    for each in parameters:
        default: Any = ... if each.default is each.empty else each.default
        if each.name in told and not isinstance(default, FieldInfo):
            default = Field(default, description=told[each.name])
        found[each.name] = (hints.get(each.name, Any), default)
    return found


def _argument_descriptions(function: Callable[..., Any]) -> dict[str, str]:
    """Return the descriptions of arguments in the section ``Args:`` of a docstring."""
    told: dict[str, str] = {}
    inside = False
    last = ""
    for line in (inspect.getdoc(innermost(function)) or "").splitlines():
        if re.match(r"^(Args|Arguments):\s*$", line):
            inside = True
        elif inside and line and not line.startswith(" "):
            break
        elif inside and (entry := _ENTRY.match(line.strip())) is not None:
            last = entry[1]
            told[last] = entry[2]
        elif inside and last and line.strip():
            told[last] += " " + line.strip()
    return told
