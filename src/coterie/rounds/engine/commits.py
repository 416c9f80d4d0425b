"""The commits of a simulation to its world, and the guard of the engine's keys."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from random import Random
from typing import Any

from msgspec.structs import replace

from coterie.errors import UpdateRefused
from coterie.kernel import stream
from coterie.rounds.collecting import DataCollector
from coterie.rounds.engine.column_commits import events_of, expanded
from coterie.rounds.engine.deadlines import UserCodeWatch
from coterie.rounds.engine.failures import MechanismsFailed, ResolverFailures
from coterie.rounds.engine.lives import note_lives
from coterie.rounds.engine.settling import RoundSettler
from coterie.rounds.engine.timeline import RoundCounts
from coterie.rounds.engine.tokens import OpenRound
from coterie.rounds.groups import AgentGroup, ColumnIntents
from coterie.rounds.plan import Mode, Plan
from coterie.rounds.proposals import PREFIX, Verdict, bound
from coterie.rounds.recorded import ACCEPTED, INTERLEAVING, OUTSIDE, PROPOSED, REJECTED, ROUND, RecordedStep
from coterie.rounds.turn import Turn
from coterie.storage import Pending, Transaction
from coterie.world import Event, ExternalEvent, Intent, View
from coterie.world.resolvers import Effects, IntentOutcome, Resolution, Resolver, refused

_WHY = f"keys under {PREFIX} are changed by proposals that are accepted"


class GuardedResolver:
    """Lets `resolver` decide, and refuses intents that would change the engine's keys; it then decides again on the others."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def __repr__(self) -> str:
        return repr(self._resolver)

    def __call__(self, view: Mapping[str, Any], intents: Sequence[Intent], random: Random) -> Sequence[Resolution]:
        """Return one decision for each intent."""
        guarded: list[Resolution] = []
        remaining = intents
        while True:
            decisions = self._resolver(view, remaining, random)
            if not isinstance(decisions, list | tuple):
                return decisions
            found = [each.intent for each in decisions if _touches(each)]
            if not found:
                return [*guarded, *decisions] if guarded else decisions
            guarded.extend(refused(intent, _WHY) for intent in found)
            excluded = {id(intent) for intent in found}
            remaining = [intent for intent in remaining if id(intent) not in excluded]


def _touches(decision: Any) -> bool:
    if not isinstance(decision, Resolution) or decision.outcome is IntentOutcome.REFUSED:
        return False
    effects = decision.effects
    if effects.__class__ is not Effects:
        return False
    return any(str(key).startswith(PREFIX) for keys in (effects.sets, effects.adds, effects.removes) for key in keys)


_log = logging.getLogger(__name__)


_FLUSH_SECONDS = 1.0


