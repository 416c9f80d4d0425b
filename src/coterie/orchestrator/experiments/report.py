"""The report of an experiment: one page of HTML, and the same in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coterie.errors.orchestrator import RunFolderFailed
from coterie.orchestrator.experiments.assignment import Assignment
from coterie.orchestrator.experiments.records import ExperimentResult, as_table
from coterie.orchestrator.report import require_report
from coterie.tables import DataTable

_MOST_RUNS = 1_000
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { margin-bottom: 0; } h2 { margin-top: 2rem; } .wide { overflow-x: auto; } svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-size: 13px; } td, th { padding: .2rem .8rem .2rem 0; text-align: left; border-bottom: 1px solid #ddd; }
td.number { text-align: right; } .failed { color: #b00; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% for line in lines %}<p{% if "failed" in line %} class="failed"{% endif %}>{{ line }}</p>{% endfor %}
{% for name, note, svg, table in sections %}<h2>{{ name }}</h2>{% if note %}<p>{{ note }}</p>{% endif %}
{% if svg %}<div class="wide">{{ svg|safe }}</div>{% endif %}
{% if table %}<div class="wide"><table><tr>{% for column in table %}<th>{{ column }}</th>{% endfor %}</tr>
{% for row in table.to_list() %}<tr>{% for cell in row.values() %}<td{% if cell is number %} class="number"{% endif %}>
{{- "%.4g"|format(cell) if cell is float else ("" if cell is none else cell) }}</td>{% endfor %}</tr>{% endfor %}</table></div>{% endif %}
{% endfor %}
</body>
</html>
"""

Section = tuple[str, str, str, DataTable | None]
"""A title, a note, a plot and a table."""


def write_experiment_report(
    result: ExperimentResult,
    folder: Path | str | None = None,
    *,
    assignment: Assignment | None = None,
    sections: Sequence[tuple[str, str, DataTable | None]] = (),
    confidence: float = 0.95,
) -> list[Path]:
    """Write the report of an experiment, and return its files: ``report.html``, ``report.md``, ``runs.csv``.

    It has the design, the failed runs by name, and for each figure a plot, a summary and the comparisons of the cells. The folder
    is by default that of the experiment. `sections` are further parts: a title, a text, and a table or None. Needs the extras
    ``simulation`` and ``report``. Raises `RunFolderFailed` and `ExtraMissing`.
    """
    require_report()
    target = Path(folder) if folder is not None else result.folder if result.folder is not None else Path()
    parts = [*_parts(result, confidence), *([_assigned(assignment)] if assignment is not None else [])]
    parts += [(title, text, "", table) for title, text, table in sections]
    parts.append((f"Runs{'' if len(result.rows) <= _MOST_RUNS else f', the first {_MOST_RUNS}'}", "", "", _runs(result)))
    return _written(target, result.name, _lines(result), parts, result.table())


def write_study_report(folder: Path | str, title: str, sections: Sequence[tuple[str, str, DataTable | None]]) -> list[Path]:
    """Write a report of any sections, each a title, a text, and a table or None: ``report.html`` and ``report.md``.

    Needs the extra ``report``. Raises `RunFolderFailed` and `ExtraMissing`.
    """
    require_report()
    return _written(Path(folder), title, [], [(name, text, "", table) for name, text, table in sections], None)


def _written(target: Path, title: str, lines: Sequence[str], sections: Sequence[Section], runs: DataTable | None) -> list[Path]:
    import jinja2  # noqa: PLC0415 - half a second of imports, and only with the extra

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(_PAGE).render(title=title, lines=lines, sections=sections)
    text = [f"# {title}", *lines]
    for name, note, _, table in sections:
        text += [f"## {name}", note, table.markdown(_MOST_RUNS) if table is not None else ""]
    written = [target / "report.html", target / "report.md"]
    try:
        target.mkdir(parents=True, exist_ok=True)
        written[0].write_text(page, encoding="utf-8")
        written[1].write_text("\n\n".join(part.strip() for part in text if part.strip()) + "\n", encoding="utf-8")
    except OSError as error:
        raise RunFolderFailed(target, error) from error
    return [*written, *([runs.write(target / "runs.csv")] if runs is not None else [])]


def _lines(result: ExperimentResult) -> list[str]:
    design, failed = result.design, result.failed
    how = "the same seeds in all cells, compared in pairs" if result.paired else "seeds of their own in each cell"
    lines = [
        (
            f"Design: {design.kind}, {len(design.cells)} cells over {', '.join(design.factors) or 'no factor'}; "
            f"{len(result.seeds)} runs in each, {how}; {len(result.rows)} runs."
        )
    ]
    if failed:
        lines.append(f"{len(failed)} runs failed, and are left out of the statistics:")
        lines += [f"failed: {_name(row.settings, row.seed)}: {row.error}" for row in failed]
    return lines


def _parts(result: ExperimentResult, confidence: float) -> list[Section]:
    # Half a second of imports, and only with the extra.
    from coterie.orchestrator.plots import svg  # noqa: PLC0415

    parts: list[Section] = []
    for name in result.measures:
        summary = result.summary(name, confidence=confidence)
        shown = [each for each in summary if each.mean is not None]

        def draw(axes: Any, shown: Sequence[Any] = shown, name: str = name) -> None:
            means = [each.mean for each in shown]
            reach = [0.0 if each.low is None else each.mean - each.low for each in shown]
            axes.errorbar(means, range(len(shown)), xerr=reach, fmt="o", color="#1f6f8b", capsize=3)
            axes.set_yticks(range(len(shown)), [each.name for each in shown])
            axes.invert_yaxis()
            axes.set(xlabel=f"{name}: mean and {100 * confidence:g}% confidence interval")

        plot = svg(draw, height=1.2 + 0.3 * max(1, len(shown))) if shown else ""
        parts.append((name, "", plot, as_table(summary).without("confidence")))
        if len(result.design.cells) > 1:
            compared = as_table(result.compare(name, confidence=confidence)).without("confidence", "paired")
            parts.append((f"{name}: comparisons with the first cell", _TOLD, "", compared))
    return parts


_TOLD = (
    "difference: of the means, with its confidence interval (t) and by the bootstrap; t_p: Welch's or the paired t test; rank_p: "
    "Mann-Whitney or Wilcoxon; effect: Hedges' g, or the standardised mean difference of pairs; dominance: Cliff's delta; "
    "adjusted_p: Holm, over all comparisons of this figure."
)


def _assigned(assignment: Assignment) -> Section:
    counts = ", ".join(f"{arm}: {count}" for arm, count in assignment.counts().items())
    return "Assignment", f"At random with the seed {assignment.seed}: {counts}.", "", assignment.table()


def _runs(result: ExperimentResult) -> DataTable:
    table = result.table()
    return DataTable({name: values[:_MOST_RUNS] for name, values in table.items()})


def _name(settings: dict[str, Any], seed: int) -> str:
    return f"{', '.join(f'{key}={value}' for key, value in settings.items()) or 'all'}, seed {seed}"
