"""The judge of proposals, and its rules."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from coterie.rounds import Gathering, Proposal


class JudgeRule(BaseModel):
    """The base of all judges. A judge has no state: the same gathering gets the same verdicts."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @abstractmethod
    def objection(self, proposal: Proposal, gathering: Gathering) -> str:
        """Return the reason to reject a proposal; an empty text if it is accepted."""

    def judge(self, gathering: Gathering) -> int:
        """Decide about all proposals; return the number of accepted ones."""
        accepted = 0
        for proposal in gathering.proposals:
            if reason := self.objection(proposal, gathering):
                gathering.reject(proposal, reason)
            else:
                gathering.accept(proposal, "it does no harm")
                accepted += 1
        return accepted


class AcceptAll(JudgeRule):
    """Accepts every proposal."""

    rule: Literal["accept-all"]

    def objection(self, proposal: Proposal, gathering: Gathering) -> str:  # noqa: ARG002, D102 - see JudgeRule
        return ""


class RejectAll(JudgeRule):
    """Rejects every proposal."""

    rule: Literal["reject-all"]

    def objection(self, proposal: Proposal, gathering: Gathering) -> str:  # noqa: ARG002, D102 - see JudgeRule
        return "nothing is to change"


class Prudent(JudgeRule):
    """Accepts proposals that protect the stock: a sustainable quota, and a tax of at most `most_tax`."""

    rule: Literal["prudent"] = "prudent"
    most_tax: float = Field(default=0.5, ge=0, le=1)

    def objection(self, proposal: Proposal, gathering: Gathering) -> str:  # noqa: D102 - see JudgeRule
        parameters = proposal.parameters
        if proposal.kind == "quota":
            lasting = gathering.view["lasting"]
            if parameters["most"] > lasting:
                return f"a quota of {parameters['most']} is more than {lasting}, which the lake bears"
            if parameters["most"] == 0:
                return "nobody could live on that"
        if proposal.kind == "tax" and parameters["part"] > self.most_tax:
            return f"a tax of {parameters['part']:g} is more than {self.most_tax:g}"
        return ""


Judge = Annotated[AcceptAll | RejectAll | Prudent, Field(discriminator="rule")]