class CommitMaker:
    """Make the commits of a simulation: at together-stages, and at the end of each round.

    Their random streams follow from the seed, the round and the number of the commit in it. Only the engine's thread uses it.
    """

    watch: UserCodeWatch
    """Watches the code of the user. Set by the engine."""

    def __init__(self, plan: Plan, failures: ResolverFailures) -> None:
        self._plan = plan
        self.failures = failures
        self.settler = RoundSettler(plan, self.note)
        self.collector = DataCollector(plan.collect, plan.graph, plan.agents)
        self._world = plan.world
        self._groups = any(isinstance(agent, AgentGroup) for agent in plan.agents.values())
        self.each_round = True
        """Whether the end of each round is durable, and not only that of a run, and one each second."""
        self._flushed = 0.0
        self.counts = RoundCounts()
        self.steps: list[RecordedStep] = []
        """The steps of the interleaving that the next commit records."""
        self.outside: deque[Event] = deque()
        """Recorded changes from outside that are to be made again, each before the event with the next number."""
        self.made_again: Callable[[Transaction], object] | None = None
        """Called in the transaction that makes such a change again."""
        self.last = self._world.sequence
        """The number of the last event of the simulation, or from outside that it has recorded as seen."""

    def time(self, number: int) -> float:
        """Return the world's time in a round."""
        return number * self._plan.round_seconds

    def note(self, notes: Sequence[ExternalEvent], number: int, *, durable: bool = False) -> tuple[Event, ...]:
        """Commit external events alone. Only the end of a round need be durable, because a resumed run begins at one."""
        self.repeat_outside()
        self.collector.changed(notes)
        return self._made(self._world.commit([], notes=notes, time=self.time(number), durable=durable))

    def expire(self, number: int) -> None:
        """Remove the keys that have expired by a round."""
        self.repeat_outside()
        if self._world.expire(self.time(number)):
            self.last = self._world.sequence

    def repeat_outside(self, until: int | None = None) -> None:
        """Repeat recorded changes from outside: those up to event `until`, by default those that are next in the record."""
        while self.outside and self.outside[0].sequence <= (self._world.sequence + 1 if until is None else until):
            event = self.outside.popleft()
            told = (event.changes, event.removed, event.details, event.round, event.stage, event.expires)
            note = ExternalEvent(event.kind, event.agent, event.reason, *told)
            self._world.commit([], notes=[note], time=event.time, also=self.made_again)

    def see_outside(self, number: int, until: int | None = None) -> None:
        """Record that the opening of a round sees the changes from outside since the last event of the simulation.

        In a replay `until` is the number of the event that records this, or 0 without such changes.
        """
        self.repeat_outside(until)
        if self._world.sequence != self.last:
            self.note([ExternalEvent(OUTSIDE, round=number)], number)

    def see_outside_as_step(self) -> None:
        """Record the changes from outside before the next step of the interleaving."""
        if self._world.sequence != self.last:
            self.last = self._world.sequence
            self.steps.append(RecordedStep("outside", "", self.last))

    def record(self, what: str, agent: str, number: int, stage: str = "") -> None:
        """Add a step of the interleaving to the next commit."""
        self.see_outside_as_step()
        self.steps.append(RecordedStep(what, agent, number, stage))

    def _made(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        if events:
            self.last = events[-1].sequence
        return events

    def commit(
        self, opened: OpenRound, intents: Iterable[Intent], notes: Sequence[ExternalEvent] = (), *, view: View | None = None
    ) -> None:
        """Commit intents of a round with the resolver and the mechanisms in force in `view`, by default in the current view."""
        plan = self._plan
        everything = [*notes, *self._interleaving()]
        resolver: Resolver = bound(plan.resolver, plan.mechanisms, view if view is not None else self._world.view())
        self.repeat_outside()
        opened.commits += 1
        seed = f"{plan.seed}/{opened.number}/{opened.commits}"
        before = self._world.view()
        batch, decided = self._columns(list(intents), resolver, before, seed)
        everything = [*decided, *everything]

        def commit(deciding: Resolver) -> tuple[Event, ...]:
            self.failures.mechanisms = deciding is not plan.resolver
            guarded = GuardedResolver(deciding)
            refuse, time = self.failures.refuse, self.time(opened.number)
            what = f"the resolver {deciding!r} in round {opened.number}, with the world's rules,"
            with self.watch.during(what), opened.span.within():
                return self._world.commit(
                    batch, resolver=guarded, seed=seed, notes=everything, time=time, on_failure=refuse, durable=False
                )

        try:
            made = commit(resolver)
        except MechanismsFailed as failed:
            text = "the mechanisms in force fail with all intents of round %d; it is decided without them"
            _log.warning(text, opened.number, exc_info=failed.__cause__)
            made = commit(plan.resolver)
        except UpdateRefused as error:
            if not any(note.kind == ACCEPTED for note in everything):
                raise
            # An invariant of the world has the last word, also on what a stage accepted.
            everything = [_overruled(note, error.reason) for note in everything]
            made = commit(resolver)
        if batch:
            self.failures.succeeded()
        opened.events.extend(self._made(made))
        note_lives(opened, made)
        opened.commits_made.append((before, made))

    def _columns(self, batch: list[Any], resolver: Resolver, view: View, seed: str) -> tuple[list[Intent], list[ExternalEvent]]:
        """Return the intents that are decided one by one, and the events of those of whole columns that are granted together."""
        if not (self._groups and any(each.__class__ is ColumnIntents for each in batch)):
            return batch, []
        if resolver is self._plan.resolver and not self._world.rules:
            made = events_of(view, batch, resolver, stream(seed, "commit"))
            if made is not None:
                self.failures.succeeded()
                return made
        return expanded(batch), []

    def settle(self, opened: OpenRound) -> str:
        """Call the simulation's `settle` after the last commit of a round; return its reason to stop, or an empty text."""
        return self.settler.settle(opened, self.watch)

    def take_errors(self) -> int:
        """Return the number of intents that were refused because of an exception, since the last call."""
        errors = self.failures.refused + self.settler.errors
        self.failures.refused = self.settler.errors = 0
        return errors

    def end(self, opened: OpenRound, forfeits: int) -> str:
        """Record the digest of a settled round, and return it."""
        digest = self._world.digest()
        details = {"digest": digest, "forfeits": forfeits}
        self.collector.ended(opened.events, opened.commits_made)
        now = self._world.clock.monotonic()
        durable = self.each_round or now >= self._flushed + _FLUSH_SECONDS
        if durable:
            self._flushed = now
        with opened.span.within():
            self.note([ExternalEvent(ROUND, details=details, round=opened.number)], opened.number, durable=durable)
        opened.span.set({"coterie.round": opened.number, "coterie.digest": digest, "coterie.forfeits": forfeits})
        opened.span.end()
        self.counts.settled(opened.events, forfeits, self._world.clock.monotonic())
        return digest

    def written(self) -> AbstractContextManager[None]:
        """Return the context in which rounds are done: rounds of groups alone are written behind the engine."""
        log = self._world.log
        behind = log is not None and not self.each_round and self._plan.mode is not Mode.TOKENS
        return log.behind.on() if log is not None and behind else nullcontext()

    def keep(self, stored: Pending[None]) -> None:
        """Wait for a checkpoint, or let it be written behind too, after the events before it."""
        log = self._world.log
        if log is not None and log.behind.active:
            log.behind.follow(stored)
        else:
            stored.result()

    def flush(self) -> None:
        """Let all rounds reach the disk."""
        log = self._world.log
        if log is not None and not self.each_round and log.durable:
            log.database.flush()

    def give_up(self, opened: OpenRound, reason: str) -> None:
        """Refuse all remaining intents of a round that will not be settled."""

        def refuse(view: Any, intents: Sequence[Intent], random: Any) -> list[Resolution]:  # noqa: ARG001 - as every resolver
            return [refused(intent, reason) for intent in intents]

        notes = [*opened.notes, *self._interleaving()]
        if opened.intents or notes:
            self.repeat_outside()
            self._made(
                self._world.commit(expanded(opened.intents), resolver=refuse, notes=notes, time=self.time(opened.number))
            )
        opened.intents.clear()
        opened.span.end()

    def _interleaving(self) -> list[ExternalEvent]:
        if not self.steps:
            return []
        rows = [[step.what, step.agent, step.round, step.stage, step.reason] for step in self.steps]
        self.steps.clear()
        return [ExternalEvent(INTERLEAVING, details={"steps": rows})]


def verdict_notes(verdicts: Iterable[Verdict]) -> list[ExternalEvent]:
    """Return the events of proposals and verdicts, in order. The event of an accepted proposal also changes the world."""
    notes = []
    for verdict in sorted(verdicts, key=_place):
        proposal = verdict.proposal
        about = {"kind": proposal.kind, "parameters": proposal.parameters}
        place = (proposal.round, proposal.stage)
        notes.append(ExternalEvent(PROPOSED, proposal.agent, "", {}, (), about, *place))
        changes = proposal.accepted(verdict.reason) if verdict.accepted else {}
        kind = ACCEPTED if verdict.accepted else REJECTED
        notes.append(ExternalEvent(kind, proposal.agent, verdict.reason, changes, (), about, *place))
    return notes


def _overruled(note: ExternalEvent, reason: str) -> ExternalEvent:
    """Return the rejection of an accepted proposal, and other events as they are."""
    if note.kind != ACCEPTED:
        return note
    return replace(note, kind=REJECTED, reason=f"an invariant of the world refused it: {reason}", changes={})


def refused_notes(turn: Turn, reason: str) -> list[ExternalEvent]:
    """Return the events that refuse the intents of a forfeited turn."""
    intents = expanded(turn.wanted()[0])
    why = f"the turn was forfeited: {reason}"
    return [
        ExternalEvent(
            "refused", each.agent, why, details={**each.arguments, "action": each.action}, round=each.round, stage=each.stage
        )
        for each in intents
    ]


def in_order(notes: Iterable[ExternalEvent]) -> list[ExternalEvent]:
    """Return the events of one commit in an order that does not depend on time."""
    return sorted(notes, key=lambda note: (note.stage, note.agent, note.kind))


def _place(verdict: Verdict) -> tuple[int, str, int]:
    proposal = verdict.proposal
    return (proposal.stage, proposal.agent, proposal.index)
