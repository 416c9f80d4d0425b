"""Parse the replies of models: tool calls, or JSON in a text, in its usual variants."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from coterie.errors.personas import UnusableReply
from coterie.models import ModelReply, ToolDefinition
from coterie.personas.mind.actions import ActionKind, ActionSet
from coterie.personas.mind.mind import Decision
from coterie.personas.mind.state import MentalState, PersonaAction
from coterie.personas.profile.persona import as_text
from coterie.personas.profile.reading import type_name

MIND = "CHANGE_MIND"
"""The tool by which a model changes the mental state."""
_MAX_ACTIONS = 20
_MAX_STARTS = 50
"""Braces at which to look for an object, which bounds the search in a text of many braces."""
_STATE = {
    "goals": {"type": "array", "items": {"type": "string"}, "description": "what you pursue now, the most urgent first"},
    "context": {"type": "array", "items": {"type": "string"}, "description": "what you take for given about what goes on"},
    "attention": {"type": "string", "description": "what you attend to"},
    "emotions": {"type": "string", "description": "how you feel"},
}
_DECODER = json.JSONDecoder()


def schema_of(actions: ActionSet) -> dict[str, Any]:
    """Return the JSON schema of a whole decision: actions and mental state."""
    extra: dict[str, Any] = {}
    for kind in actions:
        extra.update({name: schema for name, schema in kind.properties.items() if name not in ("content", "target")})
    properties: dict[str, Any] = {
        "type": {"type": "string", "enum": list(actions.names)},
        "content": {"type": "string"},
        "target": {"type": "string"},
    }
    if extra:
        properties["arguments"] = {"type": "object", "properties": extra}
    return {
        "type": "object",
        "properties": {
            "actions": {"type": "array", "items": {"type": "object", "properties": properties, "required": ["type"]}},
            "mental_state": {"type": "object", "properties": _STATE},
        },
        "required": ["actions"],
    }


def tools_of(actions: ActionSet) -> tuple[ToolDefinition, ...]:
    """Return the actions as tools, and one more that changes the mental state."""
    tools = [ToolDefinition(kind.name, kind.description, kind.schema()) for kind in actions]
    change = {"type": "object", "properties": _STATE, "required": []}
    return (*tools, ToolDefinition(MIND, "Says what you want and feel now, where that has changed.", change))


def decision_of(reply: ModelReply, actions: ActionSet, before: MentalState) -> Decision:
    """Return the decision of a model. Raises `UnusableReply`, with a text by which the model can correct it."""
    if reply.calls:
        state, wanted = before, []
        for call in reply.calls:
            if call.name == MIND:
                state = _state(call.arguments, state)
            else:
                wanted.append(_action(call.name, call.arguments, actions))
        return Decision(tuple(wanted), state if state != before else None)
    document = _document(reply.text)
    entries = document.get("actions", document.get("action"))
    if isinstance(entries, Mapping):
        entries = [entries]
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise UnusableReply('there is no list under "actions"')
    if len(entries) > _MAX_ACTIONS:
        raise UnusableReply(f"there are {len(entries)} actions, and at most {_MAX_ACTIONS} at a time are possible")
    changes = document.get("mental_state", document.get("cognitive_state"))
    state = before if changes is None else _state(changes, before)
    return Decision(tuple(_entry(each, actions) for each in entries), state if state != before else None)


def object_in(text: str) -> Any:
    """Return the first JSON object in a text, fenced or between words, or None."""
    start = text.find("{")
    for _ in range(_MAX_STARTS):
        if start < 0:
            break
        try:
            return _DECODER.raw_decode(text, start)[0]
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
    return None


def _document(text: str) -> Mapping[str, Any]:
    if not text.strip():
        raise UnusableReply("the reply is empty; answer with a JSON object")
    found = object_in(text)
    if not isinstance(found, dict):
        raise UnusableReply("the reply holds no JSON object that is whole")
    return {"actions": [found]} if "actions" not in found and "action" not in found and "type" in found else found


def _entry(entry: Any, actions: ActionSet) -> PersonaAction:
    if not isinstance(entry, Mapping):
        raise UnusableReply(f"an action is {type_name(entry)}; it is an object with a type")
    name = entry.get("type", entry.get("kind", entry.get("name")))
    if not isinstance(name, str):
        raise UnusableReply("an action has no type")
    arguments = entry.get("arguments")
    if arguments is not None and not isinstance(arguments, Mapping):
        raise UnusableReply(f"the arguments of {name} are {type_name(arguments)}; they are an object")
    given = {key: value for key, value in entry.items() if key not in ("type", "kind", "name", "arguments")}
    return _action(name, {**given, **(arguments or {})}, actions)


def _action(name: str, given: Mapping[str, Any], actions: ActionSet) -> PersonaAction:
    kind = actions.find(name)
    if kind is None:
        nearest = actions.nearest(name)
        hint = f"did you mean {nearest}?" if nearest else f"there are {', '.join(actions.names)}"
        raise UnusableReply(f"there is no action {name!r}; {hint}")
    known = _known(given, kind)
    if problem := kind.problem(known):
        raise UnusableReply(problem)
    content, target = known.pop("content", None), known.pop("target", None)
    return PersonaAction(kind.name, _text(content), _text(target), known)


def _known(given: Mapping[str, Any], kind: ActionKind) -> dict[str, Any]:
    """Return the arguments of an action, without empty ones that a model adds only because the schema has them."""
    known = {}
    for key, value in given.items():
        if value is None or (key not in kind.properties and value in ("", [], {})):
            continue
        if key == "content" and kind.properties.get("content", {}).get("type") == "string":
            value = _text(value)  # noqa: PLW2901 - a number or a list in place of its text
        if key == "target" and key not in kind.properties:
            continue
        known[key] = value
    return known


def _state(changes: Any, before: MentalState) -> MentalState:
    if not isinstance(changes, Mapping):
        raise UnusableReply(f"the mental state is {type_name(changes)}; it is an object")
    goals, context = (_list(changes[key]) if changes.get(key) is not None else None for key in ("goals", "context"))
    attention, emotions = (_text(changes[key]) if changes.get(key) is not None else None for key in ("attention", "emotions"))
    return before.changed(goals=goals, context=context, attention=attention, emotions=emotions)


def _list(value: Any) -> tuple[str, ...]:
    entries = value if isinstance(value, list | tuple) else [value]
    return tuple(text for text in map(_text, entries) if text)


def _text(value: Any) -> str:
    return as_text(value).strip()
