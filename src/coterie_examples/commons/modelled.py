"""Fishers that a language model plays, each with its rule as a fallback."""

from __future__ import annotations

from random import Random

from coterie.models import Model
from coterie.personas import ActionKind, MentalState, ModelMind, Persona, PersonaAction, RuleMind
from coterie.personas import Situation as Knows
from coterie.personas.mind.actions import ActionSet
from coterie_examples.commons.strategies import Rule, Situation

_FISH = "FISH"


class Angler:
    """Asks a model for the amount that a fisher takes. Stateless; safe to share if the model is."""

    def __init__(self, model: Model, *, collapse_below: int, fallback: bool = True, temperature: float | None = None) -> None:
        self._model = model
        self._collapse_below = collapse_below
        self._fallback = fallback
        self._temperature = temperature

    async def ask(self, name: str, rule: Rule, situation: Situation, random: Random) -> tuple[int, str]:
        """Return the amount that a fisher takes, and the reason of a decision by its rule; an empty text if the model decided.

        Raises `ModelError` and `UnusableReply` without a fallback, and errors that stop a run.
        """

        def by_rule(_: Knows) -> PersonaAction:
            return PersonaAction(_FISH, arguments={"amount": max(0, int(rule.ask(situation, random)))})

        fallback = RuleMind(by_rule) if self._fallback else None
        mind = ModelMind(self._model, fallback=fallback, temperature=self._temperature)
        decision = await mind.decide(self._knows(name, situation, random))
        amounts = [each.arguments["amount"] for each in decision.actions if each.kind == _FISH]
        if not amounts:
            # No action means that it takes nothing.
            return 0, decision.fallback
        return int(amounts[0]), decision.fallback

    def _knows(self, name: str, situation: Situation, random: Random) -> Knows:
        catches = {
            f"last month's catch of {who}": f"asked {each.asked}, got {each.got}" for who, each in situation.last.items()
        }
        return Knows(
            persona=Persona.of(name, occupation="Fisher", residence="A village by a lake"),
            who=name,
            mental_state=MentalState(
                goals=("To catch as much as you can over the whole year, which needs a lake that lives.",),
                context=(
                    f"{situation.fishers} fishers, you among them, take from the lake once a month, all at the same time.",
                    f"What is left after all have fished is multiplied by {situation.growth:g}, up to {situation.capacity} units.",
                    f"If fewer than {self._collapse_below} units are left, the lake is dead and nobody catches anything any more.",
                    "If together you ask for more than there is, it is shared out.",
                ),
            ),
            actions=ActionSet(
                (
                    ActionKind(
                        _FISH,
                        "Take `amount` units from the lake this month.",
                        lambda *_: None,
                        {"amount": {"type": "integer", "minimum": 0, "maximum": max(0, situation.stock)}},
                        ("amount",),
                        ends=True,
                    ),
                )
            ),
            label=f"month {situation.month}/decide",
            random=random,
            world={"month": situation.month, "units in the lake": situation.stock, **catches},
        )
