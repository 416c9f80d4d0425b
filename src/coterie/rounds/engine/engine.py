"""The engine: takes reports of turns that ended, and starts the next ones."""

from __future__ import annotations

import queue
from collections.abc import Iterable
from typing import Any

from coterie.errors import CheckpointRefused, InvalidValue, StageFailed, describe
from coterie.kernel.checkpoint import detach_all
from coterie.rounds.engine.column_commits import expanded
from coterie.rounds.engine.commits import CommitMaker, in_order, refused_notes, verdict_notes
from coterie.rounds.engine.deadlines import Deadlines
from coterie.rounds.engine.executors import ExecutorPool
from coterie.rounds.engine.failures import ResolverFailures, StageFailures, cause_of_kind
from coterie.rounds.engine.lives import Lives, join, note_failures
from coterie.rounds.engine.reports import Inbox, Report
from coterie.rounds.engine.stage_facts import facts_of
from coterie.rounds.engine.timeline import Timeline
from coterie.rounds.engine.tokens import OpenRound, Status, Token, TokenTable
from coterie.rounds.engine.turn_queues import TurnQueues
from coterie.rounds.gathering import Gathering, values_of
from coterie.rounds.graph import END
from coterie.rounds.participant import Participant
from coterie.rounds.plan import Change, Mode, OnError, Plan
from coterie.rounds.proposals import Verdict, checked
from coterie.rounds.recorded import FORFEITED, LEFT, RecordedDecisions
from coterie.rounds.turn import Turn, inputs_of, outputs_of, own
from coterie.telemetry.spans import NO_SPAN, begin
from coterie.world import Event, ExternalEvent

_MOST_VISITS = 10_000
"""The maximum number of visits of an agent to one stage in one round."""
_AT_GATE, _RUNNING = Status.AT_GATE, Status.RUNNING


