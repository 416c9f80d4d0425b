"""Which recorded request is nearest to one that is missing, and what differs."""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Iterable
from typing import Any

from coterie.models.recording.file import Entry
from coterie.models.recording.key import Key

_LOOKED_AT = 200
"""Entries that are compared in full; the nearest of thousands is wanted soon, not surely."""
_LINES = 12
_WIDTH = 160


def nearest(entries: Iterable[Entry], key: Key, prompt: dict[str, Any]) -> str:
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


def _repeats(entries: list[Entry], same: Entry, key: Key) -> str:
    if (same.agent, same.step) != (key.agent, key.step):
        return ""
    count = sum((each.agent, each.step, each.digest) == (key.agent, key.step, key.digest) for each in entries)
    return f", but asked only {count} times"


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other, autojunk=True).quick_ratio()


def _diff(before: list[str], after: list[str]) -> Iterable[str]:
    for line in difflib.unified_diff(before, after, n=0, lineterm=""):
        if not line.startswith(("---", "+++", "@@")):
            yield line if len(line) <= _WIDTH else _around_change(line)


def _around_change(line: str) -> str:
    return f"{line[:_WIDTH]}…"


def _lines(prompt: dict[str, Any]) -> list[str]:
    """Return a prompt as lines of JSON, with its texts broken into theirs."""
    text = json.dumps(prompt, indent=1, sort_keys=True, ensure_ascii=False)
    return text.replace("\\n", "\n").splitlines()
