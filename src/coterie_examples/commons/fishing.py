"""The commons: fishers, each with a rule, and a lake that settles each month.

The rules of the lake are those published with GovSim (Piatti et al., "Cooperate or Collapse", 2024). All fishers request at
the same time. If the requests exceed the stock, it is divided. If too little remains, the lake has collapsed; otherwise the
stock is multiplied, up to the capacity of the lake. A month is a round: the fishers perceive, propose, are judged, decide and
fish.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, TypeAlias

import msgspec

from coterie.orchestrator import adjusted
from coterie.rounds import Closing, Edge, Gathering, Graph, Stage, Turn, per_agent, together
from coterie.world import Event
from coterie_examples.commons.bargaining import Agreement, Council
from coterie_examples.commons.judging import JudgeRule
from coterie_examples.commons.mechanisms import LAKE, Proposes
from coterie_examples.commons.modelled import Angler
from coterie_examples.commons.strategies import Catch, Rule, Situation

BASKET = "basket/"
"""The prefix of the keys of total catches."""
_LAST = "last"
GROWTH, COLLAPSE_BELOW = "lake.growth", "lake.collapse_below"
"""The parameters that may be changed while a commons runs."""
FALL_BACK = "fall_back"
"""The action that records a decision by rule in place of a model."""
_MOST_TOLD = 300
"""Characters of a reason that an event tells."""


class Month(msgspec.Struct, frozen=True):
    """The events of one month."""

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
    """Fishers whose turn was forfeited, with the reasons; they requested nothing."""
    accepted: dict[str, dict[str, Any]]
    """Mechanisms that were accepted this month, by kind: their parameters and proposers."""
    digest: str = ""
    """Of the world after the month."""
    fallbacks: dict[str, str] = {}
    """Fishers whose rule decided because the model failed, with the reasons."""


@dataclass(frozen=True)
class Fisher:
    """Decides by a rule, and may propose a mechanism. It has no state: its knowledge is in the world."""

    rule: Rule
    proposes: Proposes | None = None
    delay: float = 0.0
    """The maximum of random delays before perceiving and deciding, in seconds. They do not affect the outcome."""


@dataclass(frozen=True)
class Terms:
    """The fishers' knowledge of the lake beside its stock."""

    capacity: int
    growth: float
    collapse_below: int


StageName: TypeAlias = Literal["perceive", "meet", "propose", "judge", "decide", "fish"]

STAGES: tuple[StageName, ...] = ("perceive", "propose", "judge", "decide", "fish")
"""The stages of a month, in their usual order."""
MEETING: tuple[StageName, ...] = ("perceive", "meet", *STAGES[1:])
"""The stages of a month in which the fishers meet."""


def graph(
    judge: JudgeRule,
    terms: Terms,
    stages: Sequence[str] = STAGES,
    edges: Sequence[tuple[str, str]] | None = None,
    council: Council | None = None,
    fishers: Mapping[str, Fisher] | None = None,
    angler: Angler | None = None,
) -> Graph:
    """Return the round of the commons: these stages, one after the other, or as `edges` say. Raises `InvalidGraph`.

    In the stage "meet" the `fishers` bargain in the `council` about a quota. With an `angler` a model decides their requests;
    if the model fails and the rule decides, they intend ``fall_back``, which is an event.
    """

    @per_agent
    async def perceive(turn: Turn) -> int:
        await _hesitate(turn.agent.delay)
        return int(turn.view[LAKE])

    async def met(gathering: Gathering) -> Agreement:
        assert council is not None
        assert fishers is not None
        return await council.bargain(gathering.round, _wishes(gathering, _situation(gathering, terms), fishers))

    def judged(gathering: Gathering) -> int:
        return judge.judge(gathering)

    @per_agent
    async def decide(turn: Turn) -> int:
        await _hesitate(turn.agent.delay)
        return await _amount(turn, _situation(turn, terms), angler)

    @per_agent
    def fish(turn: Turn) -> None:
        turn.intend("take", amount=turn.inputs.get("decide", 0))

    judged.__name__ = "judge"
    met.__name__, propose = "meet", Stage("propose", _propose, together=False)
    known = {stage.name: stage for stage in (perceive, together(met), propose, together(judged), decide, fish)}
    made = [known[name] for name in stages]
    if edges is None:
        return Graph.chain(*made)
    return Graph(made, [Edge(source, target) for source, target in edges])


def _wishes(gathering: Gathering, situation: Situation, fishers: Mapping[str, Fisher]) -> dict[str, int]:
    """Return the request that each fisher would make alone, at most the stock."""
    asks = {name: int(fishers[name].rule.ask(situation, gathering.random)) for name in gathering.agents}
    return {name: min(situation.stock, max(0, ask)) for name, ask in asks.items()}


