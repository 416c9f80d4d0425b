"""The report of a run: one HTML page with plots, written into its folder. Needs the extra ``report``."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from coterie.errors import ExtraMissing
from coterie.errors.orchestrator import RunFolderFailed, RunUnknown
from coterie.orchestrator.kind import RunRecord, Summary
from coterie.orchestrator.running import load_run
from coterie.orchestrator.scenario import Scenario

REPORT = "report.html"
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ scenario.name }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { margin-bottom: 0; } h2 { margin-top: 2rem; } .plot, .wide { overflow-x: auto; }
svg { width: 100%; min-width: 34rem; height: auto; } .surprise { color: #b00; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid #ddd; }
td.number { text-align: right; } code { font-size: 13px; overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>{{ scenario.name }}</h1>
<p>{{ scenario.description }}</p>
<p><strong>{{ summary.headline }}</strong> · {{ scenario.kind }} · seed {{ scenario.seed }}
{% for name, value in summary.figures.items() %}· {{ name }} {{ value }} {% endfor %}</p>
<p>Digest <code>{{ record.digest }}</code></p>
{% for each in summary.surprises %}<p class="surprise"><strong>Not as expected:</strong> {{ each }}</p>{% endfor %}
{% for each in summary.notes %}<p>{{ each }}</p>{% endfor %}
{% for title, svg in plots %}<h2>{{ title }}</h2><div class="plot">{{ svg|safe }}</div>{% endfor %}
{% for table in tables %}<h2>{{ table.title }}</h2><div class="wide"><table>
<tr>{% for name in table.columns %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in table.rows %}<tr>{% for cell in row %}<td{% if cell is number %} class="number"{% endif %}>{{ cell }}</td>
{% endfor %}</tr>{% endfor %}</table></div>{% endfor %}
{% if record.costs %}<h2>Costs</h2><div class="wide"><table>
<tr>{% for name in record.costs[0] %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in record.costs %}<tr>{% for value in row.values() %}<td>{{ value }}</td>{% endfor %}</tr>{% endfor %}</table></div>{% endif %}
{% if summary.lines %}<h2>Course</h2>{% for line in summary.lines %}<p>{{ line }}</p>{% endfor %}{% endif %}
</body>
</html>
"""


def require_report(what: str = "a report") -> None:
    """Raise `ExtraMissing` for `what` if the extra ``report`` is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("matplotlib", "jinja2")):
        raise ExtraMissing(what, "report")


def write_report(path: Path) -> Path:
    """Write the report of the run in the folder `path`, and return its path.

    Raises `RunUnknown`, `RunFolderFailed`, and `ExtraMissing` without the extra ``report``.
    """
    require_report()
    scenario, record = load_run(path)
    if not record.finished and not record.steps:
        raise RunUnknown(path, "it did not come to its end, so there is nothing to report; resume it first")
    page = scenario.kind.page(scenario.parameters, record, path)
    if page is None:
        page = _page(scenario, record, scenario.kind.summarise(scenario.parameters, record))
    temporary = path / f".{REPORT}.part"
    try:
        temporary.write_text(page, encoding="utf-8")
        return temporary.replace(path / REPORT)
    except OSError as error:
        raise RunFolderFailed(path, error) from error


def _page(scenario: Scenario, record: RunRecord, summary: Summary) -> str:
    # Half a second of imports, and only with the extra.
    import jinja2  # noqa: PLC0415

    from coterie.orchestrator import plots  # noqa: PLC0415

    drawn: list[tuple[str, Any]] = [(plot.title, plots.lines(plot)) for plot in summary.plots]
    if record.timeline:
        drawn.append(("Time line", plots.timeline(record.timeline, len(record.steps))))
    tables = [*summary.tables, *([summary.history] if summary.history is not None else [])]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_PAGE).render(
        scenario=scenario.parameters, record=record, summary=summary, plots=drawn, tables=tables
    )
