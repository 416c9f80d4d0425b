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
    """The base of all rules. A rule has no state: the same situation and stream give the same answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @abstractmethod
    def ask(self, situation: Situation, random: Random) -> int:
        """Return the requested amount: a whole number, 0 or more."""


class Constant(Rule):
    """Requests the same amount every month."""

    rule: Literal["constant"]
    amount: int = Field(ge=0)

    def ask(self, situation: Situation, random: Random) -> int:  # noqa: ARG002, D102 - see Rule
        return self.amount


class Portion(Rule):
    """Requests a part of the stock, rounded down."""

    rule: Literal["portion"]
    part: float = Field(ge=0, le=1)

    def ask(self, situation: Situation, random: Random) -> int:  # noqa: ARG002, D102 - see Rule
        # Rounded to a billionth, so that 0.1 of 30 is 3 in spite of binary fractions.
        return int(round(self.part * situation.stock, 9))


class FairShare(Rule):
    """Requests its share of the catch after which the lake grows back to its present stock."""

    rule: Literal["fair-share"]

    def ask(self, situation: Situation, random: Random) -> int:  # noqa: ARG002, D102 - see Rule
        surplus = situation.stock - situation.stock / situation.growth
        return int(round(surplus / situation.fishers, 9))


class Greedy(Rule):
    """Requests the whole stock."""

    rule: Literal["greedy"]

    def ask(self, situation: Situation, random: Random) -> int:  # noqa: ARG002, D102 - see Rule
        return situation.stock


class Cautious(Rule):
    """Requests its share of the stock above a part of the lake's capacity, and nothing below it."""

    rule: Literal["cautious"]
    keep: float = Field(default=0.5, ge=0, le=1)

    def ask(self, situation: Situation, random: Random) -> int:  # noqa: ARG002, D102 - see Rule
        return int(max(0.0, situation.stock - self.keep * situation.capacity)) // situation.fishers


class ImitateTheBest(Rule):
    """Repeats last month's request of the fisher with the largest catch; at first it requests `first`.

    Among equal catches it imitates the fisher whose name sorts first.
    """

    rule: Literal["imitate-the-best"]
    first: int = Field(ge=0)

    def ask(self, situation: Situation, random: Random) -> int:  # noqa: ARG002, D102 - see Rule
        if not situation.last:
            return self.first
        best = min(situation.last.items(), key=lambda item: (-item[1].got, item[0]))
        return best[1].asked


class Gamble(Rule):
    """Requests a random number, both ends included."""

    rule: Literal["gamble"]
    least: int = Field(default=0, ge=0)
    most: int = Field(ge=0)

    def ask(self, situation: Situation, random: Random) -> int:  # noqa: ARG002, D102 - see Rule
        return random.randint(min(self.least, self.most), max(self.least, self.most))


Strategy = Annotated[Constant | Portion | FairShare | Greedy | Cautious | ImitateTheBest | Gamble, Field(discriminator="rule")]
"""Any of the rules; a scenario names it by its `rule`."""
