"""The participants of a simulation in their original form, so that each can be rebuilt."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import msgspec

from coterie.errors import CheckpointRefused, InvalidSetting, InvalidValue
from coterie.kernel import Checkpointable
from coterie.kernel.checkpoint import detach
from coterie.rounds.groups import AgentGroup
from coterie.rounds.remote import RemoteAgent
from coterie.runtime import Agent, AgentRef
from coterie.world.state.values import freeze

_DEEPEST = 64
_STATELESS = (str, bytes, bool, int, float, type(None))


class Participant:
    """One agent of a simulation, as it was given: a runtime agent's reference, an object, a function, or None.

    `given` is a copy, and is copied at each `make`, so that a rebuilt agent starts as the first did. `known` is the argument
    of `detach`, one for all agents of a simulation: they share immutable values.
    """

    def __init__(self, name: str, given: Any, known: dict[int, bool] | None = None) -> None:
        if inspect.isclass(given) or isinstance(given, Agent):
            need = "an object, a function, or the reference of a runtime agent that has been spawned"
            raise InvalidSetting(f"Simulation.agents[{name!r}]", given, need)
        self.name = name
        self._known = known
        self._given = given
        # Checked once: an isinstance check of a protocol costs as much as a turn.
        self.keeps_state = isinstance(self._given, Checkpointable | AgentRef)
        """Whether it has `snapshot` and `restore`, or is a runtime agent."""
        self.is_stateless = _is_stateless(self._given)
        """Whether its state cannot change."""
        self.kind: type = type(self._given)
        """Its class."""
        self.may_queue = not isinstance(self._given, AgentRef | AgentGroup) and not inspect.iscoroutinefunction(self._given)
        """Whether its turns may be done beside those of others by one thread."""
        self._remote = self._given if isinstance(self._given, RemoteAgent) else None

    def make(self) -> Any:
        """Return a new copy of the agent."""
        return detach(self._given, known=self._known)

    @property
    def reference(self) -> AgentRef | None:
        """The reference of a runtime agent, else None."""
        return self._given if isinstance(self._given, AgentRef) else None

    def leaves(self, work: Any) -> bool:
        """Return whether it does a stage on another node, by the function of the stage; None for a method."""
        remote = self._remote
        return remote is not None and (work is None or remote.does_functions)

    def check(self) -> None:
        """Raise `CheckpointRefused` if it cannot be kept in a checkpoint."""
        if not (self.keeps_state or self.is_stateless):
            raise CheckpointRefused(self.name, f"a {type(self._given).__qualname__} has no snapshot")

    def __deepcopy__(self, memo: object) -> Participant:
        return self


def state_as_bytes(name: str, state: Any) -> bytes:
    """Return a state as bytes. Raises `CheckpointRefused` if it is not plain data."""
    try:
        return msgspec.msgpack.encode(_plain(state))
    except Exception as error:
        raise CheckpointRefused(name, f"its snapshot is not plain data: {error}") from error


def state_from_bytes(data: bytes) -> Any:
    """Return the state that `state_as_bytes` was given."""
    return msgspec.msgpack.decode(data)


def _plain(value: Any, depth: int = 0) -> Any:
    """Return a state as lists and dicts. Dicts keep their order, because the agent may iterate over them; sets are sorted."""
    if depth <= _DEEPEST and isinstance(value, list | tuple):
        return [_plain(each, depth + 1) for each in value]
    if depth <= _DEEPEST and isinstance(value, Mapping):
        names = {freeze(name): name for name in value}
        if not all(isinstance(name, str) for name in names):
            raise InvalidValue("snapshot", "a key of a mapping is not text; make the keys text, or give a list of pairs")
        order = names if isinstance(value, dict) else sorted(names)
        return {name: _plain(value[names[name]], depth + 1) for name in order}
    return freeze(value, "snapshot", depth)


def _is_stateless(value: Any) -> bool:
    """Return whether a value cannot change: plain values, functions, frozen classes."""
    if isinstance(value, RemoteAgent):
        return value.stateless
    if isinstance(value, (*_STATELESS, AgentGroup)) or inspect.isroutine(value):
        return True
    if isinstance(value, tuple | frozenset):
        return all(map(_is_stateless, value))
    if isinstance(value, msgspec.Struct):
        return bool(value.__struct_config__.frozen)
    if dataclasses.is_dataclass(value):
        return bool(getattr(type(value), "__dataclass_params__").frozen)  # noqa: B009 - not in the types
    config = getattr(type(value), "model_config", None)
    return isinstance(config, dict) and config.get("frozen") is True
