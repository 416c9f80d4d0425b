"""The specification of an agent: its class, its arguments, and its policies."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from coterie.errors import DefinitionError, InvalidSetting
from coterie.kernel import Checkpointable, check_instance
from coterie.messaging import MailboxPolicy, Message
from coterie.runtime.definition.agent import Agent, Context
from coterie.runtime.definition.arguments import copied_argument
from coterie.runtime.definition.handlers import Handler, forms_of
from coterie.runtime.definition.supervision import Supervision
from coterie.runtime.dispatchers.base import Dispatcher
from coterie.runtime.references.invocation import CURRENT, carried

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class AgentSpec:
    """An agent class, its arguments and its policies. Immutable, but for `release_arguments` at the end of its agent.

    The arguments are copied when the specification is made and again for every agent made from it, so that a rebuilt agent
    starts as the first did, and shares no data with the caller of `spawn`. Functions, mocks, and objects that cannot be copied,
    such as a lock or a queue, are passed unchanged (see `coterie.kernel.checkpoint.detach`).
    """

    __slots__ = ("_args", "_kwargs", "dispatcher", "forms", "handlers", "keeps_state", "kind", "supervision", "variables")

    def __init__(
        self,
        kind: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        dispatcher: Dispatcher,
        supervision: Supervision | None,
    ) -> None:
        facts = kind.__dict__.get("__coterie_facts__") if isinstance(kind, type) else None
        if facts is None:
            facts = _facts_of(kind)
        self.kind: type[Agent] = kind
        self.dispatcher = dispatcher
        self.supervision = supervision
        """The agent's own policy, if it was given one."""
        self.handlers: Mapping[type[Message], Handler]
        self.forms: Mapping[type[Message], Any]
        """The types of the generic messages that its handlers name, with their arguments."""
        self.keeps_state: bool
        self.handlers, self.forms, self.keeps_state = facts
        self.variables = carried()
        """The context variables of the caller of `spawn`, in which the constructor and the hooks begin; None if it has none."""
        if self.variables is not None:
            # The handler that spawns this agent is not kept alive by it.
            self.variables.run(CURRENT.set, None)
        self._args = tuple(_copied(kind, place, value) for place, value in enumerate(args, 1)) if args else ()
        self._kwargs = {name: _copied(kind, repr(name), value) for name, value in kwargs.items()} if kwargs else _NOTHING

    def allocate(self, context: Context) -> Agent:
        """Return a new agent that has its context, and is not constructed yet."""
        agent = self.kind.__new__(self.kind)
        # So the agent gets no dictionary of its own, which an access to `__dict__` would make.
        object.__setattr__(agent, "_coterie_context", context)
        return agent

    def copy(self) -> AgentSpec:
        """Return a specification of the same agent, which keeps its arguments when this one releases them."""
        spec = AgentSpec.__new__(AgentSpec)
        for name in AgentSpec.__slots__:
            setattr(spec, name, getattr(self, name))
        return spec

    def release_arguments(self) -> None:
        """Drop the arguments: the agent is not built any more."""
        self._args = ()
        self._kwargs = _NOTHING
        self.variables = None

    def construct(self, agent: Agent) -> None:
        """Call the constructor. Passes on its exceptions."""
        args = (copied_argument("", value) for value in self._args)
        kwargs = {name: copied_argument("", value) for name, value in self._kwargs.items()}
        agent.__init__(*args, **kwargs)  # type: ignore[misc] # apart from __new__, so that it already has its context


def _facts_of(kind: Any) -> tuple[Mapping[type[Message], Handler], Mapping[type[Message], Any], bool]:
    """Return the handlers of a class, their generic messages, and whether it keeps state, and note them in the class.

    Raises `DefinitionError`.
    """
    shown = f"{kind.__module__}.{kind.__qualname__}" if inspect.isclass(kind) else repr(kind)
    if not inspect.isclass(kind) or not issubclass(kind, Agent):
        raise DefinitionError(shown, "it is not an agent class", "spawn a subclass of Agent, with its arguments after it")
    if inspect.isabstract(kind):
        raise DefinitionError(shown, "it has abstract methods", "define them in a subclass and spawn that")
    handlers = kind.__coterie_table__()
    facts = kind.__coterie_facts__ = handlers, forms_of(handlers), issubclass(kind, Checkpointable)
    return facts


def _copied(kind: type, place: object, value: Any) -> Any:
    return copied_argument(f"{kind.__module__}.{kind.__qualname__}, argument {place}", value)


def check_options(where: str, dispatcher: Any, supervision: Any, mailbox: Any) -> None:
    """Check that each is of its type, or None. Raises `InvalidSetting`, which names the wrong one."""
    if dispatcher is not None and (isinstance(dispatcher, type) or not callable(getattr(dispatcher, "open", None))):
        raise InvalidSetting(f"{where}.dispatcher", dispatcher, "an instance of a dispatcher: Leased() or Dedicated()")
    if supervision is not None:
        check_instance(f"{where}.supervision", supervision, Supervision, "a policy: Supervision(strategy=...)")
    if mailbox is not None:
        check_instance(f"{where}.mailbox", mailbox, MailboxPolicy, "a policy: MailboxPolicy(capacity=...)")
