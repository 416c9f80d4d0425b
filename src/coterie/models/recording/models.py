"""A model that records another one, and a model that answers from a recording."""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from coterie.errors import GatewayClosed, ModelError, RecordingMissing
from coterie.errors.models import RecordingDamaged
from coterie.models.contract import Model, reading
from coterie.models.recording.file import RecordingEntry, RecordingFile, RecordingKey, RequestCounter, prompt_of, read
from coterie.models.values import ModelReply, ModelRequest, TextDelta

_PIECE = 24
"""Characters of a piece when a reply is streamed from a recording."""
_NOT_RECORDED = (GatewayClosed, RecordingDamaged, RecordingMissing)
"""Errors that say nothing about the model."""


class _Live:
    """Asks a model, and records the reply or the error. A cancelled request leaves no entry."""

    def __init__(self, model: Model, file: RecordingFile | None) -> None:
        self.model = model
        self._file = file

    async def ask(self, key: RecordingKey, request: ModelRequest) -> ModelReply:
        try:
            reply = await self.model.ask(request)
        except ModelError as error:
            self._fail(key, request, error)
            raise
        self._keep(key, request, reply)
        return reply

    async def stream(self, key: RecordingKey, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        try:
            async with reading(self.model.stream(request)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, ModelReply):
                        self._keep(key, request, piece)
                    yield piece
        except ModelError as error:
            self._fail(key, request, error)
            raise

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _keep(self, key: RecordingKey, request: ModelRequest, reply: ModelReply) -> None:
        if self._file is not None:
            self._file.append(key, request, reply)

    def _fail(self, key: RecordingKey, request: ModelRequest, error: ModelError) -> None:
        if self._file is not None and not isinstance(error, _NOT_RECORDED):
            self._file.append(key, request, error)


class RecordingModel:
    """A model whose requests and replies are appended to a file, errors included. Safe from any thread and event loop.

    ::

        model = RecordingModel(gateway, "run.jsonl")
        ...
        model = ReplayModel("run.jsonl")

    An entry is found by its agent, its step, the digest of the prompt as the model sees it, and a count of the same
    agent's identical requests; never by order or time. Raises `RecordingDamaged`.
    """

    def __init__(self, model: Model, path: str | Path) -> None:
        self._live = _Live(model, RecordingFile(Path(path)))
        self._numbering = RequestCounter()

    @property
    def name(self) -> str:
        """The name of the model that is recorded."""
        return self._live.model.name

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return the reply of the model, and record the reply or the error. Raises `ModelError`."""
        return await self._live.ask(self._numbering.key(request), request)

    def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Yield the pieces of the model's reply, and record the whole reply at its end. Raises `ModelError`."""
        return self._live.stream(self._numbering.key(request), request)

    def snapshot(self) -> Any:
        """Return the count of each request, so that a resumed run continues it."""
        return self._numbering.snapshot()

    def restore(self, state: Any) -> None:
        """Continue from a state of `snapshot`. Raises `ValueError` for any other value."""
        self._numbering.restore(state)

    def close(self) -> None:
        """Close the file. Later replies cannot be recorded, and raise `RecordingDamaged`."""
        self._live.close()


class ReplayModel:
    """Answers from a recording, without network or cost. Safe from any thread and event loop.

    A recorded error is raised again. A request without an entry raises `RecordingMissing`, which shows the nearest entry and
    the difference. With a model `otherwise`, requests without a recorded reply go to that model and are appended to `record`.
    Raises `RecordingDamaged`.
    """

    def __init__(self, path: str | Path, *, otherwise: Model | None = None, record: str | Path | None = None) -> None:
        self._path = Path(path)
        self._entries = read(self._path)
        # The entries live as long as this object, so no other reply has one of these ids.
        self._replies = frozenset(id(entry.reply) for entry in self._entries.values() if entry.reply is not None)
        self._numbering = RequestCounter()
        self._live = (
            _Live(otherwise, RecordingFile(Path(record)) if record is not None else None) if otherwise is not None else None
        )

    @property
    def name(self) -> str:
        """The name of the model `otherwise`, or of the recording."""
        return self._live.model.name if self._live is not None else f"the recording {self._path.name}"

    def holds(self, reply: ModelReply) -> bool:
        """Return whether a reply object comes from the recording; an equal one does not count."""
        return id(reply) in self._replies

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return the recorded reply. Raises the recorded error, or `RecordingMissing`."""
        key = self._numbering.key(request)
        entry = self._entries.get(key)
        if self._live is not None and (entry is None or entry.reply is None):
            return await self._live.ask(key, request)
        return self._reply(key, request, entry)

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Return the recorded reply in pieces, and whole at the end."""
        key = self._numbering.key(request)
        entry = self._entries.get(key)
        if self._live is not None and (entry is None or entry.reply is None):
            async with reading(self._live.stream(key, request)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        reply = self._reply(key, request, entry)
        for start in range(0, len(reply.text), _PIECE):
            yield TextDelta(reply.text[start : start + _PIECE])
        yield reply

    def snapshot(self) -> Any:
        """Return the count of each request, so that a resumed run continues it."""
        return self._numbering.snapshot()

    def restore(self, state: Any) -> None:
        """Continue from a state of `snapshot`. Raises `ValueError` for any other value."""
        self._numbering.restore(state)

    def close(self) -> None:
        """Close the file of `record`, if it is open."""
        if self._live is not None:
            self._live.close()

    def _reply(self, key: RecordingKey, request: ModelRequest, entry: RecordingEntry | None) -> ModelReply:
        if entry is None:
            near = nearest(self._entries.values(), key, prompt_of(request))
            raise RecordingMissing(self._path, key.agent, key.step, key.number, near)
        if entry.reply is None:
            raise entry.failure.error() if entry.failure is not None else RecordingDamaged(self._path, "an entry is empty")
        return entry.reply


_LOOKED_AT = 200
"""Entries, or lines, to compare at most, so that a search among thousands is fast."""
_COMPARED = 2000
"""Characters of each end of a prompt that are compared."""
_LINES = 12
_WIDTH = 160


def nearest(entries: Iterable[RecordingEntry], key: RecordingKey, prompt: dict[str, Any]) -> str:
    """Return a text that names the entry nearest to a missing one, with a short diff of the prompts."""
    candidates = sorted(entries, key=lambda entry: (entry.agent != key.agent, entry.step != key.step))
    if not candidates:
        return "the recording is empty"
    same = next((entry for entry in candidates if entry.digest == key.digest), None)
    if same is not None:
        return f"the same prompt was recorded for agent {same.agent!r}, step {same.step!r}{_repeats(candidates, same, key)}"
    best = candidates[0]
    close = [entry for entry in candidates if (entry.agent, entry.step) == (best.agent, best.step)]
    wanted = _lines(prompt)
    text = "\n".join(wanted)
    found = max(close[:_LOOKED_AT], key=lambda entry: _alike(text, "\n".join(_lines(entry.prompt))))
    diff = list(itertools.islice(_diff(_lines(found.prompt), wanted), _LINES + 1))
    more = ["  …"] if len(diff) > _LINES else []
    shown = "\n".join(["", *(f"  {line}" for line in diff[:_LINES]), *more])
    return f"the nearest was recorded for agent {found.agent!r}, step {found.step!r}; from there (-) to here (+):{shown}\n"


def _repeats(entries: list[RecordingEntry], same: RecordingEntry, key: RecordingKey) -> str:
    if (same.agent, same.step) != (key.agent, key.step):
        return ""
    count = sum((each.agent, each.step, each.digest) == (key.agent, key.step, key.digest) for each in entries)
    return f", but asked only {count} times"


def _alike(one: str, other: str) -> float:
    first, second = (f"{text[:_COMPARED]}{text[-_COMPARED:]}" for text in (one, other))
    return difflib.SequenceMatcher(None, first, second).quick_ratio()


def _diff(before: list[str], after: list[str]) -> Iterator[str]:
    """Yield the different lines, old beside new; of a long line only the part around the difference."""
    same = _common_prefix(before, after)
    before, after = before[same : same + _LOOKED_AT], after[same : same + _LOOKED_AT]
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        if kind != "equal":
            for old, new in itertools.zip_longest(before[start:end], after[other_start:other_end]):
                same = _common_prefix(old or "", new or "")
                if old is not None:
                    yield f"- {_around(old, same)}"
                if new is not None:
                    yield f"+ {_around(new, same)}"


def _common_prefix(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the number of lines, or characters, before the first difference."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _around(line: str, same: int) -> str:
    """Return a line; of a long one only the part around its first difference."""
    if len(line) <= _WIDTH:
        return line
    start = max(0, min(same, len(line)) - _WIDTH // 3)
    end = start + _WIDTH
    return f"{'…' if start else ''}{line[start:end]}{'…' if end < len(line) else ''}"


def _lines(prompt: dict[str, Any]) -> list[str]:
    """Return a prompt as lines of JSON, with the lines of its texts apart."""
    text = json.dumps(prompt, indent=1, sort_keys=True, ensure_ascii=False)
    return text.replace("\\n", "\n").splitlines()
