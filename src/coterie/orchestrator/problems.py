"""Messages about a file that does not fit its model: the key, the fault, and the remedy."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

_BOUNDS = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
}
_KINDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "tuple_type": "a list, such as several tables under one [[name]]",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dict_type": "a table",
}


def problem(error: ErrorDetails, data: dict[str, Any], model: type[BaseModel]) -> str:
    """Return one fault that pydantic found in `data`, which should fit `model`, as a line for a person."""
    path, models = _follow(error["loc"], data, model)
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    context = error.get("ctx", {})
    kind = error["type"]
    value = error["input"]
    if kind == "extra_forbidden":
        allowed = {name for each in models[-2:][:1] for name in each.model_fields}
        text = f"no such key; {_suggest(str(path[-1]), allowed)}"
    elif kind == "missing":
        text = "missing; add it"
    elif kind in ("union_tag_not_found", "union_tag_invalid"):
        tag = str(context.get("discriminator", "")).strip("'")
        known = [name.strip("'") for name in str(context.get("expected_tags", "")).split(", ")]
        if kind == "union_tag_invalid":
            text = f"{context.get('tag')!r} is no {tag}; {_suggest(str(context.get('tag')), known)}"
        else:
            text = f"{tag} is missing; it says which one is meant"
        key = f"{key}.{tag}"
    elif kind in _KINDS:
        text = f"{value!r} is not possible; it must be {_KINDS[kind]}"
    elif kind in _BOUNDS:
        text = f"{value!r} is out of range; it must be {_BOUNDS[kind].format(**context)}"
    elif kind == "literal_error":
        text = f"{value!r} is not possible; it must be {context.get('expected')}"
    elif kind == "value_error":
        text = str(context.get("error"))
    else:
        text = f"{error['msg'][0].lower()}{error['msg'][1:]}, not {value!r}"
    return f"{key}: {text}" if key else text


def _suggest(word: str, known: typing.Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}"


def _follow(
    location: tuple[int | str, ...], data: Any, model: type[BaseModel]
) -> tuple[list[int | str], list[type[BaseModel]]]:
    """Return the path of keys in the file, and the models along it. pydantic's path names the members of unions too."""
    path: list[int | str] = []
    models = [model]
    candidates: list[type[BaseModel]] = [model]
    for part in location:
        tagged = [each for each in candidates if part in _tags(each)]
        if tagged and not (isinstance(data, dict) and part in data):
            candidates = tagged
            models[-1] = tagged[0]
            continue
        path.append(part)
        if isinstance(part, str):
            field = models[-1].model_fields.get(part)
            candidates = list(_models(field.annotation)) if field is not None else []
            models.append(candidates[0] if candidates else models[-1])
            data = data.get(part) if isinstance(data, dict) else None
        else:
            data = data[part] if isinstance(data, list) and part < len(data) else None
    return path, models


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation names, inside of unions, sequences and annotations too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Annotated, Union, types.UnionType, tuple, list):
        for argument in get_args(annotation):
            yield from _models(argument)


def _tags(model: type[BaseModel]) -> set[object]:
    return {tag for field in model.model_fields.values() for tag in get_args(field.annotation)}
