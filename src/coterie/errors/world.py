"""What can go wrong with a world. The tree is drawn in `coterie.errors`."""

from __future__ import annotations

from coterie.errors.root import CoterieError


class WorldError(CoterieError):
    """Something is wrong about a world, or with what was to be done to it. The world is as it was before."""


class InvalidValue(WorldError, ValueError):
    """A key or a value cannot be part of a world."""

    def __init__(self, key: object, problem: str) -> None:
        self.key = key
        super().__init__(f"{key!r}: {problem}; a key is text that is not empty, a value plain data")


class InvalidIntent(WorldError, ValueError):
    """What was to be committed is no intent, or one that makes no sense."""

    def __init__(self, what: object, remedy: str) -> None:
        super().__init__(f"{what} is no intent that can be committed: {remedy}")


class ResolverFailed(WorldError):
    """A resolver raised, or did not decide on each intent once. Nothing was committed. What it raised is the cause."""

    def __init__(self, resolver: object, problem: str) -> None:
        super().__init__(
            f"the resolver {resolver!r} {problem}; nothing was committed; return one decision for each intent that it was given"
        )


class RuleFailed(WorldError):
    """A validation rule raised, or returned something that is neither None nor a reason. Nothing was committed."""

    def __init__(self, rule: str, problem: str) -> None:
        super().__init__(f"the rule {rule} {problem}; nothing was committed; return None, or the reason for a refusal as text")


class UpdateRefused(WorldError):
    """A validation rule refused an update that is nobody's intent. `reason` is what the rule said."""

    def __init__(self, what: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{what} was refused: {reason}")


class CommitInsideCommit(WorldError):
    """A resolver or a rule changes the world that it judges, which would wait for itself."""

    def __init__(self) -> None:
        super().__init__(
            "a world cannot be changed from within its own resolver or rule: return decisions, or change it in an observer"
        )


class WorldClosed(WorldError):
    """A world was used after it was closed."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: this world has been closed; its views stay, and its log can be opened again")


class HistoryGone(WorldError, LookupError):
    """A moment was asked for that is not, or no longer, known. `first` and `last` are the known sequence numbers."""

    def __init__(self, sequence: object, first: int, last: int) -> None:
        self.first = first
        self.last = last
        super().__init__(
            f"{sequence!r}: only {first} to {last} can be told; give the world a log to keep the whole of its history"
        )


class PatchRefused(WorldError, KeyError):
    """A difference does not fit what it is applied to. `path` is where."""

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        super().__init__(f"{path!r}: {problem}; apply differences to the moment that they begin with")

    def __str__(self) -> str:
        return str(self.args[0])


class LogDamaged(WorldError):
    """An event log does not hold together. Nothing was changed in it."""

    def __init__(self, where: object, problem: str) -> None:
        super().__init__(f"{where}: the event log is damaged: {problem}; put a copy in its place, or cut it back to before")


class LogTaken(WorldError):
    """Another world has appended to the same log meanwhile, so this one can no more."""

    def __init__(self, where: object, sequence: int) -> None:
        super().__init__(f"{where}: event {sequence} is there already, from another world; one world has one log")


class ResourcesExhausted(WorldError):
    """A limit that was declared for a resource has been reached. `resource` names it."""

    def __init__(self, resource: str, value: float, limit: float) -> None:
        self.resource = resource
        self.value = value
        self.limit = limit
        super().__init__(f"{resource} is {value:g}, and its limit is {limit:g}: try again later, or raise the limit")
