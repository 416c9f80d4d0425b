"""The strategies of the modes: where agents wait."""

from __future__ import annotations

from typing import Protocol

from coterie.kernel import stream
from coterie.rounds.engine.engine import RoundEngine
from coterie.rounds.engine.tokens import OpenRound, Status, Token
from coterie.rounds.plan import Activation, Mode
from coterie.rounds.recorded import RecordedStep
from coterie.rounds.turn import Turn


class ModeStrategy(Protocol):
    """Does the next step that a mode allows."""

    def step(self, engine: RoundEngine, rounds: int) -> bool:
        """Do a step and return True, or return False if turns must end first."""
        ...


class RoundStrategy:
    """`LOCKSTEP`, `SYNC_POINTS` and `PIPELINES`: all agents meet at the end of each round."""

    def __init__(self, mode: Mode) -> None:
        self._mode = mode

    def step(self, engine: RoundEngine, rounds: int) -> bool:  # noqa: ARG002 - the run ends between rounds
        """Do the next step."""
        if not engine.open:
            opened = engine.open_round(engine.settled + 1)
            for token in engine.table.live:
                engine.enter(token, opened)
            return True
        (opened,) = engine.open.values()
        return self._start(engine, opened) or self._meet(engine, opened)

    def _start(self, engine: RoundEngine, opened: OpenRound) -> bool:
        """Start the stages of agents that need not wait for others."""
        table = engine.table
        if engine.plan.activation is not Activation.AT_ONCE:
            return bool(opened.order or table.apart) and not engine.running and act_next(engine, opened)
        if not table.apart or (self._mode is Mode.LOCKSTEP and engine.running):
            return False
        apart = [token for _, token in sorted(table.apart.items())]
        if self._mode is Mode.LOCKSTEP:
            engine.waited(apart, opened.number, apart[0].stage)
        for token in apart:
            engine.start(token, opened.view)
        return True

    def _meet(self, engine: RoundEngine, opened: OpenRound) -> bool:
        """Do the first of the stages for which all agents wait, or the end of the round."""
        if self._mode is Mode.PIPELINES and self._alone(engine):
            return True
        if engine.running:
            return False
        if not engine.table.come:
            return self._close(engine)
        # All agents wait, and no other can arrive.
        stage = min(engine.table.come, key=engine.graph.places.__getitem__)
        come = [token for _, token in sorted(engine.table.come[stage].items())]
        engine.waited(come, opened.number, stage)
        commit_so_far(engine, opened)
        if engine.graph.stage(stage).commits:
            pass_commit(engine, come, opened)
        else:
            engine.serve(come, opened, opened.view)
        return True

    def _alone(self, engine: RoundEngine) -> bool:
        first = engine.table.first_come
        if first is None or engine.serving is not None:
            return False
        (opened,) = engine.open.values()
        engine.serve([first], opened, opened.view)
        return True

    def _close(self, engine: RoundEngine) -> bool:
        (opened,) = engine.open.values()
        if opened.inside:
            return False
        engine.waited(engine.table.live, opened.number, "the end of the round")
        engine.settle(opened)
        return True


def commit_so_far(engine: RoundEngine, opened: OpenRound) -> None:
    """Commit the intents of a round so far; the stages that start later see the outcome."""
    intents, opened.intents = opened.intents, []
    if intents:
        engine.settling.commit(opened, intents)
    opened.view = engine.world.view()


def pass_commit(engine: RoundEngine, tokens: list[Token], opened: OpenRound) -> None:
    """Move tokens on from a commit that has been made."""
    stage = engine.graph.stage(tokens[0].stage)
    for token in tokens:
        visit = token.visits.get(stage.name, 0)
        token.visits[stage.name] = visit + 1
        place = engine.graph.places[stage.name]
        turn = Turn(token.name, token.round, stage, place, opened.view, {}, engine.plan.seed, visit, token.intended)
        turn.over = True
        engine.pass_on(token, turn, None, done=False)


def act_next(engine: RoundEngine, opened: OpenRound) -> bool:
    """Start the stage of the next agent, of those that act one after another, after committing what the one before intended.

    The agents at the first of the stages act in one order, then those at the next.
    """
    commit_so_far(engine, opened)
    if not opened.order:
        places = engine.graph.places
        stage = min((token.stage for token in engine.table.apart.values()), key=places.__getitem__)
        names = sorted(name for name, token in engine.table.apart.items() if token.stage == stage)
        opened.passes += 1
        if engine.plan.activation is Activation.RANDOM:
            stream(engine.plan.seed, "activation", opened.number, stage, opened.passes).shuffle(names)
        opened.order = [(name, stage) for name in reversed(names)]
    name, stage = opened.order.pop()
    token = engine.table.apart.get(name)
    if token is not None and token.stage == stage:
        engine.start(token, opened.view)
    return True


