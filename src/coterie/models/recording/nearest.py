"""Which recorded request is nearest to one that is missing, and what differs."""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from coterie.models.recording.file import RecordingEntry
from coterie.models.recording.key import RecordingKey

_LOOKED_AT = 200
"""Entries, or lines, that are compared; the nearest of thousands is wanted soon, not surely."""
_COMPARED = 2000
"""Characters of each end of a prompt by which entries are compared."""
_LINES = 12
_WIDTH = 160


def nearest(entries: Iterable[RecordingEntry], key: RecordingKey, prompt: dict[str, Any]) -> str:
    """Return in words which entry comes nearest to a missing one, with a short diff of the prompts."""
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
    """Return the lines that differ, those of a block side by side, long ones only around what differs in them."""
    same = _alike_at_the_start(before, after)
    before, after = before[same : same + _LOOKED_AT], after[same : same + _LOOKED_AT]
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        if kind != "equal":
            for old, new in itertools.zip_longest(before[start:end], after[other_start:other_end]):
                same = _alike_at_the_start(old or "", new or "")
                if old is not None:
                    yield f"- {_around(old, same)}"
                if new is not None:
                    yield f"+ {_around(new, same)}"


def _alike_at_the_start(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many lines, or characters, two texts have in common before the first that differs."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _around(line: str, same: int) -> str:
    """Return a line, or if it is long what stands around the place from which on it is not the same."""
    if len(line) <= _WIDTH:
        return line
    start = max(0, min(same, len(line)) - _WIDTH // 3)
    end = start + _WIDTH
    return f"{'…' if start else ''}{line[start:end]}{'…' if end < len(line) else ''}"


def _lines(prompt: dict[str, Any]) -> list[str]:
    """Return a prompt as lines of JSON, with its texts broken into theirs."""
    text = json.dumps(prompt, indent=1, sort_keys=True, ensure_ascii=False)
    return text.replace("\\n", "\n").splitlines()
