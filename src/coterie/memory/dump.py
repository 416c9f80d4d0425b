"""Memories as JSON lines: to look at, to keep, and to take elsewhere.

The first line says what the file is and in which version; each further line is one memory. Values stand as JSON where that
says all of them, and as MessagePack in base64 where it does not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import msgspec
from msgspec.structs import asdict, replace

from coterie.errors import CoterieError, InvalidDump, InvalidMemory
from coterie.memory.checking import check_importance, check_key
from coterie.memory.contract import Archive
from coterie.memory.record import Kind, Record, Tier

VERSION = 1
"""Of the files that are written."""
_UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""By version: how a line of it becomes one of the next. Each stays for as long as files of it may be about."""
_WHAT = "coterie memories"
_PAGE = 500
_FIELDS = frozenset(Record.__struct_fields__)
_NAMES = msgspec.json.Encoder(order="deterministic")


def write_dump(archive: Archive, path: Path, agent: str | None) -> int:
    """Write all memories, or those of one agent, to a file, and return how many. The file is there whole or not at all."""
    unfinished = path.with_name(f"{path.name}.part")
    count = 0
    with unfinished.open("wb") as file:
        file.write(_NAMES.encode({"what": _WHAT, "version": VERSION}) + b"\n")
        for record in _records(archive):
            if agent is None or record.agent == agent:
                file.write(_line(record) + b"\n")
                count += 1
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    return count


def read_dump(path: Path, most_key_bytes: int) -> Iterator[Record]:
    """Return the memories in a file, one by one. Raises `InvalidDump` where a line is none."""
    with path.open("rb") as file:
        version = _version(file.readline())
        for number, line in enumerate(file, start=2):
            if line.strip():
                yield _record(number, line, version, most_key_bytes)


def _records(archive: Archive) -> Iterator[Record]:
    after = ""
    while page := archive.scan(after, _PAGE):
        yield from page
        after = page[-1].key


def _line(record: Record) -> bytes:
    fields = {name: each for name, each in asdict(record).items() if name not in ("value", "version")}
    try:
        plain = msgspec.msgpack.decode(record.value)
        if msgspec.msgpack.encode(msgspec.json.decode(msgspec.json.encode(plain))) == record.value:
            return _NAMES.encode({**fields, "value": plain})
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        # JSON has no form for it.
        pass
    return _NAMES.encode({**fields, "packed": record.value})


def _version(line: bytes) -> int:
    try:
        head = msgspec.json.decode(line)
    except msgspec.MsgspecError as error:
        raise InvalidDump(1, f"it is no JSON ({error})") from None
    if not isinstance(head, dict) or head.get("what") != _WHAT or not isinstance(head.get("version"), int):
        raise InvalidDump(1, f'it does not say "what": "{_WHAT}" and a version')
    version: int = head["version"]
    if not 1 <= version <= VERSION:
        raise InvalidDump(1, f"it is of version {version}, and only 1 to {VERSION} are known: use a newer coterie")
    return version


def _record(number: int, line: bytes, version: int, most_key_bytes: int) -> Record:
    try:
        fields = msgspec.json.decode(line)
        if not isinstance(fields, dict):
            _refuse(number, "it is no JSON object")
        for old in range(version, VERSION):
            fields = _UPGRADES[old](fields)
        if ("value" in fields) == ("packed" in fields):
            _refuse(number, 'it has neither "value" nor "packed", or both')
        packed = fields.pop("packed", None)
        body = msgspec.msgpack.encode(fields.pop("value")) if packed is None else msgspec.convert(packed, bytes)
        unknown = fields.keys() - _FIELDS
        if unknown:
            _refuse(number, f"it has the unknown field {min(unknown)!r}")
        record = msgspec.convert([*_in_order(fields, body)], Record)
        if record.kind != Kind.HOUSE:
            check_key(record.key, most_key_bytes)
        return replace(record, importance=check_importance(record.importance), tier=Tier(record.tier))
    except InvalidDump:
        raise
    except (msgspec.MsgspecError, InvalidMemory, CoterieError, TypeError, ValueError) as error:
        raise InvalidDump(number, error) from None


def _in_order(fields: dict[str, Any], body: bytes) -> Iterator[Any]:
    """Return the fields in the order of the record's, in which it is converted."""
    known = {**fields, "value": body, "version": 0}
    for name in ("id", "key"):
        if name not in known:
            raise ValueError(f"it has no {name!r}")
    defaults = asdict(Record("", "", 0, b""))
    for name in Record.__struct_fields__:
        given = known.get(name, defaults[name])
        yield msgspec.convert(given, bytes) if name == "vector" and isinstance(given, str) else given


def _refuse(number: int, problem: str) -> NoReturn:
    raise InvalidDump(number, problem)
