"""What users subclass."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, ClassVar

from coterie.errors import DefinitionError, NotInAgent
from coterie.messaging import Message
from coterie.runtime.handlers import Handler, UnresolvedType, handlers_of
from coterie.runtime.supervision import Supervision

if TYPE_CHECKING:
    from coterie.runtime.context import Context


class Agent:
    """The base of all agents: state, and handlers for messages, all on a thread of its own.

    ::

        class Counter(Agent):
            def __init__(self, start: int = 0) -> None:
                self.count = start

            @on
            def add(self, message: Add) -> int:
                self.count += message.amount
                return self.count

    The constructor, the hooks and the handlers run on the agent's thread, one at a time: no lock is needed for what
    only the agent touches. A handler may be ``def`` or ``async def``, and so may the hooks `on_start`, `on_stop` and
    `on_failure`. A synchronous handler runs outside of the agent's event loop, and may block: that holds up nobody but
    the agent itself.

    A handler that raises fails its agent, which is then rebuilt from its spawn arguments (see `Supervision`) and keeps
    its address and its mailbox. To keep state too, define both::

        def snapshot(self) -> object: ...
        def restore(self, state) -> None: ...

    `snapshot` is called after every handled message and returns plain data, which is copied; a rebuilt agent gets the
    latest by `restore`, after its constructor and before `on_start`.
    """

    supervision: ClassVar[Supervision | None] = None
    """How the agent's children are supervised, unless they are spawned with a policy of their own."""

    __coterie_handlers__: ClassVar[Mapping[type[Message], Handler] | None] = {}

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        where = f"{cls.__module__}.{cls.__qualname__}"
        if hasattr(cls, "snapshot") is not hasattr(cls, "restore"):
            raise DefinitionError(where, "it has only one of snapshot and restore", "define both or neither")
        if cls.supervision is not None and not isinstance(cls.supervision, Supervision):
            raise DefinitionError(where, f"supervision = {cls.supervision!r}", "set it to a Supervision")
        try:
            cls.__coterie_handlers__ = handlers_of(cls)
        except UnresolvedType:
            # A message class may be defined further down. Who spawns the agent tries again.
            cls.__coterie_handlers__ = None

    @classmethod
    def __coterie_table__(cls) -> Mapping[type[Message], Handler]:
        """Return the handlers of the class by message type. Raises `DefinitionError`."""
        if cls.__coterie_handlers__ is None:
            cls.__coterie_handlers__ = handlers_of(cls)
        return cls.__coterie_handlers__

    @property
    def context(self) -> Context:
        """The agent's way to the world: its reference, its sender, its children, timers, topics and tasks.

        Raises `NotInAgent` on an instance that nobody spawned.
        """
        try:
            context: Context = self.__dict__["_coterie_context"]
        except KeyError:
            raise NotInAgent(f"the context of {type(self).__qualname__}") from None
        return context

    def on_start(self) -> Awaitable[None] | None:
        """Do something before the first message of this life. If it raises, the agent has failed."""
        return None

    def on_stop(self) -> Awaitable[None] | None:
        """Do something after the last message of this life, be it because the agent stops or because it failed."""
        return None

    def on_failure(self, error: BaseException) -> Awaitable[None] | None:  # noqa: ARG002 - for overriding
        """Do something with the error that ended this life, before `on_stop`. What is raised here is only logged."""
        return None
