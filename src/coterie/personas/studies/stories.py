"""Stories: a record of personas or of a simulation as a page of Markdown, by rules or told by a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from coterie.errors import InvalidSetting
from coterie.errors.personas import DocumentUnreadable
from coterie.models import Model, ModelRequest, TextMessage
from coterie.personas.agent.messages import Dialogue
from coterie.personas.focus_group import FocusGroup
from coterie.personas.studies.texts import text_of
from coterie.personas.survey import AnswerTable
from coterie.personas.surveyor import Survey
from coterie.tables import DataTable
from coterie.world import Event

# A change of this text makes recordings miss: it is part of their keys.
_RULES = """\
You tell what happened as a story in Markdown, for readers who were not there. Keep to the record below: invent no events, and quote
people in their own words."""


def story(title: str, *sources: Any) -> str:
    """Return records as a page of Markdown: dialogues line by line, answers as tables, events by round, other things as text.

    Sources are dialogues, focus groups, surveys, tables, events of a simulation, texts, or mappings of headings to these.
    """
    parts = [f"# {title}", *(_section(each, 2) for each in sources)]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


async def tell_story(model: Model, title: str, *sources: Any, style: str = "") -> str:
    """Return a story that a model tells from records, in Markdown, with its title. Raises `ModelError`."""
    text = "\n\n".join(text_of(each) for each in sources)
    wish = f"\n\nThe style: {style}" if style else ""
    request = ModelRequest(
        instructions=_RULES, exchanges=(TextMessage("user", f"{text}{wish}"),), agent="narrator", step=f"story {title}"
    )
    reply = await model.ask(request)
    told = reply.text.strip()
    return f"{told}\n" if told.startswith("# ") else f"# {title}\n\n{told}\n"


def save_record(source: Any, path: Path | str, title: str = "") -> Path:
    """Write a record as Markdown (``.md``) or JSON (``.json``), or a survey and a table also as CSV, Parquet and others.

    Return the path. Raises `InvalidSetting` for another ending, `TableError`, and `DocumentUnreadable` if it cannot be written.
    """
    target = Path(path)
    if target.suffix in (".md", ".json"):
        text = story(title or target.stem, source) if target.suffix == ".md" else _as_json(source)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise DocumentUnreadable(target, f"it cannot be written: {error.strerror or error}") from error
        return target
    table = source.table if isinstance(source, Survey) else source
    table = table.table() if isinstance(table, AnswerTable) else table
    if not isinstance(table, DataTable):
        raise InvalidSetting("save_record.path", str(path), "a name that ends in .md or .json")
    return table.write(target)


def _section(source: Any, level: int) -> str:  # noqa: PLR0911 - a branch for each kind of record
    match source:
        case FocusGroup():
            missed = "".join(f"\n\n*{each}*" for each in source.missed)
            return f"{'#' * level} {source.topic}\n\n{_lines(source.transcript)}{missed}"
        case Dialogue():
            return _lines(source)
        case Survey():
            missed = "".join(f"\n\n*No answer: {each}*" for each in source.missed)
            return f"{source.table.table().markdown(1_000)}{missed}"
        case AnswerTable():
            return source.table().markdown(1_000)
        case DataTable():
            return source.markdown(1_000)
        case Mapping():
            return "\n\n".join(f"{'#' * level} {name}\n\n{_section(each, level + 1)}" for name, each in source.items())
    if isinstance(source, Iterable) and not isinstance(source, str | bytes):
        several = list(source)
        if several and all(isinstance(each, Event) for each in several):
            return _rounds(several, level)
        return "\n\n".join(_section(each, level) for each in several)
    return text_of(source)


def _lines(dialogue: Dialogue) -> str:
    told = []
    for line in dialogue.lines:
        if "left" in line.details:
            told.append(f"*{line.speaker} leaves: {line.details['left']}*")
        else:
            to = f" (to {line.target})" if line.target else ""
            told.append(f"**{line.speaker}{to}:** {line.text}" if line.speaker else f"*{line.text}*")
    return "\n\n".join([*told, *([f"*{dialogue.ended}*"] if dialogue.ended else [])])


def _rounds(events: list[Event], level: int) -> str:
    """Return the speech, the actions and the interventions of a simulation, round by round."""
    parts: list[str] = []
    now = 0
    for event in events:
        told = _told(event)
        if not told:
            continue
        if event.round != now:
            now = event.round
            parts.append(f"{'#' * level} Round {now}")
        parts.append(told)
    return "\n\n".join(parts)


def _told(event: Event) -> str:
    details = dict(event.details)
    if event.action == "talk" and event.kind == "granted":
        to = f" (to {details['to']})" if details.get("to") else ""
        return f"**{event.agent}{to}:** {details.get('content', '')}"
    if event.action:
        given = ", ".join(f"{key} {value}" for key, value in details.items())
        reason = f": {event.reason}" if event.reason else ""
        return f"{event.agent} wants to {event.action.replace('_', ' ')} ({given}), {event.kind}{reason}"
    made = details.get("interventions", ())
    return "\n\n".join(f"*Intervention {each['intervention']}: {each['reasons'] or 'its condition holds'}*" for each in made)


def _as_json(source: Any) -> str:
    data = source.to_list() if isinstance(source, DataTable) else source
    return msgspec.json.format(msgspec.json.encode(data, enc_hook=str), indent=2).decode() + "\n"
