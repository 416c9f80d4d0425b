"""What somebody wants to happen to a world."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from coterie.errors import InvalidIntent


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
    batch = list(intents)
    for intent in batch:
        if intent.__class__ is not Intent:
            raise InvalidIntent(f"a {type(intent).__qualname__}", "make it with Intent(agent, action, arguments)")
    try:
        places = [_place(intent) for intent in batch]
        if len(set(places)) == len(places):
            return [batch[number] for number in sorted(range(len(batch)), key=places.__getitem__)]
        return sorted(batch, key=_place_and_content)
    except TypeError as error:
        raise InvalidIntent("one of the intents", f"agents are text, numbers are whole ({error})") from error


def _place(intent: Intent) -> tuple[int, int, int, str, int]:
    return (intent.round, intent.stage, -intent.priority, intent.agent, intent.index)


def _place_and_content(intent: Intent) -> tuple[tuple[int, int, int, str, int], str, str]:
    arguments = sorted((str(key), repr(value)) for key, value in intent.arguments.items())
    return (_place(intent), intent.action, repr(arguments))
