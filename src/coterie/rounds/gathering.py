"""The arguments of a together-stage, and of the function that ends a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from coterie.errors import InvalidIntent, InvalidSetting, InvalidValue, StageFailed, describe
from coterie.kernel import check_instance, check_number, stream
from coterie.rounds.graph import Stage
from coterie.rounds.proposals import Proposal, Verdict
from coterie.rounds.turn import Turn, for_each
from coterie.world import Event, View
from coterie.world.state.values import as_key, freeze


class Gathering(Turn):
    """The agents that reached a together-stage, and their proposals.

    Its intents are in the name of the stage. A proposal without a verdict is rejected. In `Mode.PIPELINES` and
    `Mode.TOKENS` it holds one agent.
    """

    __slots__ = ("agents", "outputs", "proposals", "verdicts")

    def __init__(
        self,
        agents: Sequence[str],
        outputs: Mapping[str, Mapping[str, Any]],
        proposals: Sequence[Proposal],
        round: int,  # noqa: A002 - the field's own name
        stage: Stage,
        place: int,
        view: View,
        seed: int | str,
        visit: int,
        first: int,
    ) -> None:
        super().__init__(stage.name, round, stage, place, view, {}, seed, visit, first)
        self.agents = tuple(agents)
        """The names of the agents, sorted."""
        self.outputs = outputs
        """The return values of the agents' stages in this round, by agent and stage."""
        self.proposals = tuple(proposals)
        """The proposals to be judged, in the order of agents."""
        self.verdicts: dict[int, Verdict] = {}

    @property
    def random(self) -> Random:
        """A random stream of this stage, round and visit alone, and of the agent where it is one."""
        if self._random is None:
            self._random = stream(
                self._seed, "gathering", self.stage, self.round, self.visit, *self.agents[: len(self.agents) == 1]
            )
        return self._random

    def accept(self, proposal: Proposal, reason: str = "") -> None:
        """Accept a proposal. It binds from the next stage on; in `Mode.PIPELINES` from the next round on."""
        self._judge(proposal, reason, accepted=True)

    def reject(self, proposal: Proposal, reason: str) -> None:
        """Reject a proposal, for a reason that is not empty. Raises `InvalidSetting`."""
        if reason == "":
            raise InvalidSetting("reject.reason", reason, "a reason, to be told to the proposer")
        self._judge(proposal, reason, accepted=False)

    def propose(self, kind: str, **parameters: Any) -> None:
        """Raise `InvalidIntent`: agents propose in their own turns."""
        raise InvalidIntent(
            f"{kind} with {parameters}", f"{self.stage} is a together-stage, which judges; agents propose in their own turns"
        )

    def _judge(self, proposal: Proposal, reason: str, *, accepted: bool) -> None:
        self._enter()
        check_instance("Gathering.reason", reason, str, "a reason, as text")
        freeze(reason, "reason")
        for place, each in enumerate(self.proposals):
            if each is proposal:
                self.verdicts[place] = Verdict(proposal, accepted, reason)
                return
        raise InvalidIntent(repr(proposal), "judge one of the gathering's proposals")

    def judged(self) -> list[Verdict]:
        """Return a verdict for each proposal. For the engine."""
        unsaid = f"{self.stage} gave no verdict"
        return [self.verdicts.get(place, Verdict(each, False, unsaid)) for place, each in enumerate(self.proposals)]  # noqa: FBT003


class Closing:
    """The end of a round: the world after all intents of the round, and the changes to make to it.

    Given to the function `settle` of a simulation, on the thread that runs it. That function must be pure and quick.
    """

    def __init__(
        self,
        round: int,  # noqa: A002 - the field's own name
        view: View,
        seed: int | str,
        time: float,
        events: Sequence[Event] = (),
    ) -> None:
        self.events = tuple(events)
        """The events of the round, in order."""
        self.time = time
        """The world's time, in seconds."""
        self.expires: dict[str, float] = {}
        self.round = round
        """Counted from 1."""
        self.view = view
        """The world after the intents of the round."""
        self.random = stream(seed, "closing", round)
        """A random stream of this round alone."""
        self.changes: dict[str, Any] = {}
        self.removed: set[str] = set()
        self.details: dict[str, Any] = {}
        self.stopped = ""

    def set(self, key: str, value: Any, *, ttl: float | None = None) -> None:
        """Set a key to plain data. Raises `InvalidValue`. With `ttl` it expires after so many seconds of the world's time. Raises `InvalidValue`, `InvalidSetting`."""
        check_number("Closing.set.ttl", ttl, above=0, optional=True)
        # Checked here, where the traceback names the line, and not at the commit.
        key = as_key(key)
        self.changes[key] = freeze(value, key)
        self.expires.pop(key, None)
        if ttl is not None:
            self.expires[key] = self.time + ttl
        self.removed.discard(key)

    def remove(self, key: str) -> None:
        """Remove a key."""
        key = as_key(key)
        self.removed.add(key)
        self.changes.pop(key, None)
        self.expires.pop(key, None)

    def tell(self, **details: Any) -> None:
        """Add details in plain data to the event of the settled round."""
        self.details.update({name: freeze(value, name) for name, value in details.items()})

    def stop(self, reason: str) -> None:
        """Make this the last round. Raises `InvalidSetting` if the reason is not text."""
        check_instance("Closing.stop", reason, str, "a reason, as text")
        if not reason:
            raise InvalidSetting("Closing.stop", reason, "a reason, as text")
        self.stopped = reason


def values_of(gathering: Gathering, value: Any, agents: int, *, plain: bool) -> list[Any]:
    """Return the result of a together-stage for each agent. Raises `StageFailed` if it must be plain data, and is not."""
    try:
        return for_each(value, gathering.stage, agents, plain=plain)
    except InvalidValue as error:
        raise StageFailed(gathering.stage, gathering.round, f"it returned {describe(error)}") from error