class RoundEngine:
    """Move tokens through the graph. The caller's thread runs it; executors do the turns on their own threads.

    A `ModeStrategy` calls `open_round`, `enter`, `start`, `serve` and `settle`, which is the only difference of the modes.
    """

    def __init__(self, plan: Plan, replaying: RecordedDecisions | None) -> None:
        self.plan = plan
        self.world = plan.world
        self.graph = plan.graph
        self.replaying = replaying
        known: dict[int, bool] = {}
        copies = zip(plan.agents, detach_all(plan.agents.values(), known), strict=True)
        self.participants = {name: Participant(name, agent, known) for name, agent in copies}
        self.lives = Lives(plan, self.participants, known)
        self.facts = facts_of(self.graph)
        self.failures = StageFailures()
        self.settling = CommitMaker(plan, ResolverFailures(plan, self.failures))
        self._open_threads()
        commits = frozenset(stage.name for stage in self.graph.stages if stage.commits)
        self.table = TokenTable(frozenset(stage.name for stage in self.graph.stages if stage.together), commits)
        self.open: dict[int, OpenRound] = {}
        self.settled = self.forfeits = self.errors = 0
        self.stopped = ""
        self.running: dict[int, tuple[Turn, list[Token]]] = {}
        """Running turns and their tokens, by the identity of the turn."""
        self.serving: Gathering | None = None
        self.last = ""
        """The agent whose turn ended last."""
        self.freezes = plan.mode is Mode.TOKENS and plan.checkpoints
        self.unsound: list[Verdict] = []
        """Proposals of the running together-stage that were rejected as invalid."""
        self.holds = replaying is not None and plan.mode is Mode.TOKENS
        """Whether the result of a together-stage waits for its recorded step."""
        self.held: tuple[Gathering, list[Token], Report] | None = None
        self.happened: list[Event] = []
        """The events of the last settled round."""
        self.recorded = replaying if replaying is not None else RecordedDecisions(())
        """Earlier decisions of time, which stand: of a whole run in a replay, of the unfinished part in a resumed run."""
        self.digests, self.first_members, self.joins, self.leaves = [list[str]() for _ in range(4)]

    def _open_threads(self) -> None:
        plan, clock = self.plan, self.world.clock
        self.inbox: Inbox = queue.SimpleQueue()
        limit = plan.turn_timeout if self.replaying is None else None
        self.deadlines = Deadlines(clock, limit, self.inbox)
        self.executors = ExecutorPool(self.participants, plan.dispatcher, clock, self.inbox, self.deadlines.begin, limit)
        self.queues = TurnQueues(self.executors, self.deadlines, self.inbox, clock, plan.turn_timeout, plan.dispatcher)
        self.watch = self.settling.watch = self.deadlines.watch
        self.timeline = Timeline(clock.monotonic(), plan.spans, self.settling.counts)

    def reopen(self) -> None:
        """Open threads again after `close`, between two rounds. Each agent goes on as it is."""
        for token in self.table.tokens.values():
            token.host = None
        self._open_threads()

    # Called by the strategy.

    def open_round(self, number: int) -> OpenRound:
        """Begin a round: apply joins and leaves, and expire keys, before a token enters."""
        if self.plan.mode is not Mode.TOKENS:
            self.settling.see_outside(number, None if self.replaying is None else self.replaying.marks.get(number, 0))
        change = self._membership(number)
        joining, self.first_members = [*self.first_members, *change.join], []
        for name in joining:
            self.executors.participant(name)
        notes = join(self.table, joining, number, self._now())
        for name in sorted(set(change.leave)):
            token = self.table.tokens.get(name)
            if token is not None and token.status is not Status.GONE and token.last < 0:
                token.last = number - 1
                self._go(token)
                notes.append(ExternalEvent(LEFT, name, round=number))
        self.lives.forget(self.table, change.leave)
        first = self.world.sequence + 1
        if notes:
            self.settling.note(notes, number)
        self.settling.expire(number)
        roster = self.lives.roster(self.table, changed=bool(notes))
        opened = self.open[number] = OpenRound(number, self.world.view(), first, roster=roster, span=begin(f"round {number}"))
        return opened

    def enter(self, token: Token, opened: OpenRound) -> None:
        """Let a token enter a round."""
        self.table.arrive(token, opened.number, self.graph.start, self._now())
        token.inputs, token.visits, token.intended, token.proposals = {}, {}, 0, []
        opened.inside.add(token.name)

    def start(self, token: Token, view: Any) -> None:
        """Start the stage of a token, or let it leave the round if its agent has died."""
        name, number = token.name, token.round
        opened = self.open[number]
        if name in opened.dead:
            self._leave(token, token.latest)
            return
        facts = self.facts[token.stage]
        stage = facts.stage
        visit = token.visits.get(stage.name, 0)
        turn = Turn(name, number, stage, facts.place, view, inputs_of(token.inputs), self.plan.seed, visit, token.intended)
        turn.roster = opened.roster
        token.visits[stage.name] = visit + 1
        self.table.move(token, _RUNNING, number)
        token.turn, token.sequence = turn, view.sequence
        if facts.chosen and not self.lives.does(name, stage):
            self.pass_on(token, turn, None, done=False)
            return
        if visit >= _MOST_VISITS or self.recorded.forfeits:
            key = (name, number, stage.name, visit)
            endless = f"it came to {token.stage} more than {_MOST_VISITS} times" if visit >= _MOST_VISITS else ""
            if forfeit := endless or self.recorded.forfeits.get(key, ""):
                self._forfeit(token, turn, forfeit, error=self.recorded.errors.get(key, ""))
                return
        self.running[id(turn)] = (turn, [token])
        participant = self.executors.participant(name)
        # A runtime agent needs no snapshot without checkpoints.
        keep = participant.keeps_state and (self.plan.checkpoints or participant.reference is None)
        keep = keep and (self.freezes or facts.may_be_last)
        if opened.span is NO_SPAN and self.queues.takes(stage, participant, number):
            self.queues.add(token, turn, keep=keep)
            return
        self.executors.act(token, turn, keep=keep, span=opened.span)
        self._begin_if_starved(turn)

    def serve(self, tokens: list[Token], opened: OpenRound, view: Any) -> None:
        """Start a together-stage for tokens that have reached it."""
        stage, place = (facts := self.facts[tokens[0].stage]).stage, facts.place
        opened.gatherings += 1
        proposals = [each for token in tokens for each in token.proposals]
        with self.watch.during(f"the check of the proposals before {tokens[0].stage} of round {opened.number}"):
            sound, self.unsound = checked(proposals, self.plan.mechanisms, self.plan.resolver)
        outputs = outputs_of({token.name: token.inputs for token in tokens})
        # Taken alone, each agent's gathering has a number of its own, whatever the order of arrival.
        alone = self.plan.mode.alone
        visit = tokens[0].visits.get(stage.name, 0) if alone else opened.gatherings
        first = 0 if not alone else self.table.place(tokens[0].name) * 1_000
        names, number, seed = [token.name for token in tokens], opened.number, self.plan.seed
        gathering = Gathering(names, outputs, sound, number, stage, place, view, seed, visit, first)
        for token in tokens:
            self.table.move(token, _RUNNING, token.round)
            token.turn, token.sequence = gathering, view.sequence
        self.serving = gathering
        self.running[id(gathering)] = (gathering, tokens)
        self.executors.act_together(gathering, opened.span)
        self._begin_if_starved(gathering)

    def settle(self, opened: OpenRound) -> None:
        """Settle a round that all tokens have left. Raises `StageFailed` if a stage failed for every agent in its first round."""
        plan = self.plan
        if plan.on_error is OnError.RAISE:
            self.failures.check(opened.number)
        notes = in_order(opened.notes) + verdict_notes(opened.verdicts)
        self.settling.commit(opened, opened.intents, notes, view=opened.view if plan.mode is Mode.PIPELINES else None)
        forfeits = sum(note.kind == FORFEITED for note in opened.notes)
        self.stopped = self.stopped or self.settling.settle(opened)
        self.digests.append(self.settling.end(opened, forfeits))
        self.forfeits += forfeits
        self.errors += sum("error" in note.details for note in opened.notes if note.kind == FORFEITED)
        self.errors += self.settling.take_errors()
        self.happened = opened.events
        self.lives.end_round(opened)
        del self.open[opened.number]
        self.settled = opened.number

    # Reports of turns.

    def hear(self) -> None:
        """Wait for the report of a turn, and handle it and all other arrived reports. May return without any."""
        self.executors.remote.flush()
        for report in self.queues.heard():
            self._hear(report)

    def _hear(self, report: Report | BaseException) -> None:
        if isinstance(report, BaseException):
            raise report
        found = self.running.get(id(report.turn))
        if found is None or (report.late and not self.executors.stuck and self.deadlines.extend(report.turn)):
            # The turn was forfeited before, or gets the time back for which it waited for a thread.
            return
        del self.running[id(report.turn)]
        turn, tokens = found
        turn.over = True
        self.deadlines.ended(turn)
        if isinstance(turn, Gathering):
            self.held = (turn, tokens, report)
            if not self.holds:
                self.judge()
        else:
            self._ended(tokens[0], turn, report)

    def _ended(self, token: Token, turn: Turn, report: Report) -> None:
        if report.late:
            self._forfeit(token, turn, f"it took longer than {self.plan.turn_timeout:g} s", stuck=True)
            return
        if report.error is not None:
            self._raise_if_it_halts(report.error)
            self._fail(token, turn, f"it raised {describe(report.error)}", report.error)
            return
        self.timeline.turn(token.name, token.round, turn.stage, report.began, report.ended)
        opened = self.open[token.round]
        if turn.failures:
            for error in turn.failures.values():
                self._raise_if_it_halts(error)
            note_failures(opened, turn, self.failures)
        intents, proposals = turn.wanted()
        if intents:
            token.intended += len(intents)
            # A checkpoint within a round has intents of single agents.
            opened.intents.extend(expanded(intents) if self.freezes else intents)
        if proposals:
            token.proposals = [*token.proposals, *proposals]
        if report.state is not None:
            token.latest = report.state
        try:
            value = own(report.value, turn.stage, plain=self.freezes)
        except InvalidValue as error:
            self._fail(token, turn, f"it returned {describe(error)}", error)
            return
        self.pass_on(token, turn, value)

    def judge(self) -> None:
        """Apply the result of a together-stage."""
        if self.held is None:
            return
        (gathering, tokens, report), self.held = self.held, None
        opened = self.open[gathering.round]
        if report.late or report.error is not None:
            self.executors.give_up_together()
            if report.error is not None:
                self._raise_if_it_halts(report.error)
            why = f"it took longer than {self.plan.turn_timeout or 0.0:g} s" if report.error is None else describe(report.error)
            raise StageFailed(gathering.stage, gathering.round, why) from report.error
        self.serving = None
        self.timeline.turn(f"({gathering.stage})", gathering.round, gathering.stage, report.began, report.ended)
        intents, _ = gathering.wanted()
        opened.verdicts.extend([*self.unsound, *gathering.judged()])
        for token in tokens:
            token.proposals = []
        if self.plan.mode.alone:
            opened.intents.extend(intents)
        if self.plan.mode is not Mode.PIPELINES:
            if self.plan.mode is Mode.TOKENS:
                self.settling.record("judged", tokens[0].name, gathering.round, gathering.stage)
            notes = verdict_notes(opened.verdicts)
            opened.verdicts = []
            self.settling.commit(opened, () if self.plan.mode.alone else intents, notes)
            if not self.plan.mode.alone:
                opened.view = self.world.view()
        for token, value in zip(tokens, values_of(gathering, report.value, len(tokens), plain=self.freezes), strict=True):
            token.visits[gathering.stage] = token.visits.get(gathering.stage, 0) + 1
            self.pass_on(token, gathering, value)

    def pass_on(self, token: Token, turn: Turn, value: Any, *, done: bool = True) -> None:
        """Move a token on from a stage that has ended, or that its agent did not do."""
        self.last = token.name
        if done:
            token.inputs[turn.stage] = value
        target = self.facts[turn.stage].target
        if target is None:
            try:
                target = self._target(token, turn)
            except Exception as error:  # noqa: BLE001 - a condition belongs to the agent, as its stages do
                self._fail(token, turn, f"the condition after {turn.stage} raised {describe(error)}", error)
                return
        if done:
            self.failures.succeeded(turn.stage)
        if target == END:
            self._leave(token, token.latest)
        else:
            token.turn = None
            self.table.arrive(token, token.round, target, self._now())

    def _target(self, token: Token, turn: Turn) -> str:
        """Return the stage that conditions give. Raises their errors."""
        passage = turn
        if isinstance(turn, Gathering):
            stage = self.facts[turn.stage].stage
            passage = Turn(token.name, token.round, stage, turn.place, turn.view, {}, self.plan.seed, turn.visit, 0)
        passage.inputs = inputs_of(token.inputs)
        with self.watch.during(f"the condition after {turn.stage} of {token.name} in round {token.round}"):
            return self.graph.next(turn.stage, passage)

    def _leave(self, token: Token, state: bytes | None) -> None:
        """Let a token leave its round."""
        opened = self.open[token.round]
        opened.inside.discard(token.name)
        if token.proposals:
            opened.verdicts.extend(Verdict(each, False, "no stage judged it") for each in token.proposals)  # noqa: FBT003
            token.proposals = []
        token.kept = state
        self.table.move(token, _AT_GATE, token.round)
        token.since, token.turn, token.stage = self._now(), None, ""
        self._go(token)

    def _go(self, token: Token) -> None:
        """Remove a token whose leave is requested, if it has left its last round."""
        if token.last < 0 or token.status is not _AT_GATE or token.round < token.last:
            return
        if token.back:
            self.table.move(token, _AT_GATE, token.back - 1)
            token.last, token.back = -1, 0
        else:
            self.table.move(token, Status.GONE, token.round)
            self.executors.end(token)

    def _raise_if_it_halts(self, error: BaseException) -> None:
        """Raise an error of the types `halt_on`, or a refused snapshot, also if it is the cause of another error."""
        cause = cause_of_kind(error, (*self.plan.halt_on, CheckpointRefused))
        if cause is not None:
            self.queues.release()
            self.deadlines.wait_for(self.running, self.queues.next)
            raise cause

    def _begin_if_starved(self, turn: Turn) -> None:
        """Start the deadline of a turn that may wait for ever for a thread, because stuck turns hold threads."""
        if self.executors.stuck and turn.due is None:
            self.deadlines.begin(turn)

    def _fail(self, token: Token, turn: Turn, reason: str, error: BaseException) -> None:
        """Forfeit a turn because of an exception."""
        self.failures.failed(turn.stage, token.name, token.round, error)
        self._forfeit(token, turn, reason, error=type(error).__name__)

    def _forfeit(self, token: Token, turn: Turn, reason: str, *, stuck: bool = False, error: str = "") -> None:
        turn.forfeit(reason)
        turn.over = True
        details = {"stage": turn.stage, "visit": turn.visit, **({"error": error} if error else {})}
        opened = self.open[token.round]
        opened.notes.append(ExternalEvent(FORFEITED, token.name, reason, details=details, round=token.round, stage=turn.place))
        if not isinstance(turn, Gathering):
            opened.notes.extend(refused_notes(turn, reason))
        self.last = token.name
        self.executors.rebuild(token, stuck=stuck)
        if stuck:
            self.queues.give_up(turn)
        for waiting, _ in self.running.values() if stuck else ():
            self._begin_if_starved(waiting)
        self._leave(token, token.kept)

    def _membership(self, number: int) -> Change:
        joins, leaves = self.recorded.joined.get(number, []), self.recorded.left.get(number, [])
        if self.replaying is not None:
            return Change(tuple(joins), tuple(leaves))
        joins, self.joins = [*joins, *self.joins], []
        leaves, self.leaves = [*leaves, *self.leaves], []
        births, deaths = self.lives.take()
        with self.watch.during(f"the membership of round {number}"):
            change = self.settling.failures.membership(number, self.executors.participant)
        return Change((*joins, *births, *change.join), (*leaves, *deaths, *change.leave))

    def waited(self, tokens: Iterable[Token], number: int, stage: str) -> None:
        """Add waits of tokens until now, for the agent that came last."""
        self.timeline.waits(((token.name, token.since) for token in tokens), number, stage, self._now(), self.last)

    def close(self) -> None:
        """End all threads, and the spans of rounds that are left."""
        self.deadlines.close()
        self.queues.close()
        self.executors.close()
        for opened in self.open.values():
            opened.span.end()

    def _now(self) -> float:
        return self.world.clock.monotonic()
