"""Items of a LangGraph store, where LangMem keeps its memories; also as rows of its table in a database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from coterie.memory.exports.content import ExportContent, ExportedText, fields_of, mappings, time_of, words_of


def read_langmem(data: Any, content: ExportContent, agent: str | None) -> None:
    """Read the items. Raises `TypeError`, `KeyError` or `ValueError` for another format."""
    for place, row in enumerate(mappings(data["items"] if isinstance(data, Mapping) else data)):
        spaces = _spaces(row)
        if agent is not None and agent not in spaces:
            content.leave_out("memories of others")
            continue
        value = row["value"]
        if isinstance(value, str):
            # A column of JSON in a dump of a database.
            value = json.loads(value)
        if not isinstance(value, Mapping):
            raise TypeError(f"item {place + 1} has no value with fields")
        inner = value["content"] if isinstance(value.get("content"), Mapping) else value
        more = {"namespace": "/".join(spaces), **({"schema": value["kind"]} if isinstance(value.get("kind"), str) else {})}
        id = f"{'/'.join(spaces)}/{row['key']}"  # noqa: A001 - the field's own name
        until = time_of(row.get("expires_at"))
        content.learnt.append(
            ExportedText(id, words_of(inner), {**fields_of(inner), **more}, time_of(row.get("created_at")), until)
        )


def _spaces(row: Mapping[str, Any]) -> list[str]:
    if "namespace" not in row and isinstance(row.get("prefix"), str):
        return str(row["prefix"]).split(".")
    namespace = row["namespace"]
    return [namespace] if isinstance(namespace, str) else [str(each) for each in namespace]
