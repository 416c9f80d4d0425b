"""What can go wrong with a conversation and its tools. The tree is drawn in `coterie.errors`."""

from __future__ import annotations

from coterie.errors.root import CoterieError


class ConversationError(CoterieError):
    """Something is wrong about a conversation, or was to be done to it."""


class ConversationClosed(ConversationError):
    """A conversation, or what holds it, was used after it was closed."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the conversation {name} has been closed: open it again, its history is kept")


class ConversationTaken(ConversationError):
    """Another process, or another host, has opened the same conversation since, and writes to it now."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the conversation {name} was opened elsewhere since: what this one writes is refused; open it in one place"
        )


class ConversationFailed(ConversationError):
    """The agent of a conversation has failed too often, and was given up."""

    def __init__(self, name: str, error: str) -> None:
        super().__init__(f"the conversation {name} has failed for good: {error}; what it had is kept, open it again")


class ConversationFull(ConversationError):
    """Too many messages of one conversation wait for their answer."""

    def __init__(self, name: str, waiting: int) -> None:
        super().__init__(f"{waiting} messages of {name} wait for their answer already: wait for one before you send more")


class ConversationDamaged(ConversationError):
    """What is kept of a conversation cannot be read."""

    def __init__(self, name: str, reason: object) -> None:
        super().__init__(f"what is kept of the conversation {name} cannot be read: {reason}; restore the database")


class InvalidText(ConversationError, ValueError):
    """What was to be said is no text, or cannot be kept."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"this cannot be sent: {problem}")


class InvalidNamespace(ConversationError, ValueError):
    """What was given names no conversation."""

    def __init__(self, namespace: object, problem: str) -> None:
        super().__init__(f"{namespace!r} names no conversation: {problem}; give texts, such as ('customer', '42')")


class UnknownOperation(ConversationError, LookupError):
    """The conversation has no operation of that id."""

    def __init__(self, operation: object, name: str) -> None:
        super().__init__(f"{name} has no operation {operation!r}: look at operations()")


class TransitionRefused(ConversationError):
    """An operation cannot go from where it is to there, or has gone on since: the writer came too late."""

    def __init__(self, operation: str, before: str, after: str, reason: str = "there is no such way") -> None:
        super().__init__(f"{operation} does not go from {before} to {after}: {reason}")


class OperationStopped(ConversationError):
    """Raised within a tool whose operation was asked to stop, or given up. Let it through."""

    def __init__(self, operation: str) -> None:
        super().__init__(f"{operation} was asked to stop")
