"""The file of a recording: JSON lines, one entry each, append-only, by keys of agent, step, prompt digest and occurrence."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from coterie.concurrency import Rank, new_lock
from coterie.concurrency.file_locks import lock_file
from coterie.concurrency.forks import register_fork_handler
from coterie.errors import ModelError, ModelHalted
from coterie.errors.models import RecordingDamaged, RecordingTaken, restored
from coterie.models.redaction import Redactor
from coterie.models.values import ModelReply, ModelRequest

_ENCODER = msgspec.json.Encoder(order="deterministic")


class RecordingKey(msgspec.Struct, frozen=True):
    """The key of an entry of a recording."""

    agent: str
    step: str
    digest: str
    """The digest of the prompt."""
    number: int
    """The number of earlier requests with the same agent, step and digest."""


def prompt_of(request: ModelRequest) -> dict[str, Any]:
    """Return the part of a request that the model sees, as a plain value: without agent, step and priority."""
    seen: dict[str, Any] = msgspec.to_builtins(request)
    for name in ("agent", "step", "priority"):
        seen.pop(name)
    return seen


def digest_of(prompt: dict[str, Any]) -> str:
    """Return the digest of a prompt: 128 bits of BLAKE2b over its canonical JSON. The same in every process."""
    return hashlib.blake2b(_ENCODER.encode(prompt), digest_size=16).hexdigest()


class RequestCounter:
    """Numbers identical requests in the order in which they are asked. Safe from any thread; `_lock` guards the counts.

    Only the same agent's own repeats share a count, so that the order of agents and threads does not matter.
    """

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._counts: dict[tuple[str, str, str], int] = {}

    def key(self, request: ModelRequest) -> RecordingKey:
        """Count a request, and return its key."""
        place = (request.agent, request.step, digest_of(prompt_of(request)))
        with self._lock:
            number = self._counts.get(place, 0)
            self._counts[place] = number + 1
        return RecordingKey(*place, number)

    def snapshot(self) -> list[tuple[str, str, str, int]]:
        """Return the counts, as a plain value."""
        with self._lock:
            return [(*place, count) for place, count in self._counts.items()]

    def restore(self, state: Any) -> None:
        """Continue from a state of `snapshot`. Raises `ValueError` for any other value."""
        counts = msgspec.convert(state, list[tuple[str, str, str, int]])
        with self._lock:
            self._counts = {(agent, step, digest): count for agent, step, digest, count in counts}


_log = logging.getLogger(__name__)

SCHEMA = 1
"""The version of the format; a reader accepts its own and earlier ones."""


class RecordedFailure(msgspec.Struct, frozen=True):
    """An error that a request ended with."""

    kind: str
    text: str
    details: dict[str, Any] = {}

    @classmethod
    def of(cls, error: ModelError) -> RecordedFailure:
        """Return an error as a plain value."""
        plain = {name: value for name, value in vars(error).items() if isinstance(value, str | int | float | None)}
        return cls(type(error).__name__, str(error), plain)

    def error(self) -> ModelError:
        """Return the recorded error."""
        return restored(self.kind, self.text, self.details)


class RecordingHeader(msgspec.Struct, frozen=True):
    """The first line of a recording."""

    coterie: str = "recording"
    schema: int = SCHEMA


class RecordingEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line: a prompt with its `reply` or its `failure`."""

    agent: str
    step: str
    digest: str
    number: int
    prompt: dict[str, Any]
    reply: ModelReply | None = None
    failure: RecordedFailure | None = None

    @property
    def key(self) -> RecordingKey:
        """The key of the entry."""
        return RecordingKey(self.agent, self.step, self.digest, self.number)


_FIRST = msgspec.json.encode(RecordingHeader())
"""The first line, without its end."""
_MAX_HEADER = 1_000


