"""The events of a commit that is being made, and the checks of changes against invariants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from coterie.errors import InvalidValue, ResolverFailed, UpdateRefused, describe
from coterie.errors.world import RuleFailed
from coterie.telemetry import spans
from coterie.world.intent import ExternalEvent
from coterie.world.resolvers import Effects, IntentOutcome, Resolution
from coterie.world.state.event import Event, EventKind, Fold
from coterie.world.state.values import FrozenMapping, as_key, fits, freeze, scalar
from coterie.world.state.view import View

Invariant: TypeAlias = Callable[[View, View], str | None]
"""A check of changes: takes the views before and after a change; returns None, or the reason to refuse it.

It must be pure. It runs on the committing thread and must not change the world."""

_KINDS = {IntentOutcome.GRANTED: "granted", IntentOutcome.PARTIAL: "cut", IntentOutcome.REFUSED: "refused"}


_NOTHING = Effects()
_NUMBERS = (int, float)


class TooLarge(Exception):
    """The sum of a key and an intent's amount cannot be stored."""


class PendingCommit:
    """The events of a commit that is being made, and their fold."""

    __slots__ = ("_time", "events", "expires", "fold")

    def __init__(self, view: View, time: float) -> None:
        self.expires: dict[str, float] = {}
        """The times at which keys expire that external events have set."""
        self.fold = Fold(view)
        self.fold.time = time
        self._time = time
        self.events: list[Event] = []

    def decided(self, decision: Resolution, resolver: object) -> None:
        """Apply a resolution and append its event."""
        intent = decision.intent
        effects = decision.effects if decision.outcome is not IntentOutcome.REFUSED else _NOTHING
        fold = self.fold
        changes: dict[str, Any] = {}
        for key, value in effects.sets.items():
            _check_key(key)
            changes[key] = frozen = freeze(value, key)
            fold.set(key, frozen)
        for key, change in effects.adds.items():
            _check_key(key)
            before = fold.get(key, 0)
            if change.__class__ not in _NUMBERS:
                change = scalar(change)  # noqa: PLW2901 - the same number
            if before.__class__ not in _NUMBERS or change.__class__ not in _NUMBERS:
                raise ResolverFailed(resolver, f"adds {change!r} to {key}, which is {before!r}")
            try:
                changes[key] = after = freeze(before + change, key)
            except (InvalidValue, OverflowError) as error:
                raise TooLarge(f"{key} would be a number that cannot be stored") from error
            fold.set(key, after)
        if len(changes) > 1:
            # In the order in which they are read from the log.
            changes = dict(sorted(changes.items()))
        for key in effects.removes:
            _check_key(key)
            changes.pop(key, None)
            fold.remove(key)
        expires = {} if effects.ttl is None else self._expire(changes, self._time + effects.ttl)
        fold.sequence = sequence = fold.sequence + 1
        details: Mapping[str, Any] = intent.arguments
        if details.__class__ is not FrozenMapping:
            # Copied, because the caller keeps the arguments of the intent and may change them.
            details = {**details}
        if decision.details and not _has_all(details, decision.details):
            details = FrozenMapping({**details, **_frozen(decision.details, resolver)})
        self.events.append(
            Event(
                sequence,
                _KINDS[decision.outcome],
                intent.agent,
                intent.action,
                decision.reason,
                changes,
                tuple(effects.removes),
                expires,
                details,
                intent.round,
                intent.stage,
                self._time,
            )
        )

    def _expire(self, keys: Iterable[str], when: float) -> dict[str, float]:
        """Let keys that were just set expire at a time, and return that time by key."""
        expires = dict.fromkeys(keys, when)
        for key in expires:
            self.fold.expire_at(key, when)
        self.expires.update(expires)
        return expires

    def noted(self, made: ExternalEvent) -> None:
        """Apply an external event whose values are frozen."""
        number = self.fold.sequence + 1
        place = (made.round, made.stage, self._time)
        told = (made.changes, tuple(made.remove), made.expires, made.details)
        self.happened(Event(number, made.kind, made.agent, "", made.reason, *told, *place))

    def happened(self, event: Event) -> None:
        """Apply an event without an intent, whose values are frozen."""
        self.fold.apply(event, frozen=True)
        self.fold.touched |= self.fold.touched_by(event)
        self.expires.update(event.expires)
        self.events.append(event)


def _has_all(arguments: Mapping[str, Any], details: Mapping[str, Any]) -> bool:
    """Return whether frozen arguments hold these details already, such as an amount that was granted in full."""
    if arguments.__class__ is not FrozenMapping or details.__class__ is not dict:
        return False
    for name, value in details.items():
        known = arguments.get(name)
        if value.__class__ not in (int, str) or known.__class__ is not value.__class__ or known != value:
            return False
    return True


def _frozen(details: Mapping[str, Any], resolver: object) -> dict[str, Any]:
    if details.__class__ is not dict and not isinstance(details, Mapping):
        raise ResolverFailed(resolver, f"gives the details {details!r}, which are not a mapping of names to plain data")
    return {name: fits(value, name) for name, value in details.items()}


def _check_key(key: object) -> None:
    if key.__class__ is not str or not key or not key.isascii():
        as_key(key)


def permit(rules: Mapping[int, Invariant], before: View, made: PendingCommit, notes: Sequence[ExternalEvent]) -> None:
    """Check external events against the invariants. Raises `UpdateRefused`, `RuleFailed`."""
    if not rules:
        return
    changed = sorted({key for note in notes for key in (*note.changes, *note.remove)})
    if changed and (why := objection(rules, before, peek(before, made.events))) is not None:
        raise UpdateRefused(f"a change of {', '.join(changed[:3])}", why)


def objection(rules: Mapping[int, Invariant], before: View, after: View) -> str | None:
    """Return the first objection of an invariant to a change, or None. Raises `RuleFailed`."""
    for rule in rules.values():
        name = getattr(rule, "__name__", repr(rule))
        try:
            reason = rule(before, after)
        except Exception as error:
            raise RuleFailed(name, f"raised {describe(error)}") from error
        if reason is None:
            continue
        if reason.__class__ is not str or not reason:
            raise RuleFailed(name, f"returned {reason!r}")
        return reason
    return None


def peek(view: View, events: Sequence[Event]) -> View:
    """Return `view` with the events of a commit that is being made."""
    trial = Fold(view)
    for event in events:
        trial.apply(event, frozen=True)
    return trial.view()


def in_span(make: Callable[[], tuple[Event, ...]], intents: int) -> tuple[Event, ...]:
    """Make a commit in a span of its own, if spans are recorded, and return its events."""
    if not spans.is_tracing():
        return make()
    with spans.span("commit", {"coterie.intents": intents}) as span:
        events = make()
        span.set({"coterie.events": len(events), "coterie.refused": sum(each.kind == EventKind.REFUSED for each in events)})
        return events
