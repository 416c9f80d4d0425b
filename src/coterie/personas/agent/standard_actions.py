"""The actions that every persona can take."""

from __future__ import annotations

from coterie.personas.mind import state
from coterie.personas.mind.actions import TARGETED, ActionKind, ActionSet
from coterie.personas.mind.context import ActionContext
from coterie.personas.mind.state import ActionOutcome, ActionResult, PersonaAction

_RECALLED = 5
_MOST_TEXT = 4_000


async def _talk(context: ActionContext, action: PersonaAction) -> ActionResult:
    return await context.channel.talk(action)


async def _reach_out(context: ActionContext, action: PersonaAction) -> ActionResult:
    return await context.channel.reach_out(action)


def _think(context: ActionContext, action: PersonaAction) -> ActionResult:  # noqa: ARG001 - that it was thought is remembered with all actions
    return None


def _remember(context: ActionContext, action: PersonaAction) -> ActionResult:
    context.memory.remember(action.content, "note", importance=0.8)
    return None


def _recall(context: ActionContext, action: PersonaAction) -> ActionResult:
    found = context.memory.recall(action.content, _RECALLED)
    return "You recall: " + "; ".join(found) if found else "Nothing comes to your mind about that."


def _consult(context: ActionContext, action: PersonaAction) -> ActionResult:
    documents = context.documents
    name = action.target or action.content
    text = documents.get(name) or next((documents[each] for each in documents if each.casefold() == name.casefold()), None)
    if text is None:
        return (
            ActionOutcome.REFUSED,
            f"there is nothing called {name!r} to consult; there is {', '.join(documents) or 'nothing'}",
        )
    return f"{name} says: {text[:_MOST_TEXT]}" + (" [...]" if len(text) > _MOST_TEXT else "")


def _done(context: ActionContext, action: PersonaAction) -> ActionResult:  # noqa: ARG001 - it says all by its kind
    return None


STANDARD_ACTIONS = ActionSet(
    (
        ActionKind(
            state.TALK,
            "Say `content`, to the person in `target`, or to all within reach without one.",
            _talk,
            TARGETED,
            ("content",),
        ),
        ActionKind(state.THINK, "Think `content`, for yourself.", _think, required=("content",)),
        ActionKind(
            state.REACH_OUT,
            "Get within reach of the person in `target`; `content` says what they are to you.",
            _reach_out,
            TARGETED,
            ("target",),
            answers=True,
        ),
        ActionKind(state.REMEMBER, "Note `content`, so that you will remember it.", _remember, required=("content",)),
        ActionKind(
            state.RECALL,
            "Ask your memory about `content`; you then see what comes.",
            _recall,
            required=("content",),
            answers=True,
        ),
        ActionKind(
            state.CONSULT,
            "Look into the document named in `content`; you then see it.",
            _consult,
            required=("content",),
            answers=True,
        ),
        ActionKind(state.DONE, "Have nothing more to do for now.", _done, {}, ends=True),
    )
)
"""Talk, think, reach out, remember, recall, consult, done."""
