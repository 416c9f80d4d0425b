"""Requested changes of a world: intents, which a resolver decides, and external events."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from coterie.errors import InvalidIntent, InvalidValue
from coterie.world.state.values import FrozenMapping, as_key, bare, fits, freeze, frozen_items

_WIDE = 2**63
"""Whole numbers between minus and plus this bound can be recorded."""


class Intent(msgspec.Struct, frozen=True, gc=False):
    """A requested change. Immutable; a resolver decides whether it happens.

    All resolvers know these actions: ``set`` (`key`, `value`), ``remove`` (`key`), ``add`` (`key`, `amount`), ``take``
    (`amount` out of `key`, and `into` another), ``move`` (`amount` from `source` to `target`). A taken or moved amount
    must be available; a ``take`` may be granted in part.
    """

    agent: str
    """The name of the requesting agent."""
    action: str
    """The name of the action."""
    arguments: Mapping[str, Any] = {}
    """The arguments of the action."""
    priority: int = 0
    """Higher priorities go first within a stage."""
    round: int = 0
    stage: int = 0
    """The position of the stage in its graph."""
    index: int = 0
    """The number of the intent among those of its agent in the stage."""


def in_order(intents: Iterable[Intent]) -> list[Intent]:
    """Return intents in their canonical order: by round, stage, priority, agent, index.

    The times of creation and arrival do not matter. Intents that are equal in all five are ordered by action and
    arguments. Raises `InvalidIntent` if a value is not an intent or cannot be recorded.
    """
    if not isinstance(intents, Iterable):
        raise InvalidIntent(f"a {type(intents).__qualname__}", "give a list of intents")
    batch = [intent if _is_plain(intent) else _made_plain(intent) for intent in intents]
    places = [_place(intent) for intent in batch]
    if len(set(places)) == len(places):
        return [batch[number] for number in sorted(range(len(batch)), key=places.__getitem__)]
    return sorted(batch, key=_place_and_content)


def _is_plain(intent: Any) -> bool:
    """Return whether an intent can be recorded unchanged. A fast check of the common types."""
    if not (
        intent.__class__ is Intent
        and intent.agent.__class__ is str
        and intent.action.__class__ is str
        and intent.priority.__class__ is int
        and intent.round.__class__ is int
        and intent.stage.__class__ is int
        and intent.index.__class__ is int
        and intent.agent.isascii()
        and intent.action.isascii()
    ):
        return False
    return _are_plain(intent.arguments) and -_WIDE < intent.round < _WIDE and -_WIDE < intent.stage < _WIDE


def _are_plain(arguments: Mapping[str, Any]) -> bool:  # noqa: PLR0911 - one for each kind of value
    """Return whether arguments can be recorded as they are, and are in the order of their names."""
    if arguments.__class__ is FrozenMapping:
        return True
    if arguments.__class__ is not dict or (len(arguments) > 1 and list(arguments) != sorted(arguments)):
        return False
    for name, value in arguments.items():
        kind = value.__class__
        if not (name.__class__ is str and name.isascii()):
            return False
        if kind is str:
            if not value.isascii():
                return False
        elif kind is int:
            if not -_WIDE < value < _WIDE:
                return False
        elif kind is not float:
            return False
    return True


def _made_plain(intent: Any) -> Intent:
    """Return an intent with frozen values; raise `InvalidIntent` if it cannot be recorded."""
    if intent.__class__ is not Intent:
        raise InvalidIntent(f"a {type(intent).__qualname__}", "create it with Intent(agent, action, arguments)")
    given = (intent.priority, intent.round, intent.stage, intent.index)
    numbers = [bare(number) for number in given if not isinstance(number, bool)]
    if not all(number.__class__ is int and -_WIDE < number < _WIDE for number in numbers) or len(numbers) < len(given):
        raise InvalidIntent(repr(intent), "priority, round, stage and index are whole numbers")
    if not all(isinstance(text, str) for text in (intent.agent, intent.action)):
        raise InvalidIntent(repr(intent), "agent and action are text")
    if not isinstance(intent.arguments, Mapping):
        raise InvalidIntent(repr(intent), "arguments are a mapping of names to plain data")
    try:
        agent, action = freeze(intent.agent, "agent"), freeze(intent.action, "action")
        arguments = FrozenMapping({_name(name): fits(value, name) for name, value in intent.arguments.items()})
    except InvalidValue as error:
        raise InvalidIntent(repr(intent), str(error)) from error
    return Intent(agent, action, arguments, *numbers)


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise InvalidValue(name, "the name of an argument is not text")
    return str(freeze(name, name))


def _place(intent: Intent) -> tuple[int, int, int, str, int]:
    return (intent.round, intent.stage, -intent.priority, intent.agent, intent.index)


def _place_and_content(intent: Intent) -> tuple[tuple[int, int, int, str, int], str, str]:
    arguments = sorted((str(key), repr(value)) for key, value in intent.arguments.items())
    return (_place(intent), intent.action, repr(arguments))


class ExternalEvent(msgspec.Struct, frozen=True):
    """A change without an intent: its kind, agent, changes and details."""

    kind: str
    agent: str = ""
    reason: str = ""
    changes: Mapping[str, Any] = {}
    remove: Collection[str] = ()
    details: Mapping[str, Any] = {}
    round: int = 0
    stage: int = 0
    expires: Mapping[str, float] = {}
    """Times at which changed keys expire, in seconds of the world's time."""

    def frozen(self) -> ExternalEvent:
        """Return a copy with frozen values, as it is recorded. Raises `InvalidValue` if a value cannot be recorded."""
        if not isinstance(self.changes, Mapping):
            raise InvalidValue("changes", f"{self.changes!r} is not a mapping of keys to values")
        if isinstance(self.remove, str | bytes) or not isinstance(self.remove, Collection):
            raise InvalidValue("remove", f"{self.remove!r} is not a collection of keys")
        if not isinstance(self.details, Mapping):
            raise InvalidValue("details", f"{self.details!r} is not a mapping of names to plain data")
        changes = FrozenMapping(frozen_items(self.changes))
        return ExternalEvent(
            _text("kind", self.kind),
            _text("agent", self.agent),
            _text("reason", self.reason),
            changes,
            tuple(key for key in map(as_key, self.remove) if key not in changes),
            freeze(self.details, "details"),
            _whole("round", self.round),
            _whole("stage", self.stage),
            self._moments(changes),
        )

    def _moments(self, changes: Mapping[str, Any]) -> dict[str, float]:
        if not isinstance(self.expires, Mapping):
            raise InvalidValue("expires", f"{self.expires!r} is not a mapping of keys to seconds")
        when: Any
        for key, when in self.expires.items():
            if key not in changes:
                raise InvalidValue(key, "it has an expiry and is not set by the event")
            if isinstance(when, bool) or not isinstance(when, int | float) or not math.isfinite(when):
                raise InvalidValue(key, f"{when!r} is not a time of expiry in seconds")
        return dict(sorted(self.expires.items()))


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidValue(field, f"{value!r} is not text")
    return str(freeze(value, field))


def _whole(field: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidValue(field, f"{value!r} is not a whole number")
    return int(freeze(bare(value), field))
