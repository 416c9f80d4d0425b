"""The smallest value that fits a JSON schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def fill(schema: Mapping[str, Any], definitions: Mapping[str, Any] | None = None) -> Any:
    """Return a value that fits a schema of the kinds that types make: objects, lists, enumerations, unions, references."""
    known: Mapping[str, Any] = schema.get("$defs", {}) if definitions is None else definitions
    if "$ref" in schema:
        return fill(known[schema["$ref"].rpartition("/")[2]], known)
    choices = next((schema[name] for name in ("anyOf", "oneOf", "allOf") if name in schema), None)
    if choices is not None:
        return fill(choices[0], known)
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    kind = schema.get("type")
    return _simple(kind[0] if isinstance(kind, list) else kind, schema, known)


def _simple(kind: str | None, schema: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    if kind == "object" or "properties" in schema:
        properties: Mapping[str, Any] = schema.get("properties", {})
        return {name: fill(properties[name], known) for name in schema.get("required", properties) if name in properties}
    if kind == "array":
        if "prefixItems" in schema:
            return [fill(each, known) for each in schema["prefixItems"]]
        return [fill(schema.get("items", {}), known) for _ in range(schema.get("minItems", 1))]
    if kind in ("integer", "number"):
        return max(1, schema.get("minimum", 1))
    if kind in ("boolean", "null"):
        return True if kind == "boolean" else None
    return "text"[: schema.get("maxLength", 4)].ljust(schema.get("minLength", 0), ".")
