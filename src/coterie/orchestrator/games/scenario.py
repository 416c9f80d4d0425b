"""What the scenario file of games may say."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from coterie.orchestrator.games.playing import PlayRule
from coterie.runtime import Dedicated, Dispatcher, Leased


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Match(_Part):
    """One game, or several alike."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")
    count: int = Field(default=1, ge=1, le=10_000)
    """How often it is played."""
    x: PlayRule
    """By which rule X plays, who begins."""
    o: PlayRule
    expect: Literal["X", "O", "draw"] | None = None
    """How it is known to end; a run in which it ends otherwise fails."""


class GameRuntime(_Part):
    """How the agents are run. It changes what a run costs, not how it ends."""

    dispatcher: Literal["leased", "dedicated"] = "leased"
    turn_limit: float = Field(default=30.0, gt=0)
    """Seconds for a move; who takes longer has lost."""


class GameScenario(_Part):
    """A whole scenario file of games in meetings."""

    kind: Literal["tic-tac-toe"]
    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")
    description: str = ""
    seed: int = 0
    """What everything random in the run follows from."""
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
        """Return what gives the agents their threads."""
        return Dedicated() if self.runtime.dispatcher == "dedicated" else Leased()
