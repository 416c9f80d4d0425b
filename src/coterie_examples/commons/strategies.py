"""The strategies of fishers: rules as data of a scenario, and the functions that apply them."""

from __future__ import annotations

from abc import abstractmethod
from random import Random
from typing import Annotated, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field


class Catch(msgspec.Struct, frozen=True):
    """The request and the catch of one fisher in one month."""

    asked: int
    got: int


class Situation(msgspec.Struct, frozen=True):
    """The situation of a fisher before its decision."""

    month: int
    """Counted from 1."""
    stock: int
    """The stock of the lake."""
    capacity: int
    """The capacity of the lake."""
    growth: float
    """The growth factor of the stock between two months."""
    fishers: int
    """The number of fishers."""
    last: dict[str, Catch]
    """Last month's catches by fisher; empty in the first month."""


class Rule(BaseModel):
    """The base of all rules. A rule keeps nothing: the same situation and stream give the same answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @abstractmethod
    def ask(self, situation: Situation, random: Random) -> int:
        """Return how much to ask for: a whole number, 0 or more."""


class Constant(Rule):
    """Asks for the same every month."""

    rule: Literal["constant"]
    amount: int = Field(ge=0)

    def ask(self, situation: Situation, random: Random) -> int:  # noqa: ARG002, D102 - see Rule
        return self.amount


class Portion(Rule):
    """Asks for a part of the stock, rounded down."""

    rule: Literal["portion"]
    part: float = Field(ge=0, le=1)

    def ask(self, situation: Situation, random: Random) -> int:  # noqa: ARG002, D102 - see Rule
        # To a billionth, so that a tenth of 30 is 3 although 0.1 is not a tenth.
        return int(round(self.part * situation.stock, 9))


class FairShare(Rule):
    """Asks for its part of what can be taken so that the lake grows back to its present stock."""

    rule: Literal["fair-share"]

    def ask(self, situation: Situation, random: Random) -> int:  # noqa: ARG002, D102 - see Rule
        surplus = situation.stock - situation.stock / situation.growth
        return int(round(surplus / situation.fishers, 9))


class Greedy(Rule):
    """Asks for all there is."""

    rule: Literal["greedy"]

    def ask(self, situation: Situation, random: Random) -> int:  # noqa: ARG002, D102 - see Rule
        return situation.stock


class Cautious(Rule):
    """Takes its part of what exceeds a part of the lake's capacity, and nothing while the stock is below that."""

    rule: Literal["cautious"]
    keep: float = Field(default=0.5, ge=0, le=1)

    def ask(self, situation: Situation, random: Random) -> int:  # noqa: ARG002, D102 - see Rule
        return int(max(0.0, situation.stock - self.keep * situation.capacity)) // situation.fishers


class ImitateTheBest(Rule):
    """Asks for what the one who caught most last month had asked for; at first for a number of its own.

    Of several who caught the same, the one whose name comes first is imitated.
    """

    rule: Literal["imitate-the-best"]
    first: int = Field(ge=0)

    def ask(self, situation: Situation, random: Random) -> int:  # noqa: ARG002, D102 - see Rule
        if not situation.last:
            return self.first
        best = min(situation.last.items(), key=lambda item: (-item[1].got, item[0]))
        return best[1].asked


class Gamble(Rule):
    """Asks for a random number, both ends included."""

    rule: Literal["gamble"]
    least: int = Field(default=0, ge=0)
    most: int = Field(ge=0)

    def ask(self, situation: Situation, random: Random) -> int:  # noqa: ARG002, D102 - see Rule
        return random.randint(min(self.least, self.most), max(self.least, self.most))


Strategy = Annotated[Constant | Portion | FairShare | Greedy | Cautious | ImitateTheBest | Gamble, Field(discriminator="rule")]
"""Any of the rules; a scenario names it by its `rule`."""
