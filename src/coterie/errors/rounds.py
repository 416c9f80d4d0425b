"""Errors of simulations in rounds. See `coterie.errors` for the tree."""

from __future__ import annotations

from collections.abc import Sequence

from coterie.errors.general import CoterieError


class RoundsError(CoterieError):
    """A simulation is invalid or failed."""


class InvalidGraph(RoundsError, ValueError):
    """The stages and edges do not form a valid graph. `problems` has a line for each fault."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("the graph is invalid:\n" + "\n".join(f"  {problem}" for problem in problems))


class TurnForfeited(RoundsError):
    """A turn was forfeited; its further intents are refused."""

    def __init__(self, agent: str, stage: str, round: int, reason: str) -> None:  # noqa: A002 - the field's own name
        super().__init__(f"the turn of {agent} in {stage} of round {round} was forfeited: {reason}")


class StageFailed(RoundsError):
    """A stage raised or did not return in time, so the simulation cannot go on. The cause is the reason."""

    def __init__(self, stage: str, round: int, reason: str) -> None:  # noqa: A002 - the field's own name
        super().__init__(f"{stage} of round {round} failed: {reason}; earlier stages are kept; correct the stage and resume")


class SettleHalted(RoundsError):
    """Raised in a function `settle`: it ends the run, and no intent of an agent is blamed for it. For subclasses."""


class CollectFailed(RoundsError):
    """A function of `collect` raised, or did not return plain data. The cause is the reason. Settled rounds are kept."""

    def __init__(self, column: str, round: int, about: str, reason: str) -> None:  # noqa: A002 - the field's own name
        self.column = column
        self.round = round
        where = f"round {round}" + (f", {about}" if about else "")
        super().__init__(f"collect[{column!r}] failed for {where}: {reason}; correct it, and go on with the run or resume it")


class CheckpointRefused(RoundsError):
    """An agent cannot be stored in a checkpoint."""

    def __init__(self, agent: str, problem: str) -> None:
        super().__init__(f"{agent} cannot be kept in a checkpoint: {problem}; give it snapshot and restore, in plain data")


class RestoreFailed(RoundsError):
    """An agent raised when its state was restored from a checkpoint. The error is the cause."""

    def __init__(self, agent: str, problem: str) -> None:
        super().__init__(f"{agent} cannot be restored from its checkpoint: {problem}; mend its restore, and resume")


class CheckpointMissing(RoundsError, LookupError):
    """No checkpoint exists to resume from, or it does not fit the simulation."""

    def __init__(self, where: object, problem: str) -> None:
        super().__init__(f"{where}: {problem}")


class ReplayDiverged(RoundsError):
    """A replay differs from the recording. `round` is the first that differs."""

    def __init__(self, round: int, recorded: str, replayed: str, versions: str = "") -> None:  # noqa: A002 - the field's own name
        self.round = round
        super().__init__(
            f"round {round} was recorded as {recorded} and is replayed as {replayed}: "
            f"a stage, a resolver or the world depends on something other than its arguments{versions}"
        )
