"""What somebody wants to happen to a world."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from coterie.errors import InvalidIntent, InvalidValue
from coterie.world.state.values import FrozenMapping, bare, fits, freeze

_WIDE = 2**63
"""Whole numbers within this, on both sides of 0, can be recorded."""


class Intent(msgspec.Struct, frozen=True, gc=False):
    """What somebody wants to happen. Immutable; whether it happens is a resolver's to decide.

    The actions that all resolvers know: ``set`` (`key`, `value`), ``remove`` (`key`), ``add`` (`key`, `amount`),
    ``take`` (`amount` out of `key`, and `into` another), ``move`` (`amount` from `source` to `target`). What is taken
    or moved must be there; a ``take`` may be cut.
    """

    agent: str
    """Who wants it."""
    action: str
    """What is to be done."""
    arguments: Mapping[str, Any] = {}
    """With what."""
    priority: int = 0
    """The higher goes first, among those of one stage."""
    round: int = 0
    stage: int = 0
    """The place of the stage in its graph."""
    index: int = 0
    """Which of its agent's intents it is, in its stage."""


def in_order(intents: Iterable[Intent]) -> list[Intent]:
    """Return intents in the one order in which they count: by round, stage, priority, agent, index.

    When they were made and when they arrived says nothing; of what is equal in all five, so is the outcome, for they
    are then ordered by action and arguments. Raises `InvalidIntent` for what is none.
    """
    if not isinstance(intents, Iterable):
        raise InvalidIntent(f"a {type(intents).__qualname__}", "give several, in a list")
    batch = [intent if _is_plain(intent) else _made_plain(intent) for intent in intents]
    places = [_place(intent) for intent in batch]
    if len(set(places)) == len(places):
        return [batch[number] for number in sorted(range(len(batch)), key=places.__getitem__)]
    return sorted(batch, key=_place_and_content)


def _is_plain(intent: Any) -> bool:
    """Return whether an intent can be recorded as it is. What most are made of is found out at once."""
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
    """Return an intent with its values frozen, or raise `InvalidIntent` for what cannot be recorded."""
    if intent.__class__ is not Intent:
        raise InvalidIntent(f"a {type(intent).__qualname__}", "make it with Intent(agent, action, arguments)")
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
        raise InvalidValue(name, "it names an argument, and is no text")
    return str(freeze(name, name))


def _place(intent: Intent) -> tuple[int, int, int, str, int]:
    return (intent.round, intent.stage, -intent.priority, intent.agent, intent.index)


def _place_and_content(intent: Intent) -> tuple[tuple[int, int, int, str, int], str, str]:
    arguments = sorted((str(key), repr(value)) for key, value in intent.arguments.items())
    return (_place(intent), intent.action, repr(arguments))
