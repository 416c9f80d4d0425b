"""The errors of conversations and their tools. `coterie.errors` shows the tree."""

from __future__ import annotations

from coterie.errors.general import CoterieError


class ConversationError(CoterieError):
    """Base of the errors of conversations."""


class ConversationClosed(ConversationError):
    """A conversation or its host was used after it was closed."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the conversation {name} is closed: open it again, its history is stored")


class ConversationTaken(ConversationError):
    """Another process or host has opened the same conversation since and owns it now."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the conversation {name} was opened elsewhere since: writes of this one are refused; open it in one place only"
        )


class ConversationFailed(ConversationError):
    """The agent of a conversation failed too often and is not restarted."""

    def __init__(self, name: str, error: str) -> None:
        super().__init__(f"the conversation {name} has failed permanently: {error}; its state is stored, open it again")


class ConversationFull(ConversationError):
    """Too many messages of one conversation wait for an answer."""

    def __init__(self, name: str, waiting: int) -> None:
        super().__init__(f"{waiting} messages of {name} already wait for an answer: wait for one before you send more")


class ConversationDamaged(ConversationError):
    """The stored state of a conversation cannot be read."""

    def __init__(self, name: str, reason: object) -> None:
        super().__init__(f"the stored state of the conversation {name} cannot be read: {reason}; restore the database")


class InvalidText(ConversationError, ValueError):
    """A message is not a string, or cannot be stored."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"this cannot be sent: {problem}")


class InvalidNamespace(ConversationError, ValueError):
    """The given value is not the namespace of a conversation."""

    def __init__(self, namespace: object, problem: str) -> None:
        super().__init__(f"{namespace!r} is not a namespace: {problem}; give non-empty strings, such as ('customer', '42')")


class UnknownOperation(ConversationError, LookupError):
    """The conversation has no operation with that id."""

    def __init__(self, operation: object, name: str) -> None:
        super().__init__(f"{name} has no operation {operation!r}: see operations()")


class TransitionRefused(ConversationError):
    """The transition of an operation is not allowed, or the operation has changed since the writer read it."""

    def __init__(self, operation: str, before: str, after: str, reason: str = "that transition is not allowed") -> None:
        super().__init__(f"{operation} cannot go from {before} to {after}: {reason}")


class ApprovalForbidden(ConversationError, PermissionError):
    """A person may not approve, reject or change this operation."""

    def __init__(self, operation: str, person: str, reason: str) -> None:
        who = repr(person) if person else "an anonymous person"
        super().__init__(f"{who} may not decide on {operation}: {reason}")


class InvalidArguments(ConversationError, ValueError):
    """Changed arguments of an operation do not fit its tool."""

    def __init__(self, operation: str, tool: str, problem: str) -> None:
        super().__init__(f"these arguments of {operation} do not fit {tool}: {problem}; it still awaits approval as it was")


class CallRefused(ConversationError):
    """The call of a tool by a program was refused: the tool is unknown, the arguments do not fit, or a guard objects."""

    def __init__(self, tool: str, why: str) -> None:
        super().__init__(f"{tool} was not called: {why}")


class NoResult(ConversationError):
    """A turn ended without the typed result that was asked for."""

    def __init__(self, turn: int, kind: object, problem: str) -> None:
        name = getattr(kind, "__name__", str(kind))
        super().__init__(f"turn {turn} has no result of the type {name}: {problem}")


class OperationStopped(ConversationError):
    """Raised in a tool whose operation was asked to stop or abandoned. Do not catch it."""

    def __init__(self, operation: str) -> None:
        super().__init__(f"{operation} was asked to stop")


class ToolFailed(ConversationError):
    """Raise it in a tool that cannot do its work: the text is all that the model and the user are told, without the class."""


class OutcomeUnknown(ConversationError):
    """Raise it in a tool that writes if it cannot know whether the write took effect, because a connection broke, say.

    The outcome of the operation is then unknown: its `check` decides, or a person. In a tool that reads it is an error like
    any other.
    """


class ToolServerUnavailable(ConversationError):
    """A server of tools cannot be reached, or does not speak the protocol."""

    def __init__(self, name: str, problem: str, remedy: str = "see that it runs") -> None:
        super().__init__(f"the server {name} is not available: {problem}; {remedy}")
