"""Errors of worlds. See `coterie.errors` for the tree."""

from __future__ import annotations

from coterie.errors.general import CoterieError


class WorldError(CoterieError):
    """An operation on a world failed. The world is unchanged."""


class InvalidValue(WorldError, ValueError):
    """A key or a value cannot be part of a world."""

    def __init__(self, key: object, problem: str) -> None:
        self.key = key
        self.problem = problem
        super().__init__(f"{key!r}: {problem}; a key is non-empty text, a value is plain data")


class InvalidIntent(WorldError, ValueError):
    """A value is not an intent, or an intent is invalid."""

    def __init__(self, what: object, remedy: str) -> None:
        super().__init__(f"{what} is not an intent that can be committed: {remedy}")


class ResolverFailed(WorldError):
    """A resolver raised, or did not decide each intent once. Nothing was committed. The cause is the resolver's error."""

    def __init__(self, resolver: object, problem: str) -> None:
        super().__init__(f"the resolver {resolver!r} {problem}; nothing was committed; return one resolution for each intent")


class RuleFailed(WorldError):
    """An invariant raised, or returned neither None nor a reason. Nothing was committed."""

    def __init__(self, rule: str, problem: str) -> None:
        super().__init__(
            f"the rule {rule} {problem}; nothing was committed; return None, or the reason for the refusal as text"
        )


class UpdateRefused(WorldError):
    """An invariant refused an update or an external event. `reason` is the text that it returned."""

    def __init__(self, what: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{what} was refused: {reason}")


class CommitInsideCommit(WorldError):
    """A resolver or an invariant changes the world that called it, which would be a deadlock."""

    def __init__(self) -> None:
        super().__init__(
            "a world cannot be changed inside its own resolver or invariant: return resolutions, or change it in an observer"
        )


class WorldClosed(WorldError):
    """A world was used after it was closed."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: this world has been closed; its views stay, and its log can be opened again")


class HistoryGone(WorldError, LookupError):
    """A requested moment is not or no longer known. `first` and `last` are the known sequence numbers."""

    def __init__(self, sequence: object, first: int, last: int) -> None:
        self.first = first
        self.last = last
        super().__init__(f"{sequence!r}: only {first} to {last} are known; give the world a log to keep its whole history")


class PatchRefused(WorldError, KeyError):
    """A difference does not apply to its target. `path` is the place."""

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        super().__init__(f"{path!r}: {problem}; apply differences to the moment at which they begin")

    def __str__(self) -> str:
        return str(self.args[0])


class LogDamaged(WorldError):
    """An event log is inconsistent. It was not changed."""

    def __init__(self, where: object, problem: str) -> None:
        super().__init__(f"{where}: the event log is damaged: {problem}; put a copy in its place, or cut it back to before")


class LogTaken(WorldError):
    """Another world has appended to the same log, so this one cannot append any more."""

    def __init__(self, where: object, sequence: int) -> None:
        super().__init__(f"{where}: event {sequence} was already written by another world; use one log for one world")


class ResourcesExhausted(WorldError):
    """A declared limit of a resource has been reached. `resource` is its name."""

    def __init__(self, resource: str, value: float, limit: float) -> None:
        self.resource = resource
        self.value = value
        self.limit = limit
        super().__init__(f"{resource} is {value:g}, and its limit is {limit:g}: try again later, or raise the limit")
