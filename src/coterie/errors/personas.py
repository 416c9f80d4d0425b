"""Errors of personas, their minds and their answers. See `coterie.errors` for the tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from coterie.errors.general import CoterieError
from coterie.errors.rounds import SettleHalted

_MEGABYTE = 1_000_000
_MOST_NAMED = 20


class PersonaError(CoterieError):
    """An operation on a persona failed."""


class InvalidPersona(PersonaError, ValueError):
    """A description of a persona is invalid. `path` is its file, if any, and `where` the place inside it."""

    def __init__(self, path: Path | str, where: str, problem: str) -> None:
        self.path = path
        self.where = where
        self.problem = problem
        super().__init__(f"{path}: {where + ': ' if where else ''}{problem}")


class PersonaTooLarge(InvalidPersona):
    """The file of a persona is too large. It was not read."""

    def __init__(self, path: Path | str, size: int, most: int) -> None:
        self.size = size
        super().__init__(
            path, "", f"it has {_bytes(size)}, and a persona's file at most {_bytes(most)}; give max_bytes if it is meant"
        )


class InvalidPopulation(PersonaError, ValueError):
    """The specification of a population is invalid, or its quotas do not add up. `where` is the place inside it."""

    def __init__(self, where: str, problem: str) -> None:
        self.where = where
        self.problem = problem
        super().__init__(f"{where}: {problem}")


class WordingFailed(PersonaError):
    """A model did not word some personas of a population. `problems` has the reason for each, by number; the others are written."""

    def __init__(self, problems: Mapping[int, str], folder: Path | str) -> None:
        self.problems = dict(problems)
        number, reason = next(iter(self.problems.items()))
        super().__init__(
            f"{folder}: {len(self.problems)} personas are not worded, the first is number {number}: {reason}; "
            "the others are kept; begin again to ask for these alone"
        )


class FragmentConflict(PersonaError, ValueError):
    """A fragment contradicts the persona that it is merged into. `where` is the place."""

    def __init__(self, persona: str, fragment: str, where: str, ours: object, theirs: object) -> None:
        self.where = where
        super().__init__(
            f"{fragment} cannot be merged into {persona}: {where} is {_short(ours)} here and {_short(theirs)} there; "
            "take it out of one of them, or merge with on_conflict"
        )


class PersonaUnknown(PersonaError, LookupError):
    """No persona has that name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        named = ", ".join(known[:_MOST_NAMED]) or "nobody"
        more = f" and {len(known) - _MOST_NAMED} others" if len(known) > _MOST_NAMED else ""
        super().__init__(f"there is no persona {name!r} (there is: {named}{more})")


class MindFailed(PersonaError):
    """A mind raised, took too long, or returned an unusable answer, and it has no fallback."""

    def __init__(self, persona: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the mind of {persona} did not decide: {reason}; give it a fallback, or correct it")


class DocumentUnreadable(PersonaError, ValueError):
    """A document cannot be read as text, or written."""

    def __init__(self, path: Path | str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


class PropositionFailed(PersonaError, SettleHalted):
    """A proposition could not be judged. The cause is the reason."""

    def __init__(self, claim: str, problem: str) -> None:
        self.claim = claim
        super().__init__(f"the proposition {claim!r} cannot be judged: {problem}")


class InterventionFailed(PersonaError, SettleHalted):
    """The function of an intervention raised. The cause is the reason; earlier interventions are kept."""

    def __init__(self, intervention: str, target: str, problem: str) -> None:
        super().__init__(f"the intervention {intervention!r} failed for {target or 'the population'}: {problem}")


class UnusableReply(PersonaError, ValueError):
    """A reply of a model cannot be used. The text tells the model how to correct it."""


def _bytes(size: int) -> str:
    return f"{size / _MEGABYTE:.1f} MB" if size >= _MEGABYTE else f"{size} bytes"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - a line's worth
