"""Seeing that an episode goes round in circles."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from coterie.personas.mind.state import PersonaAction

_SHORT = 40
"""Characters under which two texts must be equal to be the same: few letters make a difference there."""


class RepeatDetector:
    """Compares each step of an episode with those before it.

    Two steps are the same if they have the same actions with the same targets and arguments, and their texts are equal
    but for capitals, spaces and punctuation, or, where they are longer, alike to the degree `similarity` (the ratio of
    `difflib.SequenceMatcher` over words: Ratcliff and Obershelp's "Gestalt" matching). A circle of several steps shows as each of them coming again.
    """

    def __init__(self, most: int, similarity: float) -> None:
        self._most = most
        self._similarity = similarity
        self._seen: list[list[tuple[str, list[str]]]] = []

    def note(self, actions: Sequence[PersonaAction]) -> bool:
        """Note a step; return whether it has come more often than it may be repeated."""
        step = [_normal(each) for each in actions]
        before = sum(self._same(step, other) for other in self._seen)
        self._seen.append(step)
        return bool(step) and before > self._most

    def _same(self, one: list[tuple[str, list[str]]], other: list[tuple[str, list[str]]]) -> bool:
        return len(one) == len(other) and all(map(self._alike, one, other))

    def _alike(self, one: tuple[str, list[str]], other: tuple[str, list[str]]) -> bool:
        if one[0] != other[0]:
            return False
        if one[1] == other[1]:
            return True
        if min(sum(map(len, one[1])), sum(map(len, other[1]))) < _SHORT:
            return False
        matcher = difflib.SequenceMatcher(None, one[1], other[1], autojunk=False)
        return matcher.real_quick_ratio() >= self._similarity and matcher.ratio() >= self._similarity


def _normal(action: PersonaAction) -> tuple[str, list[str]]:
    """Return what must be equal of an action, and its words."""
    return f"{action.kind}|{action.target.casefold()}|{sorted(action.arguments.items(), key=repr)}", re.findall(
        r"\w+", action.content.casefold()
    )