def _propose(turn: Turn) -> None:
    """Propose the agreement of the meeting, if this fisher is its proposer, and the fisher's own mechanism."""
    agreement = turn.inputs.get("meet")
    if agreement is not None and agreement.spokesman == turn.name:
        _propose_anew(turn, "quota", {"most": agreement.quota})
    wish = turn.agent.proposes
    if wish is not None and (wish.below is None or turn.inputs.get("perceive", turn.view[LAKE]) < wish.below):
        _propose_anew(turn, wish.kind, wish.parameters())


def _propose_anew(turn: Turn, kind: str, parameters: dict[str, Any]) -> None:
    """Propose a mechanism, unless it is in force."""
    force = turn.view.get(f"mechanism/{kind}")
    if force is None or dict(force["parameters"]) != parameters:
        turn.propose(kind, **parameters)


async def _amount(turn: Turn, situation: Situation, angler: Angler | None) -> int:
    """Return the amount that the fisher takes, by its rule or by a model."""
    rule = turn.agent.rule
    if angler is None:
        return max(0, int(rule.ask(situation, turn.random)))
    amount, reason = await angler.ask(turn.name, rule, situation, turn.random)
    if reason:
        turn.intend(FALL_BACK, why=reason[:_MOST_TOLD])
    return amount


def _situation(turn: Turn, terms: Terms) -> Situation:
    """Return the situation of a fisher."""
    last = {name: Catch(each["asked"], each["got"]) for name, each in turn.view.get(_LAST, {}).items()}
    fishers = len(turn.view.under(BASKET))
    growth = adjusted(turn.view, GROWTH, terms.growth)
    return Situation(turn.round, turn.view[LAKE], terms.capacity, growth, fishers, dict(sorted(last.items())))


class Lake:
    """The growth of the lake at the end of a month."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms

    def __call__(self, closing: Closing) -> None:
        """Count the catches, and let the stock collapse or grow."""
        names = list(closing.view.under(BASKET))
        asked, caught = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
        for event in closing.events:
            if event.action == "take" and event.agent in asked:
                asked[event.agent] += int(event.details.get("asked", event.details.get("amount", 0)))
                caught[event.agent] += int(event.details["amount"]) if event.kind in ("granted", "cut") else 0
        left = int(closing.view[LAKE])
        collapsed = left < adjusted(closing.view, COLLAPSE_BELOW, self._terms.collapse_below)
        growth = adjusted(closing.view, GROWTH, self._terms.growth)
        after = left if collapsed else min(self._terms.capacity, int(left * growth))
        closing.set(LAKE, after)
        closing.set(_LAST, {name: {"asked": asked[name], "got": caught[name]} for name in names})
        before = left + sum(caught.values())
        closing.tell(before=before, asked=asked, caught=caught, left=left, after=after, collapsed=collapsed)
        if collapsed:
            closing.stop("the lake has collapsed")


def beginning(stock: int, names: Iterable[str], terms: Terms) -> dict[str, Any]:
    """Return the initial world of a commons."""
    baskets = {f"{BASKET}{name}": 0 for name in names}
    lasting = int(round((terms.capacity - terms.capacity / terms.growth) / max(1, len(baskets)), 9))
    return {LAKE: stock, "lasting": lasting, _LAST: {}, **baskets}


def months_of(events: Iterable[Event]) -> list[Month]:
    """Return the settled months of a log."""
    months: list[Month] = []
    forfeits: dict[str, str] = {}
    fallbacks: dict[str, str] = {}
    accepted: dict[str, dict[str, Any]] = {}
    settled: dict[str, Any] | None = None
    for event in events:
        if event.kind == "forfeited":
            forfeits[event.agent] = event.reason
        elif event.action == FALL_BACK:
            fallbacks[event.agent] = str(event.details.get("why", ""))
        elif event.kind == "accepted":
            about = event.details
            accepted[about["kind"]] = {"by": event.agent, **dict(about["parameters"])}
        elif event.kind == "settled":
            settled = {key: event.details[key] for key in ("before", "asked", "caught", "left", "after", "collapsed")}
        elif event.kind == "round ended" and settled is not None:
            told = {**settled, "asked": dict(settled["asked"]), "caught": dict(settled["caught"])}
            digest = event.details["digest"]
            months.append(Month(event.round, **told, forfeits=forfeits, accepted=accepted, digest=digest, fallbacks=fallbacks))
            forfeits, fallbacks, accepted, settled = {}, {}, {}, None
    return months


async def _hesitate(most: float) -> None:
    if most > 0:
        # Not from the seed, because delays must not affect the outcome.
        await asyncio.sleep(Random().uniform(0, most))  # noqa: S311 - simulation, not secrets
