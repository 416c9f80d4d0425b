"""The drafting of a commit: a resolver decides on intents until no invariant objects. It is pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from random import Random
from typing import TypeAlias

import msgspec

from coterie.errors import ResolverFailed, describe
from coterie.errors.world import RuleFailed
from coterie.world.committing import Invariant, PendingCommit, TooLarge, objection, peek
from coterie.world.intent import Intent
from coterie.world.resolvers import Effects, IntentOutcome, Resolution, Resolver, refused
from coterie.world.state.values import freeze
from coterie.world.state.view import View

_PATIENCE = 8
"""The number of decisions after which intents are also tried alone, so that many objections do not take as many decisions."""
_MOST_LEFT_OUT = 64
"""The maximum number of intents that are left out one by one to find the one with which a resolver fails."""


class CommitFailure(msgspec.Struct, frozen=True):
    """A resolver or an invariant that fails with some of its intents."""

    error: Exception
    asked: tuple[Intent, ...]
    """All intents of the decision."""
    blamed: tuple[Intent, ...]
    """The intents without which it does not fail, or all if it fails with each of them."""
    undecided: bool
    """Whether the resolver returned something else than a decision on each intent, without raising."""


OnFailure: TypeAlias = Callable[[CommitFailure], object]
"""Called when a resolver or an invariant fails with some intents, which are then refused. It may raise: nothing is committed."""


class Draft:
    """The commit of intents, which are in order. Intents to which an invariant objects are refused with its reason.

    The invariants see the intents one by one, in the order of the resolutions. The resolver then decides again without
    the refused intents, until no invariant objects. After several decisions, intents to which an invariant objects when
    they are decided alone are refused too.
    """

    def __init__(
        self,
        view: View,
        intents: Sequence[Intent],
        resolver: Resolver,
        random: Callable[[], Random],
        rules: Mapping[int, Invariant],
        time: float,
        on_failure: OnFailure | None,
    ) -> None:
        self._view = view
        self._intents = intents
        self._resolver = resolver
        self._random = random
        self._rules = rules
        self._time = time
        self._on_failure = on_failure
        self._objections: dict[int, str] = {}
        """The reasons for refusals, by the identity of the intent."""

    def make(self) -> PendingCommit:
        """Return the commit. Raises `ResolverFailed`, `RuleFailed`, `InvalidValue`, and the errors of `on_failure`."""
        for attempt in count(1):
            remaining = [intent for intent in self._intents if id(intent) not in self._objections]
            decisions: Sequence[Resolution] | None = None
            try:
                decisions = decide(self._resolver, self._view, remaining, self._random())
                made, found = self._applied(decisions)
            except Exception as error:
                if self._on_failure is None:
                    raise
                found = self._blamed(remaining, error, undecided=decisions is None and error.__cause__ is None)
            else:
                found = found or self._objected(decisions, made)
                if not found:
                    return made
            self._objections |= found
            if attempt >= _PATIENCE and attempt & (attempt - 1) == 0:
                self._objections |= self._alone([each for each in remaining if id(each) not in found])
        raise AssertionError("unreachable")

    def _applied(self, decisions: Sequence[Resolution]) -> tuple[PendingCommit, dict[int, str]]:
        """Return the commit of decisions, and the reasons to refuse those that cannot be stored."""
        made = PendingCommit(self._view, self._time)
        for intent in self._intents:
            if id(intent) in self._objections:
                made.decided(refused(intent, self._objections[id(intent)]), self._resolver)
        found = {}
        for decision in decisions:
            try:
                made.decided(decision, self._resolver)
            except TooLarge as error:
                found[id(decision.intent)] = str(error)
        return made, found

    def _objected(self, decisions: Sequence[Resolution], made: PendingCommit) -> dict[int, str]:
        """Return the objections of the invariants to decisions."""
        failed: list[tuple[Intent, RuleFailed]] = []
        if not self._rules or self._objection(peek(self._view, made.events)) is None:
            return {}
        found: dict[int, str] = {}
        current = self._view
        effective = [decision for decision in decisions if decision.outcome is not IntentOutcome.REFUSED]
        for decision in effective:
            trial = PendingCommit(current, self._time)
            try:
                trial.decided(decision, self._resolver)
                after = trial.fold.view()
                reason = objection(self._rules, self._view, after)
            except TooLarge as error:
                reason = str(error)
            except RuleFailed as error:
                if self._on_failure is None:
                    raise
                reason = str(error)
                failed.append((decision.intent, error))
            if reason is None:
                current = after
            else:
                found[id(decision.intent)] = reason
        if not found and effective:
            # Only the combination breaks an invariant: refuse the last intent that changes something.
            found[id(effective[-1].intent)] = self._objection(peek(self._view, made.events)) or ""
        if failed and self._on_failure is not None:
            asked = tuple(decision.intent for decision in effective)
            self._on_failure(CommitFailure(failed[0][1], asked, tuple(intent for intent, _ in failed), undecided=False))
        return found

    def _objection(self, after: View) -> str | None:
        try:
            return objection(self._rules, self._view, after)
        except RuleFailed as error:
            if self._on_failure is None:
                raise
            # An invariant that fails without any change fails by itself, and not with an intent.
            objection(self._rules, self._view, self._view)
            return str(error)

    def _alone(self, intents: Sequence[Intent]) -> dict[int, str]:
        """Return the objections to intents that are decided alone."""
        found = {}
        for intent in intents:
            try:
                (decision,) = decide(self._resolver, self._view, [intent], self._random())
                if decision.outcome is not IntentOutcome.REFUSED:
                    trial = PendingCommit(self._view, self._time)
                    trial.decided(decision, self._resolver)
                    reason = objection(self._rules, self._view, trial.fold.view())
                    if reason is not None:
                        found[id(intent)] = reason
            except Exception:  # noqa: BLE001, S112 - the decision on all of them finds it, and says so
                continue
        return found

    def _blamed(self, asked: Sequence[Intent], error: Exception, *, undecided: bool) -> dict[int, str]:
        """Return the intents with which the resolver fails, and the reasons. Raises `error` if it fails without any."""
        found = {id(each): why for each in asked if (why := self._failure([each])) is not None}
        if not found and len(asked) > 1:
            found = self._first_too_many(asked)
        elif len(found) == len(asked):
            if self._failure([]) is not None:
                raise error
            if 1 < len(asked) <= _MOST_LEFT_OUT:
                # It may need several, and fail with one of them only.
                for place, each in enumerate(asked):
                    if self._failure([*asked[:place], *asked[place + 1 :]]) is None:
                        found = {id(each): found[id(each)]}
                        break
        if not found or self._on_failure is None:
            raise error
        blamed = tuple(each for each in asked if id(each) in found)
        self._on_failure(CommitFailure(error, tuple(asked), blamed, undecided))
        return found

    def _first_too_many(self, asked: Sequence[Intent]) -> dict[int, str]:
        """Return the last intent of a shortest beginning with which the resolver fails, by halving."""
        well, badly = 0, len(asked)
        why = self._failure(asked)
        while badly - well > 1 and why is not None:
            middle = (well + badly) // 2
            reason = self._failure(asked[:middle])
            well, badly, why = (middle, badly, why) if reason is None else (well, middle, reason)
        return {} if why is None else {id(asked[badly - 1]): why}

    def _failure(self, intents: Sequence[Intent]) -> str | None:
        """Return the reason why the resolver fails with some intents, or None."""
        try:
            made = PendingCommit(self._view, self._time)
            for decision in decide(self._resolver, self._view, intents, self._random()):
                made.decided(decision, self._resolver)
        except TooLarge:
            return None
        except Exception as error:  # noqa: BLE001 - it becomes the reason of a refusal
            return f"it could not be decided: {describe(error.__cause__ or error)}"
        return None


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
