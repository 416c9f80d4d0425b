"""Where agents wait: all that the modes differ in."""

from __future__ import annotations

from typing import Protocol

from coterie.rounds.engine.engine import Engine
from coterie.rounds.engine.token import Status, Token
from coterie.rounds.keeping.script import Step
from coterie.rounds.mode import Mode


class Pace(Protocol):
    """Does what can be done next, as far as a mode lets it."""

    def step(self, engine: Engine, rounds: int) -> bool:
        """Do something, and return True; or return False if turns must end first."""
        ...


class ByRounds:
    """All meet at the end of each round; within it, as the mode says."""

    def __init__(self, mode: Mode) -> None:
        self._mode = mode

    def step(self, engine: Engine, rounds: int) -> bool:  # noqa: ARG002 - the run ends between rounds
        """Do what can be done next."""
        if not engine.open:
            opened = engine.open_round(engine.settled + 1)
            for token in engine.board.live:
                engine.enter(token, opened)
            return True
        (opened,) = engine.open.values()
        ready = [token for _, token in sorted(engine.board.ready.items())]
        apart = [token for token in ready if not engine.graph.stage(token.stage).together]
        if apart and not (self._mode is Mode.LOCKSTEP and engine.running):
            if self._mode is Mode.LOCKSTEP:
                engine.waited(apart, opened.number, apart[0].stage)
            for token in apart:
                engine.start(token, opened.view)
            return True
        if self._mode is Mode.PIPELINES:
            return self._alone(engine, [token for token in ready if token not in apart]) or self._close(engine)
        if engine.running:
            return False
        if ready:
            # Everybody waits, and nobody can come any more: the first of these stages is done.
            stage = min((token.stage for token in ready), key=engine.graph.places.__getitem__)
            come = [token for token in ready if token.stage == stage]
            engine.waited(come, opened.number, stage)
            intents, opened.intents = opened.intents, []
            if intents:
                engine.settling.commit(opened, intents)
            opened.view = engine.world.view()
            engine.serve(come, opened, opened.view)
            return True
        return self._close(engine)

    def _alone(self, engine: Engine, come: list[Token]) -> bool:
        if not come or engine.serving is not None:
            return False
        (opened,) = engine.open.values()
        engine.serve([min(come, key=lambda token: (token.since, token.name))], opened, opened.view)
        return True

    def _close(self, engine: Engine) -> bool:
        (opened,) = engine.open.values()
        if opened.inside:
            return False
        engine.waited(engine.board.live, opened.number, "the end of the round")
        engine.settle(opened)
        return True


class ByTokens:
    """Each goes on as it can, within `max_lead` rounds of the slowest; what happens is recorded."""

    def step(self, engine: Engine, rounds: int) -> bool:
        """Do what can be done next."""
        if self._settle(engine):
            return True
        went = False
        board = engine.board
        if not board.tokens and not engine.open:
            open_round(engine, engine.settled + 1)
            return True
        for _, token in sorted(board.gate.items()):
            if token.status is Status.AT_GATE and self._may_enter(engine, token.round + 1, board.slowest, rounds):
                engine.waited([token], token.round + 1, "the slowest")
                went = enter(engine, token) or went
        for _, token in sorted(board.ready.items()):
            if not engine.graph.stage(token.stage).together:
                begin(engine, token)
                went = True
        come = [token for token in board.ready.values() if engine.graph.stage(token.stage).together]
        if come and engine.serving is None:
            serve(engine, min(come, key=lambda token: (token.since, token.name)))
            went = True
        return went

    def _may_enter(self, engine: Engine, number: int, slowest: int, rounds: int) -> bool:
        lead = engine.plan.max_lead
        return number <= rounds and not engine.stopped and (lead is None or number - slowest <= lead)

    def _settle(self, engine: Engine) -> bool:
        number = engine.settled + 1
        if number not in engine.open or not may_settle(engine, number):
            return False
        settle(engine, number)
        return True


class ByScript:
    """As tokens went when it was recorded."""

    def step(self, engine: Engine, rounds: int) -> bool:  # noqa: ARG002 - the record says where it ends
        """Do the next recorded step, if it can be done yet."""
        script = engine.script
        if script is None or not script.steps:
            return False
        if not self._do(engine, script.steps[0]):
            return False
        script.steps.popleft()
        return True

    def _do(self, engine: Engine, step: Step) -> bool:
        token = engine.board.tokens.get(step.agent)
        if token is not None and step.what in ("turn", "serve"):
            return self._move(engine, token, step)
        if step.what == "settle":
            if not may_settle(engine, step.round):
                return False
            settle(engine, step.round)
            return True
        if step.what == "open":
            open_round(engine, step.round)
            return True
        if step.what == "judged":
            judged = engine.held is not None
            engine.judge()
            return judged
        return False

    def _move(self, engine: Engine, token: Token, step: Step) -> bool:
        if token.status is Status.AT_GATE and token.round == step.round - 1 and step.round in engine.open:
            engine.enter(token, engine.open[step.round])
        if token.status is not Status.READY or (token.stage, token.round) != (step.stage, step.round):
            return False
        if step.what == "serve":
            serve(engine, token)
        else:
            begin(engine, token)
        return True


def enter(engine: Engine, token: Token) -> bool:
    """Have a token enter its next round, which is opened if it is the first. Return whether it did."""
    number = token.round + 1
    if number not in engine.open:
        open_round(engine, number)
    if token.status is not Status.GONE:
        engine.enter(token, engine.open[number])
    return True


def open_round(engine: Engine, number: int) -> None:
    """Open a round."""
    engine.record("open", "", number)
    engine.open_round(number)


def begin(engine: Engine, token: Token) -> None:
    """Have a token begin its stage, with the newest view."""
    engine.record("turn", token.name, token.round, token.stage)
    engine.start(token, engine.world.view())


def serve(engine: Engine, token: Token) -> None:
    """Have what is done together done for one token, with the newest view."""
    engine.record("serve", token.name, token.round, token.stage)
    engine.serve([token], engine.open[token.round], engine.world.view())


def may_settle(engine: Engine, number: int) -> bool:
    """Return whether everybody has left a round, and nobody can enter it any more."""
    if number not in engine.open or engine.open[number].inside:
        return False
    slowest = engine.board.slowest
    return slowest == 0 or slowest > number


def settle(engine: Engine, number: int) -> None:
    """Settle a round."""
    engine.record("settle", "", number)
    engine.settle(engine.open[number])


def pace_of(mode: Mode, *, scripted: bool) -> Pace:
    """Return how a mode goes on."""
    if mode is not Mode.TOKENS:
        return ByRounds(mode)
    return ByScript() if scripted else ByTokens()
