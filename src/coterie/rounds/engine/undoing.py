"""The effects of events, the state without some of them, and the search for those with which a function fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from coterie.world import Event, View
from coterie.world.state.event import Fold
from coterie.world.state.view import MISSING

Entry: TypeAlias = tuple[Any, float | None]
"""A value or `MISSING`, and the time at which it expires."""

_MOST_ALONE = 1_000
"""The maximum number of effects that are tried one by one."""


class EventEffect(NamedTuple):
    """An event and the entries that it changed."""

    event: Event
    before: dict[str, Entry]


def effects_of(commits: Iterable[tuple[View, Sequence[Event]]]) -> list[EventEffect]:
    """Return the effects of commits, each with the view before it."""
    found = []
    for view, events in commits:
        now: dict[str, Entry] = {}
        for event in events:
            before = {key: now.get(key) or _entry(view, key) for key in (*event.changes, *event.removed)}
            now.update((key, (value, event.expires.get(key))) for key, value in event.changes.items())
            now.update((key, (MISSING, None)) for key in event.removed)
            found.append(EventEffect(event, before))
    return found


def undone(view: View, effects: Sequence[EventEffect]) -> dict[str, Entry]:
    """Return the entries that `view` would have without some effects, which are in order.

    A key that was set again since keeps its value; a number that was changed since by an amount keeps this amount.
    """
    entries: dict[str, Entry] = {}
    for event, before in reversed(effects):
        for key, was in before.items():
            now = entries.get(key) or _entry(view, key)
            after = event.changes.get(key, MISSING)
            if now[0] is after or (type(now[0]) is type(after) and now[0] == after):
                entries[key] = was
            elif event.action != "set" and all(type(each) in (int, float) for each in (now[0], after, was[0])):
                entries[key] = (now[0] + (was[0] - after), now[1])
    return entries


def with_entries(view: View, entries: Mapping[str, Entry]) -> View:
    """Return a view with other entries."""
    if not entries:
        return view
    made = Fold(view)
    for key, (value, when) in entries.items():
        if value is MISSING:
            made.remove(key)
            continue
        made.set(key, value)
        if when is not None:
            made.expire_at(key, when)
    return made.view()


def culprits(effects: Sequence[EventEffect], fails: Callable[[Sequence[EventEffect]], bool]) -> list[EventEffect]:
    """Return a few effects without which a function does not fail; none if it fails without all of them, or not again.

    `fails` returns whether it fails without some effects. A single one is found first, the latest if there are several; then
    those with which it fails although the others are left out; then the last of each shortest beginning with which it fails.
    """
    if not effects or not fails([]) or fails(effects):
        return []
    few = len(effects) <= _MOST_ALONE
    for each in reversed(effects if few else ()):
        if not fails([each]):
            return [each]
    found = [each for each in effects if few and fails(_without(effects, [each]))]
    while fails(found):
        found.append(_last_of_shortest(effects, found, fails))
    for each in list(found):
        others = _without(found, [each])
        if not fails(others):
            found = others
    return _without(effects, _without(effects, found))


def _last_of_shortest(
    effects: Sequence[EventEffect], left_out: Sequence[EventEffect], fails: Callable[[Sequence[EventEffect]], bool]
) -> EventEffect:
    """Return the last effect of a shortest beginning with which a function fails without the effects `left_out`, by halving."""
    rest = _without(effects, left_out)
    well, badly = 0, len(rest)
    while badly - well > 1:
        middle = (well + badly) // 2
        if fails(_without(effects, rest[:middle])):
            badly = middle
        else:
            well = middle
    return rest[badly - 1]


def _without(effects: Sequence[EventEffect], some: Sequence[EventEffect]) -> list[EventEffect]:
    numbers = {each.event.sequence for each in some}
    return [each for each in effects if each.event.sequence not in numbers]


def _entry(view: View, key: str) -> Entry:
    return view.get(key, MISSING), view.deadlines_map.get(key)
