"""The call of the function `settle` at the end of a round, and the intents that are refused because it fails with their values."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from coterie.errors import CoterieError, HistoryGone, StageFailed, UpdateRefused, describe
from coterie.errors.rounds import SettleHalted
from coterie.errors.world import RuleFailed
from coterie.rounds.engine.deadlines import UserCodeWatch
from coterie.rounds.engine.failures import cause_of_kind
from coterie.rounds.engine.tokens import OpenRound
from coterie.rounds.engine.undoing import Entry, EventEffect, culprits, effects_of, undone, with_entries
from coterie.rounds.gathering import Closing
from coterie.rounds.plan import OnError, Plan
from coterie.rounds.recorded import FORFEITED, JOINED, LEFT, SETTLED
from coterie.world import Event, ExternalEvent
from coterie.world.committing import PendingCommit, permit
from coterie.world.state.event import EventKind
from coterie.world.state.view import MISSING

_OWN = (FORFEITED, JOINED, LEFT)
"""The events of the engine that name an agent and hold none of its values."""
_MOST_READ = 100_000
"""The maximum number of events that are looked through for the cause of a failure."""

_log = logging.getLogger(__name__)


class RoundSettler:
    """Call the simulation's `settle` after the last commit of each round, and commit its changes.

    No value of an agent can end the run by a failure of `settle`, or of an invariant with its changes: the intents without
    which it does not fail are undone and refused. A failure without any value of an agent is a bug of `settle`. Only the
    engine's thread uses it.
    """

    def __init__(self, plan: Plan, note: Callable[[Sequence[ExternalEvent], int], tuple[Event, ...]]) -> None:
        self._plan = plan
        self._world = plan.world
        self._note = note
        self._told: set[type[BaseException]] = set()
        self.errors = 0
        """The number of refused intents, and of rounds without `settle`."""

    def settle(self, opened: OpenRound, watch: UserCodeWatch) -> str:
        """Settle a round, and return the reason to stop, or an empty text. Raises `StageFailed` and the errors of the world."""
        if self._plan.settle is None:
            return ""
        with watch.during(f"the function settle in round {opened.number}"), opened.span.within():
            try:
                closing, notes = self._call(opened, [], "")
            except Exception as error:  # noqa: BLE001 - raised again unless values of agents are to blame
                closing, notes = self._mended(opened, error)
            try:
                made = self._commit(opened, notes)
            except (UpdateRefused, RuleFailed) as error:
                closing, notes = self._mended(opened, error)
                made = self._commit(opened, notes)
        opened.events.extend(made)
        return closing.stopped

    def _commit(self, opened: OpenRound, notes: Sequence[ExternalEvent]) -> tuple[Event, ...]:
        return self._note(notes, opened.number) if notes else ()

    def _call(self, opened: OpenRound, left_out: Sequence[EventEffect], why: str) -> tuple[Closing, list[ExternalEvent]]:
        """Call `settle` on the world without some effects. Return its changes, and the events that undo these effects."""
        plan = self._plan
        assert plan.settle is not None
        view = self._world.view()
        entries = undone(view, left_out)
        gone = {effect.event.sequence for effect in left_out}
        events = [event for event in opened.events if event.sequence not in gone] if gone else opened.events
        time = opened.number * plan.round_seconds
        closing = Closing(opened.number, with_entries(view, entries), plan.seed, time, events)
        plan.settle(closing)
        notes = list(_refusals(left_out, entries, why))
        details: dict[str, Any] = {**closing.details, **({"stopped": closing.stopped} if closing.stopped else {})}
        removed = tuple(sorted(closing.removed))
        if closing.changes or removed or details:
            told = (closing.stopped, closing.changes, removed, details, opened.number, 0, closing.expires)
            notes.append(ExternalEvent(SETTLED, "", *told))
        return closing, notes

    def _mended(self, opened: OpenRound, error: Exception) -> tuple[Closing, list[ExternalEvent]]:
        """Return the changes without the intents to blame for a failure. Raise it if there are none."""
        plan = self._plan
        if cause_of_kind(error, (*plan.halt_on, SettleHalted)) is None:
            found = self._blamed(effects_of(opened.commits_made), opened) or self._blamed(self._all_effects(), opened)
            if found:
                self._tell(error, f"{len(found)} intents are refused, the first is {_name(found[0].event)}")
                self.errors += len(found)
                return self._call(opened, found, f"the function settle failed with it: {describe(error)}")
            if plan.on_error is OnError.FORFEIT:
                self._tell(error, f"round {opened.number} has no changes of its own")
                self.errors += 1
                note = ExternalEvent(SETTLED, details={"error": describe(error)}, round=opened.number)
                return Closing(opened.number, self._world.view(), plan.seed, opened.number * plan.round_seconds), [note]
        if isinstance(error, CoterieError):
            raise error
        raise StageFailed("settle", opened.number, f"it raised {describe(error)}") from error

    def _blamed(self, effects: Sequence[EventEffect], opened: OpenRound) -> list[EventEffect]:
        """Return the effects of agents without which `settle` does not fail; none if it fails without all of them."""
        candidates = [effect for effect in effects if effect.event.agent and effect.event.kind not in _OWN]
        return culprits(candidates, lambda left_out: self._fails(opened, left_out))

    def _fails(self, opened: OpenRound, left_out: Sequence[EventEffect]) -> bool:
        view = self._world.view()
        try:
            _, notes = self._call(opened, left_out, "")
            trial = PendingCommit(view, opened.number * self._plan.round_seconds)
            for note in notes:
                trial.noted(note.frozen())
            permit(self._world.rules, view, trial, notes)
        except Exception:  # noqa: BLE001 - the first failure is told
            return True
        return False

    def _all_effects(self) -> list[EventEffect]:
        """Return the effects of the earlier rounds too, as far as the history reaches."""
        world = self._world
        try:
            try:
                events = world.history(max(1, world.sequence - _MOST_READ))
            except HistoryGone as gone:
                events = world.history(gone.first)
            return effects_of([(world.at(events[0].sequence - 1), events)]) if events else []
        except HistoryGone:
            return []

    def _tell(self, error: Exception, consequence: str) -> None:
        """Log the first error of each type with its traceback."""
        if type(error) not in self._told:
            self._told.add(type(error))
            text = "the function settle failed: %s; %s; further errors of this kind are not logged"
            _log.warning(text, describe(error), consequence, exc_info=error)


def _name(event: Event) -> str:
    return f"{event.action or event.kind} of {event.agent} in round {event.round}"


def _refusals(left_out: Sequence[EventEffect], entries: dict[str, Entry], why: str) -> Iterable[ExternalEvent]:
    """Yield an event for each effect that is undone. The last event that changed a key restores it."""
    remaining = dict(entries)
    made = []
    for effect in reversed(left_out):
        event = effect.event
        mine = {key: remaining.pop(key) for key in effect.before if key in remaining}
        made.append(
            ExternalEvent(
                EventKind.REFUSED,
                event.agent,
                why,
                {key: value for key, (value, _) in mine.items() if value is not MISSING},
                [key for key, (value, _) in mine.items() if value is MISSING],
                {**event.details, "action": event.action, "undoes": event.sequence},
                event.round,
                event.stage,
                {key: when for key, (value, when) in mine.items() if value is not MISSING and when is not None},
            )
        )
    return reversed(made)
