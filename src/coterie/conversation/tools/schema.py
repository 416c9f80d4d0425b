"""The schema of a tool's arguments, from its signature."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model

from coterie.conversation.tools.calling import is_context
from coterie.errors import DefinitionError

_ENTRY = re.compile(r"^(\w+)(?:\s*\([^)]*\))?:\s*(.+)$")
_SHOWN = 5
"""Faults of one call that a model is told."""


class Arguments:
    """What a tool may be called with: its JSON schema, and the check of what a model gives. Immutable."""

    __slots__ = ("_model", "schema")

    def __init__(self, function: Callable[..., Any], names: Mapping[str, Any], where: str) -> None:
        fields = _fields(function, names, where)
        try:
            self._model: type[BaseModel] = create_model(
                "Arguments", __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False), **fields
            )
            schema = self._model.model_json_schema()
        except (PydanticUserError, TypeError, NameError) as error:
            problem = f"its arguments have no schema: {str(error).splitlines()[0]}"
            raise DefinitionError(where, problem, "annotate them with plain types, dataclasses or pydantic models") from error
        schema.pop("title", None)
        schema.setdefault("properties", {})
        self.schema: Mapping[str, Any] = schema

    def check(self, given: object) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the arguments as the function wants them, and as plain values to be kept.

        Raises `ValueError`, whose text tells a model what to mend.
        """
        if not isinstance(given, Mapping):
            raise ValueError(f"the arguments must be an object, not {type(given).__name__}")  # noqa: TRY004 - as all other faults
        try:
            checked = self._model.model_validate(dict(given))
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, each['loc'])) or 'arguments'}: {each['msg']}" for each in error.errors()]
            more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
            raise ValueError("; ".join(faults[:_SHOWN]) + more) from error
        values = {name: getattr(checked, name) for name in type(checked).model_fields}
        return values, checked.model_dump(mode="json")


def description_of(function: Callable[..., Any]) -> str:
    """Return what a function's docstring says before it comes to the arguments."""
    text = inspect.getdoc(function) or ""
    return re.split(r"^(?:Args|Arguments|Returns|Raises|Yields):\s*$", text, maxsplit=1, flags=re.MULTILINE)[0].strip()


def _fields(function: Callable[..., Any], names: Mapping[str, Any], where: str) -> dict[str, Any]:
    parameters = [each for each in inspect.signature(function).parameters.values() if not is_context(each)]
    fixed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for each in parameters:
        if each.kind in fixed:
            raise DefinitionError(where, f"a model cannot give {each}", "give each argument a name of its own")
        if each.name.startswith("_"):
            raise DefinitionError(where, f"{each.name} begins with an underscore", "name it without")
    annotations = {each.name: each.annotation for each in parameters if each.annotation is not each.empty}
    only = types.SimpleNamespace(__annotations__=annotations)
    try:
        hints = typing.get_type_hints(
            only, globalns=getattr(function, "__globals__", {}), localns=dict(names), include_extras=True
        )
    except NameError as error:
        remedy = "import it where the tool is defined, and not for type checkers only"
        raise DefinitionError(where, f"a type cannot be resolved: {error}", remedy) from error
    told = _told(function)
    fields: dict[str, Any] = {}
    for each in parameters:
        default: Any = ... if each.default is each.empty else each.default
        if each.name in told:
            default = Field(default, description=told[each.name])
        fields[each.name] = (hints.get(each.name, Any), default)
    return fields


def _told(function: Callable[..., Any]) -> dict[str, str]:
    """Return what the section ``Args:`` of a docstring says of each argument."""
    told: dict[str, str] = {}
    inside = False
    last = ""
    for line in (inspect.getdoc(function) or "").splitlines():
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
