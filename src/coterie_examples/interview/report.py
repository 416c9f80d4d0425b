"""The page of a report about an interview."""

from __future__ import annotations

from collections.abc import Sequence

import jinja2

from coterie.personas import Persona, Question
from coterie_examples.interview.run import INTERVIEWER, InterviewOutcome
from coterie_examples.interview.scenario import InterviewScenario

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ scenario.name }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { margin-bottom: 0; } h2 { margin-top: 2rem; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid #ddd; vertical-align: top; }
td.number, th.number { text-align: right; } code { font-size: 13px; overflow-wrap: anywhere; }
.bar { display: inline-block; height: .7rem; background: #4a90a4; } .asked { font-weight: 600; margin-top: 1rem; }
.wide { overflow-x: auto; } td.number { font-variant-numeric: tabular-nums; }
h3 { margin: 1.2rem 0 .2rem; font-size: 1rem; } .said { margin: .2rem 0 .2rem 1rem; white-space: pre-wrap; } .warning { color: #b00; }
</style>
</head>
<body>
<h1>{{ scenario.name }}</h1>
<p>{{ scenario.description }}</p>
<p>{{ outcome.group.topic }} · {{ personas|length }} personas · {{ scenario.questions|length }} questions · seed {{ scenario.seed }} ·
{{ scenario.model.name if scenario.model else "played by rules" }} · ended: {{ outcome.group.ended }}</p>
<p>Digest <code>{{ outcome.digest }}</code></p>
{% for each in outcome.group.missed %}<p class="warning">{{ each }}</p>{% endfor %}
{% for name, count in outcome.fallbacks.items() %}<p class="warning">{{ name }}: rules decided {{ count }} times where the model failed</p>{% endfor %}
<h2>Personas</h2>
<ul>{% for persona in personas %}<li>{{ persona.summary() }}</li>{% endfor %}</ul>
<h2>Answers</h2>
<div class="wide"><table><tr><th>persona</th>{% for question in questions %}<th class="{{ ranged(question.kind) }}">{{ question.name.replace("_", " ") }}</th>{% endfor %}<th>found by</th></tr>
{% for row in outcome.table.rows %}<tr><td>{{ row.persona }}</td>
{% for question in questions %}<td class="{{ ranged(question.kind) }}">{{ shown(row.values.get(question.name)) }}</td>{% endfor %}
<td>{{ row.by }}{% if row.reason %} ({{ row.reason }}){% endif %}</td></tr>
{% endfor %}</table></div>
{% for question, counts in tallies %}<h3>{{ question.text }}</h3>
<table>{% for answer, count in counts %}<tr><td>{{ answer or "no answer" }}</td><td class="number">{{ count }}</td>
<td><span class="bar" style="width: {{ 12 * count }}px"></span></td></tr>{% endfor %}</table>{% endfor %}
{% if outcome.costs %}<h2>Costs</h2>
<div class="wide"><table><tr>{% for name, value in outcome.costs[0].items() %}<th class="{{ ranged(value) }}">{{ name.replace("_", " ") }}</th>{% endfor %}</tr>
{% for row in outcome.costs %}<tr>{% for value in row.values() %}<td class="{{ ranged(value) }}">{{ shown(value) }}</td>{% endfor %}</tr>
{% endfor %}</table></div>{% endif %}
<h2>Transcript</h2>
{% for line in outcome.group.transcript.lines %}{% if line.speaker == interviewer %}<p class="asked">{{ line.text }}</p>
{% else %}<p class="said"><strong>{{ line.speaker }}:</strong> {{ line.text }}</p>{% endif %}{% endfor %}
</body>
</html>
"""


def page_of_interview(scenario: InterviewScenario, outcome: InterviewOutcome, personas: Sequence[Persona]) -> str:
    """Return the report of an interview: one self-contained HTML page."""
    questions = outcome.table.questions
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_PAGE).render(
        scenario=scenario,
        outcome=outcome,
        personas=personas,
        questions=questions,
        interviewer=INTERVIEWER,
        shown=_shown,
        ranged=_ranged,
        tallies=[(each, _tally(outcome, each)) for each in questions if each.kind != "text"],
    )


def _tally(outcome: InterviewOutcome, question: Question) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for value in outcome.table.column(question.name).values():
        counts[_shown(value)] = counts.get(_shown(value), 0) + 1
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _ranged(value: object) -> str:
    """Return the CSS class of a cell: numbers are aligned to the right. `value` is a cell's, or the kind of a question."""
    number = value in ("integer", "number") or (isinstance(value, int | float) and not isinstance(value, bool))
    return "number" if number else "text"


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