class RecordingFile:
    """Appends entries to a recording. Safe from any thread: `_lock` guards the file, and each line is one write.

    Opening the file cuts off a line that a crash has torn. Keys from the environment are never written. The file is locked
    while it is open, where the system supports it (`flock`): two writers would miss each other's requests, and count repeats
    alike. A forked child does not write to it. Raises `RecordingTaken` if another writer has it, and `RecordingDamaged` if it
    is not a recording or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = new_lock(Rank.RECORDS)
        self._redactor = Redactor()
        self._file: io.FileIO | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = self._file = io.FileIO(path, "ab", opener=_opened)
            _take(file)
            whole = _whole_length(path)
            if whole < os.fstat(file.fileno()).st_size:
                file.truncate(whole)
            if whole:
                _check_header(path)
            else:
                self._write(msgspec.json.encode(RecordingHeader()))
        except BlockingIOError:
            self.close()
            raise RecordingTaken(path) from None
        except (OSError, ValueError) as error:
            self.close()
            raise RecordingDamaged(path, f"it cannot be written: {getattr(error, 'strerror', None) or error}") from None
        except RecordingDamaged:
            self.close()
            raise
        register_fork_handler(self)

    def after_fork_in_child(self) -> None:
        """Leave the file to the parent process, and replace the lock, which a lost thread may hold."""
        self._lock = new_lock(Rank.RECORDS)
        self.close()

    def append(self, key: RecordingKey, request: ModelRequest, outcome: ModelReply | ModelError) -> None:
        """Append a request and its outcome. Raises `RecordingDamaged`."""
        entry = RecordingEntry(
            agent=key.agent,
            step=key.step,
            digest=key.digest,
            number=key.number,
            prompt=prompt_of(request),
            reply=outcome if isinstance(outcome, ModelReply) else None,
            failure=RecordedFailure.of(outcome) if isinstance(outcome, ModelError) else None,
        )
        line = self._redactor.bytes(msgspec.json.encode(entry))
        with self._lock:
            try:
                self._write(line)
            except OSError as error:
                raise RecordingDamaged(self.path, f"it cannot be written: {error.strerror or error}") from None

    def close(self) -> None:
        """Close the file. Later appends raise `RecordingDamaged`."""
        with self._lock:
            file, self._file = self._file, None
            if file is not None:
                file.close()

    def _write(self, line: bytes) -> None:
        if self._file is None:
            raise RecordingDamaged(self.path, "it has been closed")
        data = memoryview(line + b"\n")
        while data:
            data = data[self._file.write(data) or 0 :]


def begun(path: Path) -> bool:
    """Return whether a file holds a recording or other data; False if a crash left less than the first line."""
    try:
        with path.open("rb") as file:
            line = file.readline(_MAX_HEADER)
    except (OSError, ValueError):
        return path.exists() if "\0" not in str(path) else True
    return not _FIRST.startswith(line)


def read(path: Path) -> dict[RecordingKey, RecordingEntry]:
    """Return the entries of a recording by their keys; of several with one key the last counts.

    A torn last line is ignored, with a warning in the log. Raises `RecordingDamaged`.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except (OSError, ValueError) as error:
        raise RecordingDamaged(path, f"it cannot be read: {getattr(error, 'strerror', None) or error}") from None
    torn = lines.pop()
    if torn:
        _log.warning("%s ends in a torn line of %d bytes, which is ignored", path, len(torn))
    if not lines:
        raise RecordingDamaged(path, "it is not a recording: its first line is missing")
    _header(path, lines[0])
    decoder = msgspec.json.Decoder(RecordingEntry)
    entries: dict[RecordingKey, RecordingEntry] = {}
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        try:
            entry = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise RecordingDamaged(path, f"line {number} is not valid: {error}") from None
        entries[entry.key] = entry
    return entries


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _take(file: io.FileIO) -> None:
    """Lock a file, where the system supports it. Raises `BlockingIOError` if another process has it."""
    if lock_file is None:
        return
    try:
        lock_file(file.fileno())
    except BlockingIOError:
        raise
    except OSError as error:
        _log.warning(
            "%s is on a file system without locks (%s): make sure that nothing else records to it", file.name, error.strerror
        )


def _whole_length(path: Path) -> int:
    """Return the length of a file without the torn line at its end; 0 without a file."""
    if not path.exists():
        return 0
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        if not whole and not _FIRST.startswith(data):
            raise RecordingDamaged(path, "it is not a recording")
        _log.warning("%s ended in a torn line of %d bytes, which is cut off", path, len(data) - whole)
    return whole


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        _header(path, file.readline())


def _header(path: Path, line: bytes) -> None:
    try:
        header = msgspec.json.decode(line, type=RecordingHeader)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise RecordingDamaged(path, "it is not a recording: its first line is wrong") from None
    if header.coterie != "recording":
        raise RecordingDamaged(path, "it is not a recording: its first line is wrong")
    if header.schema > SCHEMA:
        raise RecordingDamaged(path, f"it has version {header.schema}, and this program reads versions up to {SCHEMA}")


def recorded_spending(path: Path) -> dict[str, Any]:
    """Return the spending of a recording's requests, in total and by agent, in the form of `ModelGateway.snapshot`.

    A request counts once, with all its attempts. Raises `RecordingDamaged`.
    """
    nothing = {"requests": 0, "tokens": 0, "dollars": 0.0}
    run: dict[str, Any] = dict(nothing)
    agents: dict[str, dict[str, Any]] = {}
    for entry in read(path).values():
        if entry.failure is not None and isinstance(entry.failure.error(), ModelHalted):
            continue  # it never reached the model
        for spent in (run, agents.setdefault(entry.agent, dict(nothing))):
            spent["requests"] += 1
            if entry.reply is not None:
                usage = entry.reply.usage
                spent["tokens"] += usage.input_tokens + usage.output_tokens
                spent["dollars"] += usage.cost or 0.0
    return {"run": run, "agents": agents}


def remove_agents(path: Path, agents: Collection[str]) -> int:
    """Remove the requests of agents from a recording that no gateway has open, and return their number.

    The rest is written to a file beside it, which then replaces it. Raises `RecordingDamaged`, and `OSError`.
    """
    entries = read(path)
    kept = [each for each in entries.values() if each.agent not in agents]
    if len(kept) == len(entries):
        return 0
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(b"".join(line + b"\n" for line in (_FIRST, *map(msgspec.json.encode, kept))))
    temporary.replace(path)
    return len(entries) - len(kept)
