"""An agent of this runtime, as references see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from coterie.messaging import Message
from coterie.runtime.references.mailbox_room import MailboxOwner


class LifePhase(Protocol):
    """The phase of an agent's life, as references to it see it."""

    @property
    def ready(self) -> bool:
        """True while the agent takes messages, and is not being rebuilt after a failure."""
        ...


class LocalAgent(MailboxOwner, Protocol):
    """An agent of this runtime, as references to it see it."""

    @property
    def life(self) -> LifePhase:
        """The phase of its life."""
        ...

    @property
    def forms(self) -> Mapping[type[Message], Any]:
        """The types of the generic messages that its handlers name, with their arguments."""
        ...

    def handles(self, kind: type[Message]) -> bool:
        """Return whether the agent has a handler for messages of a type."""
        ...
