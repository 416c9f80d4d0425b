"""The exceptions of stages and resolvers: the first of each type is logged, and one that every agent raised ends the run."""

from __future__ import annotations

import logging
from collections.abc import Callable

from coterie.errors import StageFailed, UnknownAgent, describe
from coterie.rounds.plan import Change, OnError, Plan, change_of
from coterie.world.drafting import CommitFailure

_RESOLVER, _MEMBERSHIP = "(resolver)", "(membership)"
"""The names of the resolver and of `membership` among the stages that have succeeded. No stage can have them."""

_log = logging.getLogger(__name__)


class StageFailures:
    """Watch which stages ever succeeded, and which failed for every agent in their first round. Only the engine's thread uses it."""

    def __init__(self) -> None:
        self.proven: set[str] | None = set()
        """The stages that succeeded for an agent, or whose first round is over; None if this is not known, so that none is checked."""
        self._failed: dict[str, dict[str, BaseException]] = {}
        self._told: set[tuple[str, type[BaseException]]] = set()

    def succeeded(self, stage: str) -> None:
        """Record that a stage succeeded for an agent."""
        if self.proven is not None and stage not in self.proven:
            self.proven.add(stage)
            self._failed.pop(stage, None)

    def failed(self, stage: str, agent: str, round: int, error: BaseException) -> None:  # noqa: A002 - the field's own name
        """Record that a stage raised for an agent; log the first error of each type with its traceback."""
        if self.proven is not None and stage not in self.proven:
            self._failed.setdefault(stage, {})[agent] = error
        if (stage, type(error)) not in self._told:
            self._told.add((stage, type(error)))
            text = "the turn of %s in %s of round %d is forfeited: %s; further errors of this kind in this stage are not logged"
            _log.warning(text, agent, stage, round, describe(error), exc_info=error)

    def check(self, round: int) -> None:  # noqa: A002 - the field's own name
        """Raise `StageFailed` if a stage failed for every agent that came to it, in its first round. Called when a round ends."""
        failed, self._failed = self._failed, {}
        for stage, errors in sorted(failed.items()):
            agent, error = min(errors.items(), key=lambda item: item[0])
            why = f"it raised {describe(error)} for {agent}, and an error for every other agent too"
            raise StageFailed(stage, round, why if len(errors) > 1 else f"it raised {describe(error)} for {agent}") from error


class MechanismsFailed(Exception):
    """The resolver fails with the mechanisms in force, with any intents."""


class ResolverFailures:
    """Refuses the intents with which a resolver, an action or an invariant fails, so that the run goes on.

    Only a resolver that has never decided anything ends the run: see `refuse`. Only the engine's thread uses it.
    """

    def __init__(self, plan: Plan, stages: StageFailures) -> None:
        self._plan = plan
        self._stages = stages
        self._told: set[type[BaseException]] = set()
        self.refused = 0
        """The number of intents that were refused since this was last set back."""
        self.mechanisms = False
        """Whether the resolver has mechanisms in force."""

    def succeeded(self) -> None:
        """Record that the resolver has decided on an intent."""
        self._stages.succeeded(_RESOLVER)

    def membership(self, number: int, check: Callable[[str], object]) -> Change:
        """Return the agents that join and leave before a round, whose names `check` accepts.

        None do if `membership` fails, which may be due to a value of an agent; the first error of each type is logged. Raises the
        error of a `membership` that has never succeeded, unless `on_error` is ``"forfeit"``, and errors of the types `halt_on`.
        """
        plan, proven = self._plan, self._stages.proven
        try:
            change = change_of(plan, number)
            for name in (*change.join, *change.leave):
                check(name)
        except (StageFailed, UnknownAgent) as error:
            new = proven is not None and _MEMBERSHIP not in proven
            if cause_of_kind(error, plan.halt_on) is not None or (new and plan.on_error is OnError.RAISE):
                raise
            self.refused += 1
            kind = type(error.__cause__ or error)
            if kind not in self._told:
                self._told.add(kind)
                _log.warning("no agent joins or leaves: %s; further errors of this kind are not logged", error, exc_info=error)
            return Change()
        self._stages.succeeded(_MEMBERSHIP)
        return change

    def refuse(self, failure: CommitFailure) -> None:
        """Log the first failure of each type with its traceback. The caller refuses the intents.

        Raises `MechanismsFailed` if the resolver fails with all of them while mechanisms are in force; an error of the types
        `halt_on`; and the error itself if it fails with the intents of all agents in the first decision of the run.
        """
        error, everything = failure.error, len(failure.blamed) == len(failure.asked)
        halting = cause_of_kind(error, self._plan.halt_on)
        if halting is not None:
            raise halting
        if everything and self.mechanisms:
            raise MechanismsFailed from error
        new = self._stages.proven is not None and _RESOLVER not in self._stages.proven
        several = failure.undecided or len({intent.agent for intent in failure.asked}) > 1
        if everything and new and several and self._plan.on_error is OnError.RAISE:
            raise error
        self.refused += len(failure.blamed)
        kind = type(error.__cause__ or error)
        if kind not in self._told:
            self._told.add(kind)
            first = failure.blamed[0]
            text = "%d intents are refused, the first is %s of %s in round %d: %s; further errors of this kind are not logged"
            _log.warning(text, len(failure.blamed), first.action, first.agent, first.round, describe(error), exc_info=error)


def cause_of_kind(error: BaseException, kinds: tuple[type[Exception], ...]) -> Exception | None:
    """Return the first error of one of the types `kinds` among an error and its causes, or None."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, kinds):
            return cause
        cause = cause.__cause__
    return None
