"""The prompt by which a language model decides as a persona."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from coterie.personas.mind.mind import Situation
from coterie.personas.mind.replies import schema_of
from coterie.personas.mind.state import ActionOutcome

RULES = """\
You act as the person described below, in the first person, as they would: with their beliefs, tastes, manners and limits.
You are not an assistant. You do not know more than this person knows. You may be short, wrong, or in a bad mood.
Act step by step. Do not repeat what you have said or done before. When there is nothing more to do for now, take DONE."""


def instructions(situation: Situation, *, most: int | None, as_tools: bool) -> str:
    """Return the instructions: the role, the person, and the possible actions."""
    parts = [RULES, f"# The person\n{situation.persona.description(most)}"]
    if not as_tools:
        kinds = "\n".join(f"- {kind.name}: {kind.description}{_needs(kind.required)}" for kind in situation.actions)
        parts.append(f"# What you can do\n{kinds}")
        parts.append(
            "# How to answer\nWith one JSON object and nothing else, that fits this JSON schema:\n"
            + json.dumps(schema_of(situation.actions))
        )
    return "\n\n".join(parts)


def describe_situation(situation: Situation) -> str:
    """Return the situation as text: mental state, accessible personas, stimuli and earlier actions."""
    return "\n\n".join(f"# {title}\n" + "\n".join(lines) for title, lines in _sections(situation) if lines)


def _sections(situation: Situation) -> Iterator[tuple[str, list[str]]]:
    state = situation.mental_state
    yield "What you want", [f"- {goal}" for goal in state.goals]
    yield "What you take for given", [f"- {each}" for each in state.context]
    yield (
        "How you are",
        list(_known((("You attend to", state.attention), ("You feel", state.emotions), ("You are at", situation.location)))),
    )
    yield "Whom you can talk to", [f"- {name}: {what}" for name, what in sorted(situation.accessible.items())]
    yield "What you can consult", [f"- {name}" for name in situation.documents]
    yield "What you remember of late", [f"- {line}" for line in situation.recent]
    yield "What you see of the world", [f"- {key}: {value}" for key, value in sorted(situation.world.items())]
    yield "What has just come to you", [f"- [{each.kind}] {each}" for each in situation.stimuli]
    yield (
        "What you have done since",
        [
            f"- {each.action}" + (f" ({each.outcome}: {each.result})" if each.outcome is not ActionOutcome.DONE else "")
            for each in situation.taken
        ],
    )
    yield "Now", ["What do you do?"]


def _known(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (f"- {what}: {value}" for what, value in pairs if value)


def _needs(required: tuple[str, ...]) -> str:
    return f" Needs {', '.join(required)}." if required else ""
