"""Propositions: claims about personas, dialogues or runs, checked by rules or judged by a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import msgspec

from coterie.errors import InvalidSetting, describe
from coterie.errors.personas import PropositionFailed
from coterie.kernel import check_instance, check_number
from coterie.models import Model, ModelRequest, TextMessage, extract, extract_blocking
from coterie.models.extraction import BlockingModel
from coterie.personas.studies.texts import text_of

_MOST = 9

# A change of this text makes recordings miss: it is part of their keys.
_RULES = f"""\
You judge a claim by the record below, and by nothing else. Give a score from 0, the claim is certainly false, to {_MOST}, it is
certainly true; {_MOST // 2} means that the record does not tell. Give your reasons first, with words from the record."""


class Judgement(msgspec.Struct, frozen=True):
    """The result of a proposition."""

    claim: str
    score: float
    """From 0, false, to 1, true."""
    holds: bool
    """Whether the score reaches the threshold."""
    reasons: str = ""
    by: str = "rule"
    """``rule`` or ``model``."""


class _Verdict(msgspec.Struct):
    reasons: str
    score: Annotated[int, msgspec.Meta(ge=0, le=_MOST)]


Judged: TypeAlias = "Judgement | bool | float | tuple[bool | float, str] | None"
"""The result of a rule: yes or no, or a score from 0 to 1, and perhaps the reasons; None if it cannot tell."""


class Proposition:
    """A claim that can be checked: by `rule`, a function of the target, and where that cannot tell, by `model`.

    ::

        cheap = Proposition("Ada thinks that bread is too expensive", model=gateway)
        judgement = await cheap.judge(ada)
        judgement.score, judgement.holds, judgement.reasons

    The claim holds if its score reaches `threshold`. The target is a persona or its reference, a dialogue, a focus group, a survey, a
    view or result of a simulation, a text, plain data, or several of these. Immutable; safe from any thread if rule and model
    are. Raises `InvalidSetting`.
    """

    def __init__(
        self,
        claim: str,
        rule: Callable[[Any], Judged] | None = None,
        *,
        model: Model | BlockingModel | None = None,
        threshold: float = 0.5,
    ) -> None:
        check_instance("Proposition.claim", claim, str, "a claim, as text")
        if not claim.strip():
            raise InvalidSetting("Proposition.claim", claim, "a claim, as text")
        if rule is not None and not callable(rule):
            raise InvalidSetting("Proposition.rule", rule, "a function of the target")
        if rule is None and model is None:
            raise InvalidSetting("Proposition", claim, "a rule, a model, or both")
        check_number("Proposition.threshold", threshold)
        self.claim = claim
        self.model = model
        self._rule = rule
        self._threshold = threshold

    def __repr__(self) -> str:
        return f"Proposition({self.claim!r})"

    def __deepcopy__(self, memo: object) -> Proposition:
        return self

    def check(self, target: Any) -> Judgement | None:
        """Return the judgement of the rule; None without one, or if it cannot tell. Raises `PropositionFailed`."""
        if self._rule is None:
            return None
        try:
            found = self._rule(target)
        except Exception as error:
            raise PropositionFailed(self.claim, f"its rule raised {describe(error)}") from error
        if found is None or isinstance(found, Judgement):
            return found
        given: Any = found
        score, reasons = given if isinstance(given, tuple) and len(given) == 2 else (given, "")  # noqa: PLR2004 - a pair
        if not isinstance(score, bool | int | float) or not 0 <= score <= 1 or not isinstance(reasons, str):
            raise PropositionFailed(self.claim, f"its rule returned {found!r:.100}; return True, False, or a score from 0 to 1")
        return Judgement(self.claim, float(score), float(score) >= self._threshold, reasons)

    async def judge(self, target: Any, *, label: str = "") -> Judgement:
        """Return the judgement of the rule, or of the model where the rule cannot tell; `label` names it in recordings.

        Raises `PropositionFailed` if neither can tell, and the errors of the model.
        """
        if (found := self.check(target)) is not None:
            return found
        model: Any = self.model
        if not callable(getattr(model, "ask", None)):
            raise self._undecided()
        return self._of(await extract(model, _Verdict, self._request(target, label)))

    def judge_blocking(self, target: Any, *, label: str = "") -> Judgement:
        """Return the same as `judge`, and block the thread; the model must be a `ModelGateway`."""
        if (found := self.check(target)) is not None:
            return found
        model: Any = self.model
        if not callable(getattr(model, "ask_blocking", None)):
            raise self._undecided()
        return self._of(extract_blocking(model, _Verdict, self._request(target, label)))

    def _undecided(self) -> PropositionFailed:
        return PropositionFailed(self.claim, "its rule cannot tell, and there is no model that could be asked here")

    def _request(self, target: Any, label: str) -> ModelRequest:
        text = f"The claim: {self.claim}\n\nThe record:\n{text_of(target)}"
        step = f"{label or 'judge'}: {self.claim}"
        return ModelRequest(instructions=_RULES, exchanges=(TextMessage("user", text),), agent="judge", step=step)

    def _of(self, verdict: _Verdict) -> Judgement:
        score = verdict.score / _MOST
        return Judgement(self.claim, score, score >= self._threshold, verdict.reasons, "model")
