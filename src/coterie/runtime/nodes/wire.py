"""Frames between nodes, and the encoding of errors."""

from __future__ import annotations

import msgspec

from coterie.errors import (
    AgentStopped,
    AskCancelled,
    AskTimeout,
    DeliveryError,
    HandlerFailed,
    MailboxFull,
    RuntimeStopped,
    Unhandled,
    UnknownAgent,
    WaitCycle,
    describe,
)
from coterie.errors.general import RemoteError
from coterie.kernel import Address
from coterie.kernel.codec import Packed
from coterie.runtime.references.context_carrier import CarriedContext


class DeliverFrame(msgspec.Struct, frozen=True, tag="deliver", omit_defaults=True):
    """A message for an agent."""

    to: Address
    message: Packed
    sender: Address | None
    priority: int
    correlation: int = 0
    """The number of the ask, if an answer is expected, else 0."""
    ttl: float | None = None
    """Seconds until it expires. Clocks differ between machines, so it is not a time."""
    ahead: int = 0
    """For a stream: the number of items that may be sent before the asker has read the first of them."""
    idempotency_key: str = ""
    """For a durable agent: the key under which the answer is recorded."""
    context: CarriedContext | None = None
    """The parts of the sender's context that leave its process."""


class AnswerFrame(msgspec.Struct, frozen=True, tag="answer"):
    """The answer to an ask."""

    correlation: int
    kind: str
    """The name of the answer's class if it is a message, else empty."""
    body: bytes
    open: bool = False


class FailureFrame(msgspec.Struct, frozen=True, tag="failure"):
    """The error that ended an ask."""

    correlation: int
    kind: str
    text: str
    agent: str = ""
    message: str = ""
    reason: str = ""
    cause: str = ""
    traceback: str = ""


class ItemFrame(msgspec.Struct, frozen=True, tag="item"):
    """An item of a stream. The items have the numbers 1, 2, 3, ...: a missing one shows."""

    correlation: int
    number: int
    kind: str
    """The name of the item's class if it is a message, else empty."""
    body: bytes
    open: bool = False


class EndFrame(msgspec.Struct, frozen=True, tag="end"):
    """The end of a stream after so many items."""

    correlation: int
    items: int


class CreditFrame(msgspec.Struct, frozen=True, tag="credit"):
    """The asker has read so many items of a stream, since its beginning."""

    correlation: int
    taken: int


class ProbeFrame(msgspec.Struct, frozen=True, tag="probe"):
    """Asks for the credit of a stream, which may have been lost, or whether the asker is still there."""

    correlation: int


class WithdrawFrame(msgspec.Struct, frozen=True, tag="withdraw"):
    """The asker waits no longer."""

    correlation: int


class StopFrame(msgspec.Struct, frozen=True, tag="stop"):
    """Asks an agent to stop. The answer is sent when it has stopped."""

    to: Address
    correlation: int
    drain: bool
    kill_after: float | None = None
    """Seconds after which it is given up if it has not ended."""


class WatchFrame(msgspec.Struct, frozen=True, tag="watch"):
    """An agent of the sending node watches an agent of the receiving one, or stops watching it."""

    to: Address
    watcher: Address
    on: bool


class PublishFrame(msgspec.Struct, frozen=True, tag="publish"):
    """A message for the agents of the receiving node that have subscribed to a topic, or for all of its agents."""

    topic: str | None
    message: Packed
    sender: Address | None
    priority: int
    context: CarriedContext | None = None


_LONGEST = 100_000
"""Characters of each text of a failure that are sent."""

Outcome = AnswerFrame | FailureFrame
"""The frames that end an ask."""
Answer = Outcome | ItemFrame | EndFrame | ProbeFrame
"""The frames of the agent's node about an ask."""
Frame = DeliverFrame | Answer | CreditFrame | WithdrawFrame | StopFrame | WatchFrame | PublishFrame


def encode_error(correlation: int, error: BaseException) -> FailureFrame:
    """Encode an error as a frame."""
    if not isinstance(error, HandlerFailed):
        return FailureFrame(correlation, type(error).__name__, _sendable(str(error)))
    cause = error.__cause__
    return FailureFrame(
        correlation,
        type(error).__name__,
        _sendable(str(error)),
        agent=_sendable(str(error.agent)),
        message=_sendable(error.message),
        reason=_sendable(error.reason),
        cause=_sendable(describe(cause)) if cause is not None else "",
        traceback=_sendable(error.traceback_text),
    )


def _sendable(text: str) -> str:
    """Return a text of a bounded length, without characters that UTF-8 cannot encode, such as the undecoded bytes of a file name."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]}\n... {len(text) - _LONGEST} characters ...\n{text[-_LONGEST // 2 :]}"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def decode_error(failure: FailureFrame) -> DeliveryError:
    """Decode the error of a frame."""
    if failure.kind in ("HandlerFailed", "Unhandled"):
        kind = Unhandled if failure.kind == "Unhandled" else HandlerFailed
        error = kind.__new__(kind)
        HandlerFailed.__init__(error, failure.agent, failure.message, failure.reason, failure.traceback)
        if failure.cause:
            error.__cause__ = RemoteError(f"{failure.cause}\n\n{failure.traceback}")
        return error
    return _revive(_KINDS.get(failure.kind, RemoteFailure), failure.text)


class RemoteFailure(HandlerFailed):
    """An ask of another node ended with an error of a kind that this node does not know."""

    def __init__(self, text: str) -> None:
        DeliveryError.__init__(self, text)
        self.agent = self.message = self._traceback_text = ""
        self.reason = text


def _revive(kind: type[DeliveryError], text: str) -> DeliveryError:
    error = kind.__new__(kind)
    if kind is RemoteFailure:
        RemoteFailure.__init__(error, text)  # type: ignore[arg-type] # it is one
    else:
        DeliveryError.__init__(error, text)
    return error


_KINDS: dict[str, type[DeliveryError]] = {
    kind.__name__: kind
    for kind in (AgentStopped, AskCancelled, AskTimeout, MailboxFull, RuntimeStopped, UnknownAgent, WaitCycle)
}
