"""Classes and arguments of agents that are spawned on another node: names and bytes, never pickled."""

from __future__ import annotations

import inspect
import typing
import weakref
from typing import Any

import msgspec

from coterie.cluster.loading import load
from coterie.cluster.wire import encode
from coterie.errors import DefinitionError, InvalidSetting, describe
from coterie.kernel import Codec
from coterie.kernel.codec import Packed
from coterie.messaging import MailboxPolicy, Message
from coterie.runtime import Agent, Backoff, Dedicated, Dispatcher, Leased, Supervision
from coterie.runtime.definition.spec import check_options

PLAIN = Codec()
"""For plain data."""
_DISPATCHERS: dict[str, type[Leased | Dedicated]] = {kind.__name__: kind for kind in (Leased, Dedicated)}


class _Arguments(msgspec.Struct, frozen=True):
    positional: list[Packed]
    named: dict[str, Packed]


def class_name(kind: Any) -> str:
    """Return the name, `module:Class`, by which other nodes find a class. Raises `DefinitionError` for one that they cannot."""
    if not (isinstance(kind, type) and issubclass(kind, Agent)):
        raise DefinitionError(repr(kind), "it is not an agent class", "name a subclass of Agent")
    name = f"{kind.__module__}:{kind.__qualname__}"
    if kind.__module__ == "__main__":
        raise DefinitionError(name, "other nodes cannot import the program itself", "define it in a module of its own")
    if "<" in kind.__qualname__:
        raise DefinitionError(name, "it is defined inside a function", "define it at the top of its module")
    return name


def find_class(name: str, node: str) -> type[Agent]:
    """Return the class of a name; import its module. Raises `DefinitionError`, which names the class and the node."""
    try:
        found = load(name)
    except Exception as error:
        problem = f"node {node} cannot load it: {describe(error)}"
        raise DefinitionError(name, problem, "install the module there, or give Cluster.connect a runtime_env") from error
    if not (isinstance(found, type) and issubclass(found, Agent)):
        raise DefinitionError(name, f"on node {node} it is not an agent class", "install the same version of the module there")
    return found


def pack(codec: Codec, kind: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Return the arguments of a constructor as bytes. Raises `EncodeFailed`."""
    hints = _hints_of(kind)
    positional = [_packed(codec, value, hints.at(place)) for place, value in enumerate(args)]
    return encode(_Arguments(positional, {name: _packed(codec, value, hints.of(name)) for name, value in kwargs.items()}))


def pack_options(
    supervision: Supervision | None, mailbox: MailboxPolicy | None, dispatcher: Dispatcher | None = None
) -> dict[str, Any]:
    """Return the policies of an agent as plain data. Raises `InvalidSetting`, also for a dispatcher of the program's own."""
    check_options("spawn", dispatcher, supervision, mailbox)
    given = {"supervision": supervision, "mailbox": mailbox}
    packed = {key: msgspec.to_builtins(policy) for key, policy in given.items() if policy is not None}
    if dispatcher is not None:
        name = type(dispatcher).__name__
        if _DISPATCHERS.get(name) is not type(dispatcher):
            raise InvalidSetting("spawn.dispatcher", dispatcher, "Leased() or Dedicated(); other nodes have no others")
        packed["dispatcher"] = {name: msgspec.to_builtins(dispatcher)}
    return packed


def unpack_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the policies of an agent from plain data. Raises `InvalidSetting`."""
    found: dict[str, Any] = {}
    if "supervision" in options:
        given = options["supervision"]
        found["supervision"] = Supervision(**{**given, "backoff": Backoff(**given["backoff"])})
    if "mailbox" in options:
        found["mailbox"] = MailboxPolicy(**options["mailbox"])
    for name, settings in options.get("dispatcher", {}).items():
        if name not in _DISPATCHERS:
            raise InvalidSetting(
                "spawn.dispatcher", name, f"{' or '.join(_DISPATCHERS)} on this node; install the same version of coterie there"
            )
        found["dispatcher"] = _DISPATCHERS[name](**settings)
    return found


def unpack(codec: Codec, kind: type, data: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a constructor. Raises `DecodeFailed`."""
    hints = _hints_of(kind)
    arguments = msgspec.msgpack.decode(data, type=_Arguments)
    positional = tuple(_unpacked(codec, packed, hints.at(place)) for place, packed in enumerate(arguments.positional))
    return positional, {name: _unpacked(codec, packed, hints.of(name)) for name, packed in arguments.named.items()}


_HINTS: weakref.WeakKeyDictionary[type, _Hints] = weakref.WeakKeyDictionary()
"""The types of constructors that were asked for before. Two threads store equal entries."""


def _hints_of(kind: type) -> _Hints:
    found = _HINTS.get(kind)
    if found is None:
        found = _HINTS[kind] = _Hints(kind)
    return found


class _Hints:
    """The types of the parameters of a constructor, as far as it declares them."""

    def __init__(self, kind: Any) -> None:
        try:
            self._hints = typing.get_type_hints(kind.__init__)
        except Exception:  # noqa: BLE001 - a type that cannot be resolved: the values must be plain data
            self._hints = {}
        parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
        self._rest = next((each.name for each in parameters if each.kind is each.VAR_POSITIONAL), "")
        self._more = next((each.name for each in parameters if each.kind is each.VAR_KEYWORD), "")
        self._names = [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
        self._known = {each.name for each in parameters}

    def at(self, place: int) -> Any:
        return self._hints.get(self._names[place] if place < len(self._names) else self._rest, Any)

    def of(self, name: str) -> Any:
        return self._hints.get(name if name in self._known else self._more, Any)


def _packed(codec: Codec, value: Any, hint: Any) -> Packed:
    return codec.pack(value) if isinstance(value, Message) else Packed("", codec.encode_as(value, hint))


def _unpacked(codec: Codec, packed: Packed, hint: Any) -> Any:
    return codec.unpack(packed, Message) if packed.kind else codec.decode(packed.body, hint)
