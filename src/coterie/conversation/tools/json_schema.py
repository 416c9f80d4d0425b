"""The arguments of a tool whose JSON schema is given, such as a tool of another program."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from coterie.conversation.tools.schema import CODEC, MASK, SHOWN_FAULTS, ToolArguments
from coterie.errors import DefinitionError, EncodeFailed, ExtraMissing

_LONGEST = 200
"""Characters of one fault that the model is shown."""


class SchemaArguments(ToolArguments):
    """Arguments that a JSON schema describes, and that are validated by it. Immutable.

    `secrets` are the names of parameters whose values are never stored. References in the schema lead only to places within
    it. Raises `DefinitionError` for a schema that is invalid or does not describe an object.
    """

    __slots__ = ("_validator",)

    def __init__(self, schema: object, where: str, secrets: Iterable[str] = ()) -> None:
        try:
            from jsonschema.exceptions import SchemaError  # type: ignore[import-untyped] # noqa: PLC0415 - only with the extra
            from jsonschema.validators import (  # type: ignore[import-untyped] # noqa: PLC0415 - as above
                Draft202012Validator,
                validator_for,
            )
            from referencing import Registry  # noqa: PLC0415 - as above
        except ImportError as error:
            raise ExtraMissing("a tool with a given JSON schema", "mcp") from error
        if not isinstance(schema, Mapping) or schema.get("type") != "object":
            raise DefinitionError(where, "its schema does not describe an object", "give a schema with the type object")
        properties = schema.get("properties", {})
        if not isinstance(properties, Mapping):
            raise DefinitionError(where, "the properties of its schema are no object", "give each parameter its schema")
        self.schema = {**schema, "properties": dict(properties)}
        self.secrets = frozenset(secrets)
        if unknown := self.secrets - properties.keys():
            raise DefinitionError(
                where, f"it has no parameter {', '.join(sorted(unknown))}", f"name some of: {', '.join(properties) or 'none'}"
            )
        kind = validator_for(self.schema, default=Draft202012Validator)
        try:
            kind.check_schema(self.schema)
        except SchemaError as error:
            raise DefinitionError(where, f"its schema is invalid: {error.message[:_LONGEST]}", "mend the schema") from error
        self._validator = kind(self.schema, registry=Registry())

    def check(self, given: object) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the arguments for the function, and as plain values for the log, with secrets masked.

        Raises `ValueError`, whose text has the correction for the model.
        """
        if not isinstance(given, Mapping):
            raise ValueError(f"the arguments must be an object, not {type(given).__name__}")  # noqa: TRY004 - all invalid arguments raise ValueError
        if hidden := self.hidden(given):
            raise ValueError(f"{', '.join(hidden)}: it is a secret and was not kept; ask the user for it again")
        values = dict(given)
        try:
            CODEC.encode(values)
        except EncodeFailed as error:
            raise ValueError(f"the arguments cannot be stored: {error.__cause__}") from error
        try:
            faults = [f"{_place(each)}: {each.message[:_LONGEST]}" for each in self._validator.iter_errors(values)]
        except Exception as error:
            # A reference of the schema that leads nowhere is found only now.
            raise ValueError(f"its schema cannot be used: {str(error)[:_LONGEST]}") from error
        if faults:
            more = f"; and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
            raise ValueError("; ".join(faults[:SHOWN_FAULTS]) + more)
        return values, self.mask(values, given)

    def kept(self, plain: Mapping[str, Any]) -> dict[str, Any]:
        """Return stored arguments for the function, without the masked secrets."""
        return {name: value for name, value in plain.items() if not (name in self.secrets and value == MASK)}


def _place(error: Any) -> str:
    return ".".join(map(str, error.absolute_path)) or "arguments"
