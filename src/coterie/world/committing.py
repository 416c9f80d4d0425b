"""The pure part of a commit: intents to events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, TypeAlias

from coterie.errors import InvalidValue, ResolverFailed, UpdateRefused, describe
from coterie.errors.world import RuleFailed
from coterie.world.intent import ExternalEvent, Intent
from coterie.world.resolvers import Effects, IntentOutcome, Resolution, Resolver, refused
from coterie.world.state.event import Event, Fold
from coterie.world.state.values import FrozenMapping, as_key, fits, freeze
from coterie.world.state.view import View

Invariant: TypeAlias = Callable[[View, View], str | None]
"""A check of changes: takes the views before and after a change; returns None, or the reason to refuse it.

It must be pure. It runs on the committing thread and must not change the world."""

_KINDS = {IntentOutcome.GRANTED: "granted", IntentOutcome.PARTIAL: "cut", IntentOutcome.REFUSED: "refused"}


_NOTHING = Effects()


class _TooLarge(Exception):
    """The sum of a key and an intent's amount cannot be stored."""


class PendingCommit:
    """The events of a commit that is being made, and their fold."""

    __slots__ = ("_time", "events", "fold")

    def __init__(self, view: View, time: float) -> None:
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
            if before.__class__ not in (int, float) or change.__class__ not in (int, float):
                raise ResolverFailed(resolver, f"adds {change!r} to {key}, which is {before!r}")
            try:
                changes[key] = after = freeze(before + change, key)
            except (InvalidValue, OverflowError) as error:
                raise _TooLarge(f"{key} would be a number that cannot be stored") from error
            fold.set(key, after)
        if len(changes) > 1:
            # In the order in which they are read from the log.
            changes = dict(sorted(changes.items()))
        for key in effects.removes:
            _check_key(key)
            changes.pop(key, None)
            fold.remove(key)
        fold.sequence = sequence = fold.sequence + 1
        # Copied, because the caller keeps the arguments of the intent and may change them.
        details: Mapping[str, Any] = {**intent.arguments}
        if decision.details:
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
                {},
                details,
                intent.round,
                intent.stage,
                self._time,
            )
        )

    def noted(self, note: ExternalEvent) -> None:
        """Apply an external event."""
        made = note.frozen()
        number = self.fold.sequence + 1
        place = (made.round, made.stage, self._time)
        told = (made.changes, tuple(made.remove), made.expires, made.details)
        self.happened(Event(number, made.kind, made.agent, "", made.reason, *told, *place))

    def happened(self, event: Event) -> None:
        """Apply an event without an intent, whose values are frozen."""
        self.fold.apply(event)
        self.fold.touched.update(event.changes)
        self.events.append(event)


def _frozen(details: Mapping[str, Any], resolver: object) -> dict[str, Any]:
    if details.__class__ is not dict and not isinstance(details, Mapping):
        raise ResolverFailed(resolver, f"gives the details {details!r}, which are not a mapping of names to plain data")
    return {name: fits(value, name) for name, value in details.items()}


def _check_key(key: object) -> None:
    if key.__class__ is not str or not key or not key.isascii():
        as_key(key)


def decide(resolver: Resolver, view: View, intents: Sequence[Intent], random: Random) -> Sequence[Resolution]:
    """Return the resolutions of a resolver, after checking that it decides each intent once. Raises `ResolverFailed`."""
    try:
        decisions = resolver(view, intents, random)
    except Exception as error:
        raise ResolverFailed(resolver, f"raised {describe(error)}") from error
    if not isinstance(decisions, list | tuple):
        raise ResolverFailed(resolver, f"returned a {type(decisions).__qualname__}")
    open_ones = {id(intent) for intent in intents}
    for decision in decisions:
        if not isinstance(decision, Resolution):
            raise ResolverFailed(resolver, f"returned a {type(decision).__qualname__} among its resolutions")
        if id(decision.intent) not in open_ones:
            raise ResolverFailed(resolver, f"decided {decision.intent} twice, or was not asked to decide it")
        open_ones.remove(id(decision.intent))
        if decision.outcome is not IntentOutcome.GRANTED or decision.reason or decision.effects.__class__ is not Effects:
            _check_decision(decision, resolver)
    if open_ones:
        raise ResolverFailed(resolver, f"left {len(open_ones)} of {len(intents)} intents undecided")
    return decisions


def _check_decision(decision: Resolution, resolver: object) -> None:
    if decision.reason.__class__ is not str:
        raise ResolverFailed(resolver, f"gives {decision.reason!r} as a reason for {decision.intent}, which is not text")
    if not decision.reason.isascii():
        freeze(decision.reason, "reason")
    if decision.effects.__class__ is not Effects or decision.outcome.__class__ is not IntentOutcome:
        raise ResolverFailed(resolver, f"returned a resolution of {decision.intent} that cannot be applied")
    if decision.outcome is not IntentOutcome.GRANTED and not decision.reason:
        raise ResolverFailed(resolver, f"gives no reason why {decision.intent} is {decision.outcome.value}")


def draft(
    view: View,
    intents: Sequence[Intent],
    resolver: Resolver,
    random: Callable[[], Random],
    rules: Mapping[int, Invariant],
    time: float,
) -> PendingCommit:
    """Return the commit of `intents`, which are in order. Intents to which an invariant objects are refused with its reason.

    The invariants see the intents one by one, in the order of the resolutions. The resolver then decides again without
    the refused intents, until no invariant objects.
    """
    objections: dict[int, str] = {}
    while True:
        remaining = [intent for intent in intents if id(intent) not in objections]
        decisions = decide(resolver, view, remaining, random())
        made = PendingCommit(view, time)
        for intent in intents:
            if id(intent) in objections:
                made.decided(refused(intent, objections[id(intent)]), resolver)
        found: dict[int, str] = {}
        for decision in decisions:
            try:
                made.decided(decision, resolver)
            except _TooLarge as error:
                found[id(decision.intent)] = str(error)
        if found:
            objections |= found
            continue
        if not rules or objection(rules, view, _peek(view, made.events)) is None:
            return made
        found = _objectors(view, decisions, rules, resolver, time)
        if not found:
            # Only the combination breaks an invariant: refuse the last intent that changes something.
            last = next((each for each in reversed(decisions) if each.outcome is not IntentOutcome.REFUSED), None)
            if last is None:
                return made
            reason = objection(rules, view, _peek(view, made.events)) or ""
            found[id(last.intent)] = reason
        objections |= found


def permit(rules: Mapping[int, Invariant], before: View, made: PendingCommit, notes: Sequence[ExternalEvent]) -> None:
    """Check external events against the invariants. Raises `UpdateRefused`, `RuleFailed`."""
    changed = sorted({key for note in notes for key in (*note.changes, *note.remove)})
    if rules and changed and (why := objection(rules, before, _peek(before, made.events))) is not None:
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


def _objectors(
    view: View, decisions: Sequence[Resolution], rules: Mapping[int, Invariant], resolver: object, time: float
) -> dict[int, str]:
    found: dict[int, str] = {}
    current = view
    for decision in decisions:
        if decision.outcome is IntentOutcome.REFUSED:
            continue
        trial = PendingCommit(current, time)
        try:
            trial.decided(decision, resolver)
        except _TooLarge as error:
            found[id(decision.intent)] = str(error)
            continue
        after = trial.fold.view()
        reason = objection(rules, view, after)
        if reason is None:
            current = after
        else:
            found[id(decision.intent)] = reason
    return found


def _peek(view: View, events: Sequence[Event]) -> View:
    trial = Fold(view)
    for event in events:
        trial.apply(event)
    return trial.view()
