"""The parts of a runtime, and of an agent of this runtime, that references need; and the timeout of the runtime."""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal, Protocol

from coterie.kernel import Address
from coterie.messaging import Reason
from coterie.messaging.envelope import Envelope
from coterie.runtime.references.reply import AskServices


class _Default(Enum):
    DEFAULT = "the runtime's"


DEFAULT: Final = _Default.DEFAULT
"""Stands for the ask timeout of the runtime."""

Timeout = float | None | Literal[_Default.DEFAULT]


class ReferenceServices(AskServices, Protocol):
    """The parts of a runtime that a reference needs."""

    @property
    def ask_timeout(self) -> float | None:
        """Seconds for asks that do not set a timeout; None for no limit."""
        ...

    def dead_letter(self, envelope: Envelope, recipient: Address, reason: Reason, detail: str = "") -> None:
        """Record a message that no handler gets."""
        ...
