"""What can be wrong about personas, their minds and what they answered. The tree is drawn in `coterie.errors`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coterie.errors.root import CoterieError

_MEGABYTE = 1_000_000


class PersonaError(CoterieError):
    """Something is wrong about a persona."""


class InvalidPersona(PersonaError, ValueError):
    """What should describe a persona does not. `path` is the file, if it was one, and `where` the place inside it."""

    def __init__(self, path: Path | str, where: str, problem: str) -> None:
        self.path = path
        self.where = where
        self.problem = problem
        super().__init__(f"{path}: {where + ': ' if where else ''}{problem}")


class PersonaTooLarge(InvalidPersona):
    """A file is larger than a persona's may be. It was not read."""

    def __init__(self, path: Path | str, size: int, most: int) -> None:
        self.size = size
        super().__init__(
            path, "", f"it has {_bytes(size)}, and a persona's file at most {_bytes(most)}; give max_bytes if it is meant"
        )


class FragmentConflict(PersonaError, ValueError):
    """A fragment says otherwise than what it is merged into. `where` is the place."""

    def __init__(self, persona: str, fragment: str, where: str, ours: object, theirs: object) -> None:
        self.where = where
        super().__init__(
            f"{fragment} cannot be merged into {persona}: {where} is {_short(ours)} here and {_short(theirs)} there; "
            "take it out of one of them, or merge with on_conflict"
        )


class PersonaUnknown(PersonaError, LookupError):
    """Nobody of that name takes part."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no persona {name!r} (there is: {', '.join(known) or 'nobody'})")


class MindFailed(PersonaError):
    """A mind raised, or took too long, or answered nothing that makes sense, and had nothing to fall back on."""

    def __init__(self, persona: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the mind of {persona} did not decide: {reason}; give it a fallback, or mend it")


class UnusableReply(PersonaError, ValueError):
    """What a model answered cannot be made sense of. The text is written so that the model can mend it."""


class ExtractionFailed(PersonaError):
    """No answer of the type that was asked for could be made of what was said."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"no {kind} could be made of what was said: {reason}")


def _bytes(size: int) -> str:
    return f"{size / _MEGABYTE:.1f} MB" if size >= _MEGABYTE else f"{size} bytes"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - a line's worth
