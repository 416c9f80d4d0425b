"""Export and import of memories as JSON lines.

The first line names the format and its version; each further line is one memory. A value is plain JSON if JSON represents it
completely, else MessagePack in base64.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import msgspec
from msgspec.structs import asdict, replace

from coterie.errors import CoterieError, InvalidMemory
from coterie.errors.memory import DumpUnavailable, InvalidDump
from coterie.memory.checking import check_agent, check_importance, check_key, check_kind
from coterie.memory.contract import Archive
from coterie.memory.record import MemoryKind, MemoryRecord, Tier

VERSION = 1
"""The version of the files that this module writes."""
_UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Upgrades of a line from each version to the next. Keep each for as long as files of its version may exist."""
_WHAT = "coterie memories"
HOUSE_MARK = "\x1f"
"""The key prefix of internal records. No other key begins with it."""
_PAGE = 500
_FIELDS = frozenset(MemoryRecord.__struct_fields__)
_NAMES = msgspec.json.Encoder(order="deterministic")


def write_dump(archive: Archive, path: Path, agent: str | None) -> int:
    """Write all memories, or those of one agent, to a file atomically, and return how many.

    Raises `DumpUnavailable` if the file cannot be written.
    """
    if path.is_dir() or not path.name:
        raise DumpUnavailable(path, "written", "it is a folder; give the path of a file")
    unfinished = path.with_name(f"{path.name}.part")
    try:
        return _write((each for each in _records(archive) if agent is None or each.agent == agent), path, unfinished)
    except BaseException as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, CoterieError):
            raise DumpUnavailable(path, "written", f"{error.strerror or error}; check its folder and its disk") from error
        raise


def _write(records: Iterable[MemoryRecord], path: Path, unfinished: Path) -> int:
    count = 0
    with unfinished.open("wb") as file:
        file.write(_NAMES.encode({"what": _WHAT, "version": VERSION}) + b"\n")
        for record in records:
            file.write(_line(record) + b"\n")
            count += 1
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    return count


def rewrite_dump(path: Path, records: Iterable[MemoryRecord]) -> None:
    """Replace the content of a dump by other memories, atomically. Raises `DumpUnavailable`."""
    unfinished = path.with_name(f"{path.name}.part")
    try:
        _write(records, path, unfinished)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise DumpUnavailable(path, "written", f"{error.strerror or error}; check its folder and its disk") from error


def read_dump(path: Path, max_key_bytes: int, max_value_bytes: int) -> Iterator[MemoryRecord]:
    """Yield the memories in a file. Raises `InvalidDump` for a line that is not a memory, and `DumpUnavailable`."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise DumpUnavailable(path, "read", error.strerror or error) from error
    with file:
        version = _version(file.readline())
        for number, line in enumerate(file, start=2):
            if line.strip():
                record = _record(number, line, version)
                try:
                    _check(record, max_key_bytes, max_value_bytes)
                except CoterieError as error:
                    raise InvalidDump(number, error) from None
                yield record


def _records(archive: Archive) -> Iterator[MemoryRecord]:
    after = ""
    while page := archive.scan(after, _PAGE):
        yield from page
        after = page[-1].key


def _line(record: MemoryRecord) -> bytes:
    fields = {name: each for name, each in asdict(record).items() if name not in ("value", "version")}
    if record.fact is None:
        # Earlier versions can read a line without this field.
        del fields["fact"]
    try:
        plain = msgspec.msgpack.decode(record.value)
        if msgspec.msgpack.encode(msgspec.json.decode(msgspec.json.encode(plain))) == record.value:
            return _NAMES.encode({**fields, "value": plain})
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        # JSON cannot represent it.
        pass
    return _NAMES.encode({**fields, "packed": record.value})


def _version(line: bytes) -> int:
    try:
        head = msgspec.json.decode(line)
    except msgspec.MsgspecError as error:
        raise InvalidDump(1, f"it is not JSON ({error})") from None
    if not isinstance(head, dict) or head.get("what") != _WHAT or type(head.get("version")) is not int:
        raise InvalidDump(1, f'it does not say "what": "{_WHAT}" and a version')
    version: int = head["version"]
    if not 1 <= version <= VERSION:
        raise InvalidDump(1, f"it is of version {version}, and only 1 to {VERSION} are known: use a newer coterie")
    return version


def _record(number: int, line: bytes, version: int) -> MemoryRecord:
    try:
        fields = msgspec.json.decode(line)
        if not isinstance(fields, dict):
            _refuse(number, "it is not a JSON object")
        for old in range(version, VERSION):
            fields = _UPGRADES[old](fields)
        if ("value" in fields) == ("packed" in fields):
            _refuse(number, 'it has neither "value" nor "packed", or both')
        packed = fields.pop("packed", None)
        body = msgspec.msgpack.encode(fields.pop("value")) if packed is None else msgspec.convert(packed, bytes)
        unknown = fields.keys() - _FIELDS
        if unknown:
            _refuse(number, f"it has the unknown field {min(unknown)!r}")
        record = msgspec.convert([*_in_order(fields, body)], MemoryRecord)
        msgspec.msgpack.decode(record.value)
        return replace(record, importance=check_importance(record.importance), tier=Tier(record.tier))
    except InvalidDump:
        raise
    except (msgspec.MsgspecError, InvalidMemory, CoterieError, TypeError, ValueError) as error:
        raise InvalidDump(number, error) from None


def _check(record: MemoryRecord, max_key_bytes: int, max_value_bytes: int) -> None:
    """Raise `InvalidMemory` for a record that `store` would reject, and for an invalid internal record."""
    if record.kind == MemoryKind.INTERNAL:
        if not record.key.startswith(HOUSE_MARK):
            raise InvalidMemory("key", record.key, "keys of internal records begin with a control character")
    else:
        check_key(record.key, max_key_bytes)
        check_kind(record.kind)
    if not record.id:
        raise InvalidMemory("id", record.id, "an id is not empty")
    if record.agent:
        check_agent(record.agent)
    if len(record.value) > max_value_bytes:
        raise InvalidMemory("value", f"{len(record.value)} bytes", f"at most {max_value_bytes}")
    if len(record.vector) % 4 or bool(record.vector) != bool(record.model):
        raise InvalidMemory("vector", record.model, "a vector has 4 bytes for each number, and a model that made it")


def _in_order(fields: dict[str, Any], body: bytes) -> Iterator[Any]:
    """Yield the fields in the order of `MemoryRecord`, as its conversion needs them."""
    known = {**fields, "value": body, "version": 0}
    for name in ("id", "key"):
        if name not in known:
            raise ValueError(f"it has no {name!r}")
    defaults = asdict(MemoryRecord("", "", 0, b""))
    for name in MemoryRecord.__struct_fields__:
        given = known.get(name, defaults[name])
        yield msgspec.convert(given, bytes) if name == "vector" and isinstance(given, str) else given


def _refuse(number: int, problem: str) -> NoReturn:
    raise InvalidDump(number, problem)
