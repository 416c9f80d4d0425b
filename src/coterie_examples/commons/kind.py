"""The commons as a kind of scenario: fishers that share a lake."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coterie.orchestrator import Adjustable, Bar, RunContext, RunRecord, ScenarioKind, SimulationRun, Summary, Table
from coterie.rounds import RoundResult
from coterie_examples.commons.fishing import COLLAPSE_BELOW, GROWTH, Month, beginning, months_of
from coterie_examples.commons.inequality import gini
from coterie_examples.commons.run import council, outcome_of, simulation_of, terms_of
from coterie_examples.commons.scenario import CommonsScenario


class CommonsKind(ScenarioKind[CommonsScenario]):
    """Fishers that share a lake; a step is a month."""

    parameters = CommonsScenario
    step_name = "month"
    step_event = "month settled"
    compared = ("months", "total", "collapsed")
    measure = "total"

    def build(self, parameters: CommonsScenario, context: RunContext) -> SimulationRun:
        """Return the simulation of the lake."""
        world = context.world(beginning(parameters.lake.stock, parameters.fishers(), terms_of(parameters)))
        meeting_place = context.resources.enter_context(council(parameters, context.meetings))
        return SimulationRun(simulation_of(parameters, world, meeting_place, context.model), parameters.months)

    def adjustable(self, parameters: CommonsScenario) -> Mapping[str, Adjustable]:
        """Return the growth of the lake and the stock below which it collapses."""
        lake = parameters.lake
        return {
            GROWTH: Adjustable(lake.growth, 1, 1_000, "the remaining stock is multiplied by this every month"),
            COLLAPSE_BELOW: Adjustable(lake.collapse_below, 0, lake.capacity, "with fewer units left, the lake is dead"),
        }

    def step(self, result: RoundResult) -> Month:
        """Return the month of a round."""
        return months_of(result.events)[0]

    def describe(self, parameters: CommonsScenario, step: Month) -> str:  # noqa: ARG002 - of the month alone
        """Return a month as one line."""
        state = "collapsed" if step.collapsed else f"grows to {step.after}"
        return f"month {step.number}: stock {step.before}, caught {sum(step.caught.values())}, left {step.left}, {state}"

    def row(self, parameters: CommonsScenario, step: Month) -> Mapping[str, Any]:
        """Return a month as a row, with the lake as a bar."""
        return {
            "month": step.number,
            "stock": step.before,
            "asked": sum(step.asked.values()),
            "caught": sum(step.caught.values()),
            "left": step.left,
            "the lake after the catch": Bar(
                step.left / parameters.lake.capacity, "collapsed" if step.collapsed else "", step.collapsed
            ),
        }

    def summarise(self, parameters: CommonsScenario, record: RunRecord) -> Summary:
        """Return the harvest by fisher, and the months."""
        months: list[Month] = list(record.steps)
        history = Table(
            f"{parameters.name}, mode {parameters.mode}",
            ("month", "stock", "asked", "caught", "left", "accepted", "forfeited", "digest"),
            tuple(
                (
                    month.number,
                    month.before,
                    sum(month.asked.values()),
                    sum(month.caught.values()),
                    month.left,
                    ", ".join(sorted(month.accepted)),
                    ", ".join(sorted(month.forfeits)),
                    month.digest[:12],
                )
                for month in months
            ),
        )
        if not months:
            return Summary("no month was settled", history=history)
        outcome = outcome_of(parameters, months, record.digest)
        ended = f"collapsed in month {outcome.months}" if outcome.collapsed else f"{outcome.months} months, no collapse"
        played = f", played by {parameters.model.name}" if parameters.model is not None else ""
        strategies = {name: fisher.rule.model_dump() for name, fisher in parameters.fishers().items()}
        rows = [
            (name, _described(strategies[name]), caught, f"{caught / outcome.total:.0%}" if outcome.total else "-")
            for name, caught in outcome.harvest.items()
        ]
        result = Table(
            f"{parameters.name}: {ended}{played}",
            ("fisher", "strategy", "harvest", "share"),
            (*rows, ("all", "", outcome.total, "")),
        )
        return Summary(
            ended,
            figures={
                "months": outcome.months,
                "collapsed": outcome.collapsed,
                "total": outcome.total,
                "stock": outcome.stock,
                "gini": round(gini(list(outcome.harvest.values())), 6),
            },
            tables=(result,),
            history=history,
            notes=tuple(
                f"month {month.number}: {fisher}'s rule decided: {why}"
                for month in months
                for fisher, why in month.fallbacks.items()
            ),
            surprises=outcome.surprises,
        )

    def page(self, parameters: CommonsScenario, record: RunRecord, path: Path) -> str:  # noqa: ARG002 - of the record
        """Return the report, with plots of the stock, the harvest and the inequality."""
        from coterie_examples.commons.page import page  # noqa: PLC0415 - it needs the extra `report`

        months = list(record.steps)
        return page(parameters, months, outcome_of(parameters, months, record.digest), record.timeline, record.costs)


def _described(strategy: dict[str, object]) -> str:
    details = ", ".join(f"{key} {value}" for key, value in strategy.items() if key != "rule")
    return f"{strategy['rule']}" + (f" ({details})" if details else "")
