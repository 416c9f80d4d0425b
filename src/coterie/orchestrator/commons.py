"""The commons: fishers, each an agent with a rule, and a lake that settles each month.

The rules of the lake are those published with GovSim (Piatti et al., "Cooperate or Collapse", 2024): all ask at the
same time; if together they ask for more than there is, what there is gets shared out; if too little is left the lake
has collapsed, and otherwise the stock multiplies, up to what the lake can hold.
"""

from __future__ import annotations

import asyncio

import msgspec

from coterie.errors import DeliveryError, describe
from coterie.kernel import stream
from coterie.messaging import Request
from coterie.orchestrator.scenario import Lake as LakeSettings
from coterie.orchestrator.sharing import RULES
from coterie.orchestrator.strategies import Catch, Rule, Situation
from coterie.runtime import Agent, AgentRef, on


class Decide(Request[int]):
    """Asks a fisher how much it wants this month."""

    situation: Situation


class Month(msgspec.Struct, frozen=True):
    """What happened in one month."""

    number: int
    before: int
    """The stock when the month began."""
    asked: dict[str, int]
    caught: dict[str, int]
    left: int
    """The stock after the catch."""
    after: int
    """The stock when the next month begins."""
    collapsed: bool
    forfeits: dict[str, str]
    """Fishers that did not decide, and why; they asked for nothing."""


class Settle(Request[Month]):
    """Has the lake go through its next month."""


class Fisher(Agent):
    """Decides by a rule. What is random in it follows from the seed, its name and the month, and from nothing else."""

    def __init__(self, rule: Rule, seed: int) -> None:
        self.rule = rule
        self.seed = seed

    @on
    def decide(self, message: Decide) -> int:
        """Return how much to ask for."""
        random = stream(self.seed, "fisher", self.context.self_ref.name, message.situation.month)
        return self.rule.ask(message.situation, random)


class Lake(Agent):
    """Holds the stock, asks the fishers, and settles."""

    def __init__(self, settings: LakeSettings, fishers: list[AgentRef], seed: int, turn_timeout: float) -> None:
        self.settings = settings
        self.fishers = fishers
        self.seed = seed
        self.turn_timeout = turn_timeout
        self.stock = settings.stock
        self.month = 0
        self.last: dict[str, Catch] = {}

    @on
    async def settle(self, message: Settle) -> Month:  # noqa: ARG002 - it says nothing but that it is time
        """Go through a month: all fishers decide at the same time, then what they asked for is shared out."""
        settings = self.settings
        self.month += 1
        before = self.stock
        situation = Situation(self.month, before, settings.capacity, settings.growth, len(self.fishers), self.last)
        forfeits: dict[str, str] = {}
        amounts = await asyncio.gather(*(self._decision(fisher, situation, forfeits) for fisher in self.fishers))
        asked = dict(zip((fisher.name for fisher in self.fishers), amounts, strict=True))
        caught = RULES[settings.sharing](asked, before, stream(self.seed, "sharing", self.month))
        left = before - sum(caught.values())
        collapsed = left < settings.collapse_below
        self.stock = left if collapsed else min(settings.capacity, int(left * settings.growth))
        self.last = {name: Catch(asked[name], caught[name]) for name in asked}
        return Month(self.month, before, asked, caught, left, self.stock, collapsed, forfeits)

    async def _decision(self, fisher: AgentRef, situation: Situation, forfeits: dict[str, str]) -> int:
        try:
            return max(0, await fisher.ask(Decide(situation), timeout=self.turn_timeout))
        except DeliveryError as error:
            forfeits[fisher.name] = describe(error)
            return 0
