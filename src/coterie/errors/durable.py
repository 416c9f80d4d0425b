"""Errors of durable agents. See `coterie.errors` for the tree."""

from __future__ import annotations

from coterie.errors.general import CoterieError, describe

_SHOWN = 80


class DurableError(CoterieError):
    """An operation of a durable agent failed. Its stored state is as it was before."""


class NoStore(DurableError):
    """A runtime without a store was asked for a durable agent."""

    def __init__(self, node: str) -> None:
        super().__init__(f"{node} keeps no durable agents: make it with a store, such as Runtime(store='agents.db')")


class InvalidKey(DurableError, ValueError):
    """A value cannot be the key of a durable agent."""

    def __init__(self, kind: str, key: object, problem: str) -> None:
        shown = repr(key)
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}... ({len(shown):,} characters)"
        super().__init__(f"{kind} {shown}: {problem}; a key is text of 1 to 1,024 bytes in UTF-8, without the character NUL")


class StateUnreadable(DurableError):
    """A stored state, event or message cannot be read by the class as it is now. Nothing was changed."""

    def __init__(self, kind: str, key: str, what: str, problem: object) -> None:
        self.kind = kind
        self.key = key
        super().__init__(f"{kind} {key!r}: {what} cannot be read: {problem}; repair the class, or give it an `upgrade`")


class StateRefused(DurableError):
    """A state, event or answer has no form that can be read back as it was. The change was undone."""

    def __init__(self, kind: str, key: str, what: str, problem: object, how: str = "stored") -> None:
        self.kind = kind
        self.key = key
        super().__init__(f"{kind} {key!r}: {what} cannot be {how}: {problem}; the change was undone")


class ChangeInStream(DurableError):
    """A handler of a stream has changed its durable agent, or sent stored messages. The change was undone."""

    def __init__(self, kind: str, key: str, message: str) -> None:
        super().__init__(
            f"{kind} {key!r}: its handler of the stream {message} made a change, which was undone: items leave before a change "
            "is stored, so such a handler only reads; change the agent by another message"
        )


class Superseded(DurableError):
    """Another activation has changed the state of a durable agent meanwhile. This change was not stored."""

    def __init__(self, kind: str, key: str) -> None:
        self.kind = kind
        self.key = key
        super().__init__(f"{kind} {key!r} was changed by another activation; this one reads its state anew")


class Fenced(DurableError):
    """Another node may have a durable agent by now, so a change of this one was not stored."""

    def __init__(self, kind: str, key: str, owner: str) -> None:
        self.kind = kind
        self.key = key
        super().__init__(f"{kind} {key!r} is not claimed by {owner} any more, or its lease has expired; ask again")


class ChangeLost(DurableError):
    """The change of a handler could not be stored, and was undone. `__cause__` is the error of the store."""

    def __init__(self, kind: str, key: str, message: str, error: BaseException) -> None:
        super().__init__(f"{kind} {key!r} has undone {message}, for its change could not be stored: {describe(error)}")


class KeyReused(DurableError, ValueError):
    """An idempotency key was used again for another request."""

    def __init__(self, kind: str, key: str, idempotency_key: str) -> None:
        shown = idempotency_key[:_SHOWN]
        super().__init__(
            f"{kind} {key!r}: the idempotency key {shown!r} belongs to another request; take a new key for this one"
        )


class NoDeadLetter(DurableError, LookupError):
    """No dead letter of a store has that number."""

    def __init__(self, store: str, number: int) -> None:
        super().__init__(f"{store} has no dead letter {number}; list them with: coterie dead-letters {store}")


class OutsideHandler(DurableError):
    """A call that belongs to the transaction of a message was made outside of a handler of a durable agent."""

    def __init__(self, call: str) -> None:
        super().__init__(f"{call} is only for handlers of a durable agent, while they handle a message")
