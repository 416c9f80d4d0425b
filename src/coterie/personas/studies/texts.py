"""Records of personas and simulations as text: what a model judges, and what a person reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from coterie.personas.agent.messages import Dialogue
from coterie.personas.agent.state import Episode, PersonaState
from coterie.personas.focus_group import FocusGroup
from coterie.personas.profile.persona import Persona
from coterie.personas.reference import PersonaRef
from coterie.personas.survey import AnswerTable
from coterie.personas.surveyor import Survey
from coterie.rounds import Result
from coterie.tables import DataTable
from coterie.world import Event, View, thaw

_MOST = 60_000
"""Characters of a text that a model is given."""
_MOST_KEYS = 500


def text_of(target: Any, most: int = _MOST) -> str:
    """Return a persona, a dialogue, a survey, a view, a run, plain data, or a list or mapping of these as text for a reader.

    A text of more than `most` characters loses its middle, and says so.
    """
    text = _text(target)
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}\n[... {len(text) - most} characters left out ...]\n{text[-most // 2 :]}"


def _text(target: Any) -> str:  # noqa: C901, PLR0911, PLR0912 - a branch for each kind of record
    match target:
        case str():
            return target
        case PersonaRef():
            return f"# {target.name}\n{target.persona.description()}\n\n{_text(target.state)}"
        case Persona():
            return target.description()
        case PersonaState():
            mental = target.mental_state
            lines = [f"Goals: {'; '.join(mental.goals)}", f"Feels: {mental.emotions}", f"Attends to: {mental.attention}"]
            return "\n".join([*lines, "What they did:", *(f"- {record.action}" for record in target.actions)])
        case Episode():
            return "\n".join(f"{target.who}: {record.action}" for record in target.records)
        case Dialogue():
            return "\n".join(f"{line.speaker or '(all hear)'}: {line.text}" for line in target.lines)
        case FocusGroup():
            return f"{target.topic}\n\n{_text(target.transcript)}"
        case Survey():
            return "\n".join(f"{each.persona}, {each.question}: {each.text or '(no answer)'}" for each in target.answers)
        case AnswerTable():
            return target.table().markdown(1_000)
        case DataTable():
            return target.markdown(1_000)
        case Result():
            return f"{target.rounds} rounds, {target.stopped or 'run to the end'}\n\n{_text(target.view)}"
        case View():
            keys = list(target)
            lines = [f"{key}: {thaw(target[key])}" for key in keys[:_MOST_KEYS]]
            return "\n".join(lines + ([f"and {len(keys) - _MOST_KEYS} more keys"] if len(keys) > _MOST_KEYS else []))
        case Event():
            return f"round {target.round}, {target.agent}: {target.action or target.kind} {dict(target.details)}"
        case Mapping():
            return "\n\n".join(f"{name}:\n{_text(each)}" for name, each in target.items())
        case msgspec.Struct():
            return msgspec.json.encode(target, enc_hook=str).decode()
    if isinstance(target, Iterable):
        return "\n\n".join(map(_text, target))
    return str(target)
