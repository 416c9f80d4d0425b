"""What an agent is given when it is its turn."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from coterie.errors import TurnForfeited
from coterie.kernel import check_instance, check_number, stream
from coterie.rounds.turns.proposals import Proposal
from coterie.world import Intent, View, freeze

if TYPE_CHECKING:
    from coterie.rounds.graph.stage import Stage


_WIDE = 2**63


class Turn:
    """One agent in one stage of one round: what it knows, and what it wants.

    It is the agent's alone while the stage runs. After its end, or its deadline, it takes nothing more: `intend` and
    `propose` then raise `TurnForfeited`.
    """

    __slots__ = (
        "_forfeited",
        "_intents",
        "_left",
        "_proposals",
        "_random",
        "_seed",
        "_stage",
        "agent",
        "inputs",
        "name",
        "over",
        "place",
        "round",
        "view",
        "visit",
    )

    def __init__(
        self,
        name: str,
        round: int,  # noqa: A002 - the field's own name
        stage: Stage,
        place: int,
        view: View,
        inputs: Mapping[str, Any],
        seed: int | str,
        visit: int,
        first: int,
    ) -> None:
        self.agent: Any = None
        """The agent itself, on whose thread the stage runs."""
        self.name = name
        """The agent's name."""
        self.round = round
        """Counted from 1."""
        self.view = view
        """The world as it is to be seen."""
        self.inputs = inputs
        """What the stages that this agent has passed in this round have returned, by their names."""
        self.visit = visit
        """How often the agent has come to this stage before, in this round."""
        self.place = place
        """The place of the stage in the graph."""
        self._stage = stage
        self._seed = seed
        self._random: Random | None = None
        self._intents: list[Intent] = []
        self._proposals: list[Proposal] = []
        self._forfeited = ""
        self._left = first
        self.over = False
        """Whether it has ended, in whatever way."""

    @property
    def stage(self) -> str:
        """The name of the stage."""
        return self._stage.name

    @property
    def work(self) -> Any:
        """What is done in the stage; None if the agent does it by a method."""
        return self._stage.work

    @property
    def random(self) -> Random:
        """A random stream of this agent's, round's, stage's and visit's own: what others draw does not move it."""
        if self._random is None:
            self._random = stream(self._seed, "turn", self.name, self.round, self.stage, self.visit)
        return self._random

    def intend(self, action: str, *, priority: int = 0, **arguments: Any) -> None:
        """Want something to happen: an action, with arguments in plain data.

        Raises `InvalidValue`, `InvalidSetting`, `TurnForfeited`.
        """
        self._enter()
        # Said here, where it is this agent's mistake, and not when all that was intended is decided.
        check_instance("intend.action", action, str, "the name of an action, as text")
        check_number("intend.priority", priority, least=-_WIDE, whole=True)
        wanted = {name: freeze(value, name) for name, value in arguments.items()}
        index = self._left + len(self._intents)
        self._intents.append(Intent(self.name, str(freeze(action, "action")), wanted, priority, self.round, self.place, index))
        # The deadline may have passed in between: then the engine has refused it, or never saw it. Either way it is said.
        self._enter()

    def propose(self, kind: str, **parameters: Any) -> None:
        """Propose a mechanism: a kind of rule, with parameters in plain data. Raises as `intend` does."""
        self._enter()
        check_instance("propose.kind", kind, str, "the kind of a mechanism, as text")
        wanted = {name: freeze(value, name) for name, value in parameters.items()}
        self._proposals.append(
            Proposal(self.name, str(freeze(kind, "kind")), wanted, self.round, self.place, len(self._proposals))
        )
        self._enter()

    def forfeit(self, reason: str) -> None:
        """Take nothing more. For the engine."""
        self._forfeited = reason

    def wanted(self) -> tuple[list[Intent], list[Proposal]]:
        """Return what was intended and proposed. For the engine."""
        return list(self._intents), list(self._proposals)

    def _enter(self) -> None:
        if self._forfeited or self.over:
            why = self._forfeited or "it has ended, and nothing more can be wanted in it"
            raise TurnForfeited(self.name, self.stage, self.round, why)

    def __repr__(self) -> str:
        return f"<Turn of {self.name} in {self.stage} of round {self.round}>"

    def __deepcopy__(self, memo: object) -> Turn:
        return self