class TokenStrategy:
    """`TOKENS`: each agent goes on as it can, within `max_lead` rounds of the slowest; every step is recorded."""

    def step(self, engine: RoundEngine, rounds: int) -> bool:
        """Do the next step."""
        if self._settle(engine):
            return True
        went = False
        table = engine.table
        if not table.tokens and not engine.open:
            open_round(engine, engine.settled + 1)
            return True
        for number in sorted(table.gate):
            # Whole rounds, so that the tokens that wait for the slowest are not gone through at each step.
            if self._may_enter(engine, number + 1, table.slowest, rounds):
                for _, token in sorted(table.gate.get(number, {}).items()):
                    if token.status is Status.AT_GATE:
                        engine.waited([token], number + 1, "the slowest")
                        went = enter(engine, token) or went
        for _, token in sorted(table.apart.items()):
            begin(engine, token)
            went = True
        first = table.first_come
        if first is not None and engine.serving is None:
            serve(engine, first)
            went = True
        return went

    def _may_enter(self, engine: RoundEngine, number: int, slowest: int, rounds: int) -> bool:
        lead = engine.plan.max_lead
        return number <= rounds and not engine.stopped and (lead is None or number - slowest <= lead)

    def _settle(self, engine: RoundEngine) -> bool:
        number = engine.settled + 1
        if number not in engine.open or not may_settle(engine, number):
            return False
        settle(engine, number)
        return True


class ReplayStrategy:
    """`TOKENS` in a replay: the recorded steps in their order."""

    def step(self, engine: RoundEngine, rounds: int) -> bool:  # noqa: ARG002 - the recording has its own end
        """Do the next recorded step if it can be done yet."""
        replaying = engine.replaying
        if replaying is None or not replaying.steps:
            return False
        if not self._do(engine, replaying.steps[0]):
            return False
        replaying.steps.popleft()
        return True

    def _do(self, engine: RoundEngine, step: RecordedStep) -> bool:
        token = engine.table.tokens.get(step.agent)
        if token is not None and step.what in ("turn", "serve"):
            return self._move(engine, token, step)
        if step.what == "settle":
            if not may_settle(engine, step.round):
                return False
            settle(engine, step.round)
        elif step.what == "outside":
            engine.settling.repeat_outside(step.round)
        elif step.what == "open":
            open_round(engine, step.round)
        elif step.what == "judged":
            judged = engine.held is not None
            engine.judge()
            return judged
        else:
            return False
        return True

    def _move(self, engine: RoundEngine, token: Token, step: RecordedStep) -> bool:
        if token.status is Status.AT_GATE and token.round == step.round - 1 and step.round in engine.open:
            engine.enter(token, engine.open[step.round])
        if token.status is not Status.READY or (token.stage, token.round) != (step.stage, step.round):
            return False
        if step.what == "serve":
            serve(engine, token)
        else:
            begin(engine, token)
        return True


def enter(engine: RoundEngine, token: Token) -> bool:
    """Let a token enter its next round, and open that round for the first token. Return True."""
    number = token.round + 1
    if number not in engine.open:
        open_round(engine, number)
    if token.status is not Status.GONE:
        engine.enter(token, engine.open[number])
    return True


def open_round(engine: RoundEngine, number: int) -> None:
    """Open a round."""
    engine.settling.record("open", "", number)
    engine.open_round(number)


def begin(engine: RoundEngine, token: Token) -> None:
    """Start the stage of a token with the newest view."""
    engine.settling.record("turn", token.name, token.round, token.stage)
    engine.start(token, engine.world.view())


def serve(engine: RoundEngine, token: Token) -> None:
    """Start a together-stage for one token with the newest view."""
    engine.settling.record("serve", token.name, token.round, token.stage)
    engine.serve([token], engine.open[token.round], engine.world.view())


def may_settle(engine: RoundEngine, number: int) -> bool:
    """Return whether all tokens have left a round and none can still enter it."""
    if number not in engine.open or engine.open[number].inside:
        return False
    slowest = engine.table.slowest
    return slowest == 0 or slowest > number


def settle(engine: RoundEngine, number: int) -> None:
    """Settle a round."""
    engine.settling.record("settle", "", number)
    engine.settle(engine.open[number])


def strategy_of(mode: Mode, *, scripted: bool) -> ModeStrategy:
    """Return the strategy of a mode."""
    if mode is not Mode.TOKENS:
        return RoundStrategy(mode)
    return ReplayStrategy() if scripted else TokenStrategy()
