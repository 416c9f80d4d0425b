"""The page of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from coterie.rounds.engine.timeline import Span
from coterie_examples.commons import plots
from coterie_examples.commons.fishing import Month
from coterie_examples.commons.inequality import gini
from coterie_examples.commons.run import CommonsOutcome
from coterie_examples.commons.scenario import CommonsScenario

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ scenario.name }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { margin-bottom: 0; } h2 { margin-top: 2rem; } .plot { overflow-x: auto; } svg { width: 100%; min-width: 34rem; height: auto; }
.wide { overflow-x: auto; } summary { cursor: pointer; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid #ddd; }
td.number, th.number { text-align: right; } code { font-size: 13px; overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>{{ scenario.name }}</h1>
<p>{{ scenario.description }}</p>
<p><strong>{{ ended }}</strong> · mode {{ scenario.mode }} · seed {{ scenario.seed }} · {{ outcome.total }} units caught ·
Gini coefficient {{ "%.3f"|format(inequality) }}{% if forfeits %} · {{ forfeits }} turns forfeited{% endif %}</p>
<p>Digest of the world at the end: <code>{{ outcome.digest }}</code></p>
{% for surprise in outcome.surprises %}<p><strong>Not as expected:</strong> {{ surprise }}</p>{% endfor %}
<h2>Stock</h2><div class="plot">{{ stock|safe }}</div>
<h2>Harvest by agent</h2><div class="plot">{{ harvest|safe }}</div>
<details{% if fishers|length <= 12 %} open{% endif %}><summary>{{ fishers|length }} fishers</summary>
<table>
<tr><th>fisher</th><th>strategy</th><th class="number">harvest</th></tr>
{% for name, rule, caught in fishers %}<tr><td>{{ name }}</td><td>{{ rule }}</td><td class="number">{{ caught }}</td></tr>
{% endfor %}</table></details>
<h2>Inequality</h2><div class="plot">{{ gini_plot|safe }}</div>
<h2>Accepted mechanisms</h2>
{% if accepted %}<table>
<tr><th class="number">month</th><th>mechanism</th><th>parameters</th><th>proposed by</th></tr>
{% for month, kind, parameters, by in accepted %}<tr><td class="number">{{ month }}</td><td>{{ kind }}</td>
<td>{{ parameters }}</td><td>{{ by }}</td></tr>
{% endfor %}</table>{% else %}<p>None.</p>{% endif %}
{% if fallbacks %}<h2>Where the model failed</h2>
<table><tr><th class="number">month</th><th>fisher whose rule decided</th><th>why</th></tr>
{% for month, fisher, why in fallbacks %}<tr><td class="number">{{ month }}</td><td>{{ fisher }}</td><td>{{ why }}</td></tr>
{% endfor %}</table>{% endif %}
{% if costs %}<h2>Costs of {{ scenario.model.name }}</h2>
<table><tr>{% for name in costs[0] %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in costs %}<tr>{% for value in row.values() %}<td>{{ "%.4g"|format(value) if value is float else value }}</td>{% endfor %}</tr>
{% endfor %}</table>{% endif %}
<h2>Time line</h2>
<p>Who waited for whom, in mode {{ scenario.mode }}. It differs from run to run; the digest does not.</p>
<div class="plot">{{ timeline|safe }}</div>
<h2>Digests</h2>
<table><tr><th class="number">month</th><th>digest</th></tr>
{% for month in months %}<tr><td class="number">{{ month.number }}</td><td><code>{{ month.digest }}</code></td></tr>
{% endfor %}</table>
</body>
</html>
"""


def page(
    scenario: CommonsScenario,
    months: Sequence[Month],
    outcome: CommonsOutcome,
    spans: Sequence[Span],
    costs: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the report of a run: one self-contained HTML page with plots. `costs` are those of its model."""
    accepted = [
        (month.number, kind, _told({key: value for key, value in each.items() if key != "by"}), each["by"])
        for month in months
        for kind, each in sorted(month.accepted.items())
    ]
    fishers = [(name, _told(fisher.rule.model_dump()), outcome.harvest[name]) for name, fisher in scenario.fishers().items()]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_PAGE).render(
        scenario=scenario,
        outcome=outcome,
        months=months,
        ended=f"collapsed in month {outcome.months}" if outcome.collapsed else f"{outcome.months} months, no collapse",
        inequality=gini(list(outcome.harvest.values())),
        forfeits=sum(len(month.forfeits) for month in months),
        stock=plots.stock(months, scenario.lake.capacity),
        harvest=plots.harvest(months),
        gini_plot=plots.inequality(months),
        timeline=plots.timeline(spans, len(months)),
        accepted=accepted,
        costs=costs if scenario.model is not None else (),
        fallbacks=[(month.number, *each) for month in months for each in sorted(month.fallbacks.items())],
        fishers=fishers,
    )


def _told(settings: dict[str, object]) -> str:
    return ", ".join(f"{key} {value}" if key != "rule" else f"{value}" for key, value in settings.items()) or "none"
