"""The parameters of a scenario of games."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, model_validator

from coterie.orchestrator import ScenarioParameters
from coterie.orchestrator.kind import ScenarioPart
from coterie.runtime import Dedicated, Dispatcher, Leased
from coterie_examples.tic_tac_toe.playing import PlayRule


class Match(ScenarioPart):
    """One game, or several alike."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")
    count: int = Field(default=1, ge=1, le=10_000)
    """The number of games."""
    x: PlayRule
    """The rule of X, which begins."""
    o: PlayRule
    expect: Literal["X", "O", "draw"] | None = None
    """The expected result; a run with another result fails."""


class GameRuntime(ScenarioPart):
    """The runtime settings. They change the cost of a run, not its result."""

    dispatcher: Literal["leased", "dedicated"] = "leased"
    turn_limit: float = Field(default=30.0, gt=0)
    """Seconds for a move; a player that takes longer has lost."""


class GameScenario(ScenarioParameters):
    """A whole scenario file of games in meetings."""

    games: Annotated[tuple[Match, ...], Field(strict=False)]
    runtime: GameRuntime = GameRuntime()

    @model_validator(mode="after")
    def _names_differ(self) -> GameScenario:
        if not self.games:
            raise ValueError("games: there is none; add at least one [[games]]")
        for name, count in Counter(match.name for match in self.games).items():
            if count > 1:
                raise ValueError(f"games: the name {name!r} is used {count} times; give every game a name of its own")
        return self

    def dispatcher(self) -> Dispatcher:
        """Return the dispatcher of the agents."""
        return Dedicated() if self.runtime.dispatcher == "dedicated" else Leased()
