"""A class of durable agents: its stored name, and how its states and events are written and read."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from coterie.durable import Identity, StoredEvent, StoredState
from coterie.errors import CodecError, DefinitionError, InvalidKey, StateRefused, StateUnreadable, describe
from coterie.kernel import Codec
from coterie.kernel.losses import is_loose, is_same
from coterie.messaging import Message
from coterie.messaging.message import reply_type
from coterie.runtime.definition.agent import Agent
from coterie.runtime.definition.handlers import forms_of

_KEY_BYTES = 1_024
_SHOWN = 60
_SIMPLE = frozenset({bool, float, bytes})
_MANY = 10
"""Times the events between two snapshots: an activation that folds more, for want of a snapshot, is warned of."""


class EntityKind:
    """A class of durable agents. Immutable, but for single assignments: a cache, and that a warning was given.

    The class keeps its state by `snapshot` and `restore`, or by events that `apply` folds, or both: then snapshots are
    stored now and then. If `restore` and `apply` declare the type of their parameter, values are read back as that
    type; without, they must be plain data.
    """

    def __init__(self, agent: Any, codec: Codec, largest: int) -> None:
        """Check a class. `largest` is the number of bytes that a state or an event may have. Raises `DefinitionError`."""
        where = f"{getattr(agent, '__module__', '')}.{getattr(agent, '__qualname__', repr(agent))}".lstrip(".")
        if not inspect.isclass(agent) or not issubclass(agent, Agent):
            raise DefinitionError(where, "it is not an agent class", "name a subclass of Agent")
        self.agent: type[Agent] = agent
        self.name: str = agent.stored_name or agent.__qualname__
        self.version: int = agent.state_version
        self.keeps_snapshot = hasattr(agent, "snapshot")
        self.is_event_sourced = hasattr(agent, "apply")
        self.message_types = {message.__qualname__: message for message in agent.__coterie_table__()}
        """The classes of messages that it handles, by name."""
        self.forms = forms_of(agent.__coterie_table__())
        """The types of the generic messages that its handlers name, with their arguments."""
        self._codec = codec
        self._largest = largest
        self._warned = False
        self._loose: dict[Any, bool] = {}
        """Whether a type of states or events leaves the types of parts open, so that they may be read back otherwise."""
        if not self.keeps_snapshot and not self.is_event_sourced:
            raise DefinitionError(
                where, "a durable agent must keep its state", "define `snapshot` and `restore`, or `apply` for its events"
            )
        try:
            inspect.signature(agent).bind()
        except TypeError as error:
            remedy = "give its parameters defaults; the key is in `self.context.key`, services in `self.context.use`"
            raise DefinitionError(where, f"a durable agent is built without arguments: {error}", remedy) from None
        for handler in agent.__coterie_table__().values():
            if handler.interleave:
                raise DefinitionError(
                    where, f"{handler.function.__name__} interleaves", "a durable agent handles one message at a time"
                )
        self._state_type = _parameter_type(agent, "restore", where) if self.keeps_snapshot else Any
        event_type = _parameter_type(agent, "apply", where) if self.is_event_sourced else Any
        self._event_types: Mapping[str, type] | None = _by_name(event_type)

    def encode_state(self, identity: Identity, agent: Any) -> bytes:
        """Return the snapshot of an agent as bytes. Raises `StateRefused`, and the errors of `snapshot`."""
        state = agent.snapshot()
        return self._faithful(identity, "its state", state, self._state_type)

    def read(self, identity: Identity, stored: StoredState, agent: Any) -> None:
        """Restore an agent that was just constructed. Raises `StateUnreadable`, and the errors of `restore` and `apply`."""
        if stored.state is not None and self.keeps_snapshot:
            agent.restore(self._state(identity, stored.state, stored.state_version, agent))
        for event in stored.later:
            agent.apply(self.decode_event(identity, event))

    def is_slow_to_fold(self, events: int, snapshot_every: int) -> bool:
        """Return whether an activation folded very many events for want of a snapshot. True once for a class, to warn of it."""
        slow = not self.keeps_snapshot and events >= _MANY * snapshot_every and not self._warned
        self._warned = self._warned or slow
        return slow

    def encode_event(self, identity: Identity, event: Any) -> tuple[str, bytes]:
        """Return the name and the bytes of an event. Raises `StateRefused`."""
        what = f"the event {type(event).__qualname__}"
        if self._event_types is None:
            return "", self._faithful(identity, what, event, Any)
        name = type(event).__qualname__
        if self._event_types.get(name) is not type(event):
            known = ", ".join(sorted(self._event_types)) or "none"
            raise StateRefused(self.name, identity.key, what, f"`apply` does not declare it, only {known}")
        return name, self._faithful(identity, what, event, type(event))

    def encode_answer(
        self, identity: Identity, value: Any, request: type[Message], *, sent: bool, recorded: bool
    ) -> tuple[Any, bytes]:
        """Return an answer, and its form in bytes. Raises `StateRefused` if it has none.

        An answer that is `sent` must be decoded as the type that the request declares, and so must one that is `recorded`:
        the asker gets what a repeated ask will read.
        """
        codec = self._codec
        try:
            if not sent and not recorded:
                # The answer stays in this process: these need no look.
                return value, b"" if value is None or value.__class__ in _SIMPLE else codec.encode(value)
            if not recorded and isinstance(value, Message):
                return value, codec.pack(value).body
            kind = reply_type(self.forms.get(request, request))
            body = codec.encode_as(value, kind)
            same = codec.decode(body, kind)
        except CodecError as error:
            what = f"the answer to {request.__qualname__}"
            raise StateRefused(self.name, identity.key, what, error, "stored" if recorded else "sent") from error
        return same if recorded else value, body

    def decode_event(self, identity: Identity, event: StoredEvent) -> Any:
        """Return a recorded event. Raises `StateUnreadable`."""
        kind: Any = Any
        if self._event_types is not None and event.name:
            kind = self._event_types.get(event.name)
            if kind is None:
                known = ", ".join(sorted(self._event_types)) or "none"
                problem = f"`apply` of the class knows no {event.name}, only {known}"
                raise StateUnreadable(self.name, identity.key, f"its event {event.number}", problem)
        try:
            return self._codec.decode(event.body, kind)
        except CodecError as error:
            raise StateUnreadable(self.name, identity.key, f"its event {event.number}", error) from error

    def _state(self, identity: Identity, body: bytes, version: int, agent: Any) -> Any:
        what = f"its state of version {version}"
        if version > self.version:
            problem = f"the class has version {self.version}; use the later program that wrote it"
            raise StateUnreadable(self.name, identity.key, what, problem)
        try:
            if version == self.version:
                return self._codec.decode(body, self._state_type)
            state = self._codec.decode(body, Any)
        except CodecError as error:
            raise StateUnreadable(self.name, identity.key, what, error) from error
        upgrade: Callable[[int, Any], Any] | None = getattr(agent, "upgrade", None)
        if upgrade is None:
            raise StateUnreadable(self.name, identity.key, what, f"the class has version {self.version} and no `upgrade`")
        try:
            upgraded = upgrade(version, state)
            return self._codec.decode(self._codec.encode(upgraded), self._state_type)
        except Exception as error:
            raise StateUnreadable(self.name, identity.key, what, f"its upgrade failed: {describe(error)}") from error

    def _faithful(self, identity: Identity, what: str, value: Any, kind: Any) -> bytes:
        try:
            body = self._codec.encode(value)
            if len(body) > self._largest:
                problem = (
                    f"it has {len(body):,} bytes, and at most {self._largest:,} are stored with each change; keep large data in "
                    "files or in a memory and store what finds it, or set DurablePolicy(largest_state=...)"
                )
                raise StateRefused(self.name, identity.key, what, problem)
            same = self._codec.decode(body, kind)
        except CodecError as error:
            raise StateRefused(self.name, identity.key, what, error) from error
        loose = self._loose.get(kind)
        if loose is None:
            loose = self._loose[kind] = is_loose(kind)
        if loose and not is_same(value, same):
            problem = (
                f"it would be read back as {_short(same)}, not {_short(value)}; keep plain data (dicts with text keys, lists, "
                "text, numbers), or declare the types: of the parameter of `restore` or `apply`, and of the event's fields"
            )
            raise StateRefused(self.name, identity.key, what, problem)
        return body


def check_key(kind: str, key: object) -> str:
    """Return a key. Raises `InvalidKey`."""
    if not isinstance(key, str):
        raise InvalidKey(kind, key, f"it is {type(key).__qualname__}, not text")
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise InvalidKey(kind, key, f"it has no form in UTF-8: {error.reason}") from None
    if not 0 < size <= _KEY_BYTES:
        raise InvalidKey(kind, key, "it is empty" if not size else f"it has {size:,} bytes")
    if "\0" in key:
        raise InvalidKey(kind, key, "it contains the character NUL")
    return key


def _parameter_type(agent: type, method: str, where: str) -> Any:
    function = getattr(agent, method)
    parameters = list(inspect.signature(function).parameters)
    if len(parameters) < 2:  # noqa: PLR2004 - self and the value
        raise DefinitionError(where, f"`{method}` takes no value", f"declare it as `def {method}(self, value)`")
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise DefinitionError(
            where, f"the type of `{method}` is unknown: {error}", "define it before the agent is used"
        ) from error
    kind = hints.get(parameters[1], Any)
    return Any if kind is object or isinstance(kind, typing.TypeVar) else kind


def _by_name(kind: Any) -> Mapping[str, type] | None:
    """Return the classes of a union by name, or None for plain data."""
    members = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
    classes = [each for each in members if inspect.isclass(each) and (issubclass(each, msgspec.Struct) or _is_dataclass(each))]
    return {each.__qualname__: each for each in classes} if len(classes) == len(members) else None


def _is_dataclass(kind: type) -> bool:
    return hasattr(kind, "__dataclass_fields__")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
