"""The mechanisms that fishers can propose: a quota, a tax, a lottery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from coterie.kernel import check_number
from coterie.rounds.proposals import Binding
from coterie.world import Intent
from coterie.world.resolvers import IntentOutcome, Rationing, Resolution, Resolver, Sharing, cut

LAKE = "lake"
"""The key of the stock."""


class _Proposal(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    below: int | None = Field(default=None, ge=0)
    """Propose it only while the stock is below this; without it, every month."""

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the mechanism."""
        return self.model_dump(exclude={"kind", "below"})


class QuotaProposal(_Proposal):
    """Limits each catch."""

    kind: Literal["quota"]
    most: int = Field(ge=0)


class TaxProposal(_Proposal):
    """A part of each catch goes back into the lake."""

    kind: Literal["tax"]
    part: float = Field(ge=0, le=1)


class LotteryProposal(_Proposal):
    """Divides too small a stock by lottery."""

    kind: Literal["lottery"]


Proposes = Annotated[QuotaProposal | TaxProposal | LotteryProposal, Field(discriminator="kind")]


class Quota:
    """Cuts each catch to `most`, which leaves more for the others."""

    def __init__(self, resolver: Resolver, parameters: Mapping[str, Any]) -> None:
        check_number("quota.most", parameters.get("most"))
        self.resolver = resolver
        self.most = parameters["most"]

    def __call__(self, view: Mapping[str, Any], intents: Sequence[Intent], random: Random) -> list[Resolution]:
        """Return one decision for each intent."""
        lessened = [self._less(intent) for intent in intents]
        asked = {id(less): intent for less, intent in zip(lessened, intents, strict=True)}
        return [self._restore(decision, asked[id(decision.intent)]) for decision in self.resolver(view, lessened, random)]

    def _less(self, intent: Intent) -> Intent:
        amount = intent.arguments.get("amount", 0)
        if intent.action != "take" or amount <= self.most:
            return intent
        return msgspec.structs.replace(intent, arguments={**intent.arguments, "amount": self.most})

    def _restore(self, decision: Resolution, intent: Intent) -> Resolution:
        """Return a resolution as one on the original request."""
        if decision.intent is intent:
            return decision
        if decision.outcome is IntentOutcome.REFUSED:
            return msgspec.structs.replace(decision, intent=intent)
        got = decision.details.get("amount", self.most)
        asked = intent.arguments["amount"]
        return cut(intent, decision.effects, f"the quota is {self.most}", amount=got, asked=asked)


class Tax:
    """Returns a part of each catch, rounded down, to the lake."""

    def __init__(self, resolver: Resolver, parameters: Mapping[str, Any]) -> None:
        check_number("tax.part", parameters.get("part"))
        self.resolver = resolver
        self.part = parameters["part"]

    def __call__(self, view: Mapping[str, Any], intents: Sequence[Intent], random: Random) -> list[Resolution]:
        """Return one decision for each intent."""
        return [self._tax(decision) for decision in self.resolver(view, intents, random)]

    def _tax(self, decision: Resolution) -> Resolution:
        got = decision.details.get("amount", 0)
        back = int(round(got * self.part, 9))
        if decision.intent.action != "take" or back == 0:
            return decision
        adds = {key: change + (back if change < 0 else -back) for key, change in decision.effects.adds.items()}
        effects = msgspec.structs.replace(decision.effects, adds=adds)
        reason = f"{decision.reason}, and {back} go back" if decision.reason else f"{back} go back by the tax"
        asked = decision.details.get("asked", decision.intent.arguments.get("amount", got))
        return cut(decision.intent, effects, reason, amount=got - back, asked=asked)


def _lottery(resolver: Resolver, parameters: Mapping[str, Any]) -> Resolver:  # noqa: ARG001 - it has none
    into = resolver.into if isinstance(resolver, Rationing) else "basket/{agent}"
    otherwise = resolver.otherwise if isinstance(resolver, Rationing) else None
    return Rationing(LAKE, into=into, sharing=Sharing.LOTTERY, otherwise=otherwise)


MECHANISMS: dict[str, Binding] = {"lottery": _lottery, "quota": Quota, "tax": Tax}
"""By kind. They bind in the order of their names, so that quota and tax cut the shares of a lottery."""
