"""How an agent is made, as often as it takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from coterie.errors import DefinitionError
from coterie.kernel import Checkpointable, detach
from coterie.runtime.agent import Agent
from coterie.runtime.supervision import Supervision

if TYPE_CHECKING:
    from coterie.messaging import Message
    from coterie.runtime.context import Context
    from coterie.runtime.dispatchers import Dispatcher
    from coterie.runtime.handlers import Handler


class Recipe:
    """An agent class, its arguments, and how it is to be run. Immutable after construction.

    The arguments are copied when the recipe is made and again for every agent made from it, so that a rebuilt agent
    starts as the first did, and shares no data with whoever spawned it. What cannot be copied, such as a lock or a
    queue, and functions, are passed as they are (see `coterie.kernel.detach`).
    """

    __slots__ = ("_args", "_kwargs", "dispatcher", "handlers", "keeps_state", "kind", "supervision")

    def __init__(
        self,
        kind: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        dispatcher: Dispatcher,
        supervision: Supervision | None,
    ) -> None:
        shown = f"{kind.__module__}.{kind.__qualname__}" if inspect.isclass(kind) else repr(kind)
        if not inspect.isclass(kind) or not issubclass(kind, Agent):
            raise DefinitionError(shown, "it is not an agent class", "spawn a subclass of Agent, with its arguments after it")
        if inspect.isabstract(kind):
            raise DefinitionError(shown, "it has abstract methods", "define them in a subclass and spawn that")
        self.kind: type[Agent] = kind
        self.dispatcher = dispatcher
        self.supervision = supervision
        """The agent's own policy, if it was given one."""
        self.handlers: Mapping[type[Message], Handler] = kind.__coterie_table__()
        self.keeps_state = issubclass(kind, Checkpointable)
        self._args = tuple(map(detach, args))
        self._kwargs = {name: detach(value) for name, value in kwargs.items()}

    def allocate(self, context: Context) -> Agent:
        """Return a new agent that has its context, and is not constructed yet."""
        agent = self.kind.__new__(self.kind)
        agent.__dict__["_coterie_context"] = context
        return agent

    def construct(self, agent: Agent) -> None:
        """Call the constructor. Raises what it raises."""
        args = map(detach, self._args)
        kwargs = {name: detach(value) for name, value in self._kwargs.items()}
        agent.__init__(*args, **kwargs)  # type: ignore[misc] # apart from __new__, so that it already has its context
