"""The decision of the intents of whole columns at once, where it is that of `FirstCome` one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from coterie.rounds.groups import ColumnIntents, ElementKeys
from coterie.world import Column, ExternalEvent, Intent, View
from coterie.world.resolvers import FirstCome, Lottery, Resolver
from coterie.world.state.column import made, numpy
from coterie.world.state.event import EventKind

_LARGE = 2**62
_SIMPLE = frozenset(("set", "add", "move"))


def expanded(intents: Iterable[Any]) -> list[Intent]:
    """Return intents in which each of a column is an intent of its agent."""
    found: list[Intent] = []
    for each in intents:
        if each.__class__ is ColumnIntents:
            found.extend(each.expanded())
        else:
            found.append(each)
    return found


def decided_columns(
    view: View, intents: Sequence[ColumnIntents], resolver: Resolver, *, others: bool
) -> list[ExternalEvent] | None:
    """Return the events of intents that are all granted, with the new columns; None if they must be decided one by one.

    They must be decided one by one if a resolver other than `FirstCome` decides (or a `Lottery` and there are `others`), if an action
    is not ``set``, ``add`` or ``move`` on columns, and if an intent may be refused: because two set one element, or an agent has less
    than it moves. Fractions are added in the order in which they would be one by one.
    """
    lottery = resolver.__class__ is Lottery
    if (resolver.__class__ is not FirstCome and not (lottery and not others)) or not isinstance(resolver, FirstCome):
        return None
    draft = _ColumnCommit(view, ordered=not lottery, several=len(intents) > 1)
    events = []
    for each in sorted(intents, key=lambda each: (each.stage, -each.priority, each.agent, each.index)):
        if each.action not in _SIMPLE or each.action in resolver.actions or not draft.apply(each):
            return None
        details = {"action": each.action, "agents": len(each.chosen)}
        events.append(ExternalEvent(EventKind.GRANTED, each.agent, details=details, round=each.round, stage=each.stage))
    if not events:
        return []
    changes = draft.changes()
    events[-1] = ExternalEvent(
        events[-1].kind, events[-1].agent, "", changes, (), events[-1].details, events[-1].round, events[-1].stage
    )
    return events


def touched_by(intents: Iterable[ColumnIntents]) -> set[str]:
    """Return the keys of the columns that intents name."""
    return {value.prefix for each in intents for value in each.arguments.values() if isinstance(value, ElementKeys)}


class _ColumnCommit:
    """Arrays of the columns that a commit changes."""

    def __init__(self, view: View, *, ordered: bool, several: bool) -> None:
        self._view = view
        self._ordered = ordered
        self._several = several
        self._columns: dict[str, Column] = {}
        self._arrays: dict[str, Any] = {}
        self._set: dict[str, Any] = {}
        self._added: dict[str, Any] = {}
        """By column: which elements were set, and which were added to."""
        self._drawn: dict[str, Any] = {}
        """By column: the elements that something was taken out of."""

    def changes(self) -> dict[str, Column]:
        """Return the changed columns."""
        return {key: made(self._columns[key].rows, array) for key, array in sorted(self._arrays.items())}

    def apply(self, intents: ColumnIntents) -> bool:
        """Apply intents of one column; return False if one of them might be refused."""
        given, chosen = intents.arguments, intents.chosen
        if not len(chosen):
            return True
        if intents.action == "set" and given.keys() == {"key", "value"}:
            return self._apply_set(self._places(given["key"], chosen), given["key"], given["value"], chosen)
        if intents.action == "add" and given.keys() == {"key", "amount"}:
            places, amounts = self._places(given["key"], chosen), _amounts(given["amount"], chosen)
            if places is None or amounts is None:
                return False
            return self._apply_add(given["key"].prefix, places, amounts)
        if intents.action == "move" and given.keys() == {"source", "target", "amount"}:
            return self._apply_move(given["source"], given["target"], _amounts(given["amount"], chosen), chosen)
        return False

    def _places(self, keys: Any, chosen: Any) -> Any:
        """Return the places that keys name; None if they are not elements of a column with these rows."""
        if not isinstance(keys, ElementKeys):
            return None
        column = self._columns.get(keys.prefix) or self._view.get(keys.prefix)
        if not isinstance(column, Column) or column.rows is not keys.rows:
            return None
        if keys.prefix not in self._arrays:
            np = numpy()
            self._columns[keys.prefix] = column
            self._arrays[keys.prefix] = column.array.copy()
            for marks in (self._set, self._added, self._drawn):
                marks[keys.prefix] = np.zeros(len(column), dtype=bool)
        return chosen if keys.places is None else keys.places[chosen]

    def _apply_set(self, places: Any, keys: Any, value: Any, chosen: Any) -> bool:
        if places is None:
            return False
        np, prefix = numpy(), keys.prefix
        array = self._arrays[prefix]
        values = value[chosen] if hasattr(value, "dtype") else np.asarray(value)
        if values.dtype.kind != array.dtype.kind and not (array.dtype.kind == "f" and values.dtype.kind == "i"):
            return False
        if bool((self._set[prefix] | self._added[prefix])[places].any()) or _repeats(np, places, len(array)):
            return False
        self._set[prefix][places] = True
        array[places] = values
        return True

    def _apply_add(self, prefix: str, places: Any, amounts: Any) -> bool:
        np, array = numpy(), self._arrays[prefix]
        if not self._fit(prefix, amounts) or bool((self._set[prefix] | self._drawn[prefix])[places].any()):
            return False
        self._added[prefix][places] = True
        np.add.at(array, places, amounts)
        return True

    def _apply_move(self, source: Any, target: Any, amounts: Any, chosen: Any) -> bool:
        np = numpy()
        start, end = self._places(source, chosen), self._places(target, chosen)
        if start is None or end is None or amounts is None:
            return False
        one, other = source.prefix, target.prefix
        array = self._arrays[one]
        if not (self._fit(one, amounts) and self._fit(other, amounts)) or bool((amounts < 0).any()):
            return False
        busy = self._set[one] | self._added[one] | self._drawn[one]
        if bool(busy[start].any()) or bool(self._set[other][end].any()) or _repeats(np, start, len(array)):
            return False
        # Each has enough of its own before it gets anything, so the order does not matter.
        if bool((self._columns[one].array[start] < amounts).any()):
            return False
        if one == other and array.dtype.kind == "f" and bool((start == end).any()):
            return False
        self._drawn[one][start] = True
        wide = np.broadcast_to(amounts, start.shape)
        if one == other and array.dtype.kind == "f":
            # Added in the order of the agents, as one by one.
            places, changes = np.empty(2 * len(start), np.int64), np.empty(2 * len(start), array.dtype)
            places[0::2], places[1::2], changes[0::2], changes[1::2] = start, end, -wide, wide
            np.add.at(array, places, changes)
        else:
            np.subtract.at(array, start, wide)
            np.add.at(self._arrays[other], end, wide)
        self._added[other][end] = True
        self._added[one][start] = True
        return True

    def _fit(self, prefix: str, amounts: Any) -> bool:
        """Return whether amounts can be added to a column in any number, with the same outcome as one by one."""
        np, array = numpy(), self._arrays[prefix]
        if array.dtype.kind == "f":
            # Intents of several kinds would interleave agent by agent.
            return amounts.dtype.kind in "if" and self._ordered and not self._several and bool(np.isfinite(amounts).all())
        if array.dtype.kind != "i" or amounts.dtype.kind != "i" or not array.size:
            return False
        largest = float(np.abs(amounts).sum(dtype=float)) * (array.size if amounts.ndim == 0 else 1)
        return float(np.abs(array).max()) + largest < _LARGE


def _amounts(amount: Any, chosen: Any) -> Any:
    """Return amounts as an array; None for anything else than numbers."""
    if hasattr(amount, "dtype"):
        return amount[chosen] if amount.dtype.kind in "if" else None
    return numpy().asarray(amount) if amount.__class__ in (int, float) and abs(amount) < _LARGE else None


def _repeats(np: Any, places: Any, count: int) -> bool:
    seen = np.zeros(count, dtype=bool)
    seen[places] = True
    return int(seen.sum()) < len(places)


def disjoint(view: View, others: Sequence[Intent], resolver: Resolver, random: Any, touched: set[str]) -> bool:
    """Return whether a resolver decides other intents without a change of the columns `touched`. It is pure, so it may be asked."""
    keys: set[str] = set()
    for decision in resolver(view, others, random):
        keys |= decision.effects.touched()
    return not any(key in touched or key.rpartition("/")[0] in touched for key in keys)


def events_of(
    view: View, batch: Sequence[Any], resolver: Resolver, random: Any
) -> tuple[list[Intent], list[ExternalEvent]] | None:
    """Return the intents that remain to be decided one by one, and the events of the others; None if all must be."""
    columns = [each for each in batch if each.__class__ is ColumnIntents]
    others = [each for each in batch if each.__class__ is not ColumnIntents]
    try:
        if others and not disjoint(view, others, resolver, random, touched_by(columns)):
            return None
    except Exception:  # noqa: BLE001 - the decision one by one finds it, and says so
        return None
    events = decided_columns(view, columns, resolver, others=bool(others))
    return None if events is None else (others, events)
