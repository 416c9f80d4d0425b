"""Files of exports: JSON, JSON lines, these compressed, archives of them, and Markdown with a header for each memory."""

from __future__ import annotations

import gzip
import json
import re
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

from coterie.errors.memory import DumpUnavailable, InvalidExport

_MOST = 1 << 30
"""The maximum of unpacked bytes."""
_IN_ARCHIVES = ("memories.jsonl.gz", "memories.json")
"""The names of the memories in an archive, the better one first."""
_SURROGATE = re.compile(r"(?P<pair>\\u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w)|\\u[dD][89a-fA-F]\w\w")
_FENCE = re.compile(r"^---[ \t]*$", re.MULTILINE)
_HEADER = re.compile(r"^(\w+)[ \t]*:[ \t]*(.*?)[ \t]*$", re.MULTILINE)


def load_export(file: Path) -> Any:
    """Return the data of a file. Raises `InvalidExport` and `DumpUnavailable`."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise DumpUnavailable(file, "read", error.strerror or error) from error
    try:
        text = _unpacked(raw).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidExport(file, f"it is not text in UTF-8 ({error.reason})", "export anew") from None
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, LookupError) as error:
        raise InvalidExport(file, f"it cannot be unpacked: {error}", "export anew, or unpack it yourself") from None
    if text.startswith("---") and (rows := _marked(text)):
        return rows
    # JSON can escape what no text can contain.
    text = _SURROGATE.sub(lambda found: found[0] if found["pair"] else "\\ufffd", text)
    try:
        return _decoded(text)
    except RecursionError:
        raise InvalidExport(file, "it is nested too deeply", "export anew") from None
    except ValueError as whole:
        try:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            raise InvalidExport(file, f"it is neither JSON nor JSON lines ({whole})", "export anew") from None


def _decoded(text: str) -> Any:
    data = json.loads(text)
    # Some agent files are JSON that was encoded as a JSON text once more.
    return json.loads(data) if isinstance(data, str) and data.lstrip().startswith(("{", "[")) else data


def _unpacked(raw: bytes) -> bytes:
    if raw.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(BytesIO(raw)) as archive:
            members = {Path(each.filename).name: each for each in archive.infolist()}
            chosen = next((members[name] for name in _IN_ARCHIVES if name in members), None)
            if chosen is None:
                raise LookupError(f"the archive has no {' or '.join(_IN_ARCHIVES)}")
            with archive.open(chosen) as member:
                raw = _within(member.read(_MOST + 1))
    if raw.startswith(b"\x1f\x8b"):
        with gzip.GzipFile(fileobj=BytesIO(raw)) as member:
            raw = _within(member.read(_MOST + 1))
    return raw


def _within(data: bytes) -> bytes:
    if len(data) > _MOST:
        raise LookupError(f"it has more than {_MOST:,} bytes")
    return data


def _marked(text: str) -> list[dict[str, Any]]:
    """Return the memories of a Markdown file, each of which has a header of names and values between lines of dashes."""
    parts = _FENCE.split(text.replace("\r\n", "\n"))[1:]
    rows = []
    for header, body in zip(parts[::2], parts[1::2], strict=False):
        fields: dict[str, Any] = {name: value for name, value in _HEADER.findall(header) if value}
        metadata: dict[str, Any] = {name: fields.pop(name) for name in ("type", "confidence", "branch") if name in fields}
        for name, place in (("files", metadata), ("categories", fields)):
            if name in fields:
                place[name] = [each.strip() for each in fields.pop(name).split(",") if each.strip()]
        if body.strip():
            rows.append({**fields, "metadata": metadata, "memory": body.strip()})
    return rows
