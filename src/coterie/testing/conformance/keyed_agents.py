"""A runtime for the suite whose `spawn` gives durable agents: each has a key and a store."""

from __future__ import annotations

import itertools
import types
from typing import Any

from coterie import Agent, AgentRef, Runtime, on
from coterie.durable import Identity
from coterie.runtime.definition.arguments import copied_argument


class KeyedRuntime(Runtime):
    """A runtime whose `spawn` activates a durable agent of a class of its own. Classes in `ordinary` are spawned as they are."""

    ordinary: tuple[type[Agent], ...] = ()
    _numbers = itertools.count(1)

    def spawn(self, agent: type[Agent], *args: Any, name: str | None = None, **options: Any) -> AgentRef:
        """Activate a durable agent whose constructor gets the arguments, and return its reference."""
        if issubclass(agent, self.ordinary):
            return super().spawn(agent, *args, name=name, **options)
        policies = {each: options.pop(each, None) for each in ("dispatcher", "supervision", "mailbox")}
        kind = keyed(agent, f"{agent.__name__}{next(self._numbers)}", args, options)
        self.durable.register(kind, **policies)
        key = name if name is not None else "1"
        reference = self.entity(kind, key)
        endpoint = self.durable._endpoint(Identity(kind.stored_name, key))  # noqa: SLF001 - users have no need for it
        assert endpoint is not None
        endpoint.activate()
        return reference


class Stateless:
    """The methods that make a class without a state durable."""

    def snapshot(self) -> None:
        """Return nothing."""

    def restore(self, state: None) -> None:
        """Do nothing."""


def keyed(agent: type[Agent], stored_name: str, args: tuple[Any, ...], options: dict[str, Any]) -> type[Agent]:
    """Return a durable class of the same behaviour, without arguments, whose notes are its state.

    Its handlers handle one message at a time, also those that would interleave.
    """
    given = [copied_argument("", each) for each in args]
    named = {name: copied_argument("", each) for name, each in options.items()}

    def construct(self: Any) -> None:
        copies = {name: copied_argument("", each) for name, each in named.items()}
        agent.__init__(self, *(copied_argument("", each) for each in given), **copies)

    def snapshot(self: Any) -> Any:
        notes = getattr(self, "notes", None)
        return notes if isinstance(notes, list) else None

    def restore(self: Any, state: Any) -> None:
        if state is not None:
            self.notes = state

    parts: dict[str, Any] = {"__init__": construct, "stored_name": stored_name}
    if not hasattr(agent, "snapshot"):
        parts |= {"snapshot": snapshot, "restore": restore}
    for handler in agent.__coterie_table__().values():
        if handler.interleave:
            function: Any = handler.function
            alone = types.FunctionType(function.__code__, function.__globals__, function.__name__, closure=function.__closure__)
            alone.__annotations__ = function.__annotations__
            parts[function.__name__] = on(alone)
    return type(agent.__name__, (agent,), parts)
