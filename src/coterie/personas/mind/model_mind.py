"""A mind that asks a language model, and its prompt."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import Literal

from coterie.errors import ContextTooLong, ModelError, ModelHalted, describe
from coterie.errors.personas import UnusableReply
from coterie.kernel import check_number
from coterie.models import Finish, Model, ModelReply, ModelRequest, PromptMessage, TextMessage
from coterie.personas.mind.actions import ActionSet
from coterie.personas.mind.mind import Decision, Mind, Situation, as_decision
from coterie.personas.mind.replies import decision_of, schema_of, tools_of
from coterie.personas.mind.state import ActionOutcome

_UNLIMITED = 1_000_000
_SHOWN = 2_000
"""Characters of an unusable reply that the model is shown again."""


class ModelMind:
    """Asks a language model for a decision; only registered actions are accepted.

    The model answers by a JSON object for a schema of the actions ("schema"), or by calling the actions as tools ("tools"). An
    invalid answer (broken JSON, an unknown action, a missing argument) goes back to the model with its problem, `retries`
    times. If the model still fails, `fallback` decides, and the decision holds the reason; without a fallback the error is
    raised. Errors of the kinds `raises` are always raised: a fallback must not hide an exhausted budget. A prompt that is too
    long for the model is tried once more, with a quarter of the description and without memories.

    Stateless; safe to share if the model is. Recordings find requests by the agent and the label of the decision.
    """

    def __init__(
        self,
        model: Model,
        *,
        fallback: Mind | None = None,
        style: Literal["schema", "tools"] = "schema",
        retries: int = 2,
        raises: tuple[type[ModelError], ...] = (ModelHalted,),
        temperature: float | None = None,
        max_tokens: int | None = None,
        max_description: int | None = 20_000,
        priority: int = 0,
    ) -> None:
        check_number("ModelMind.retries", retries, whole=True)
        check_number("ModelMind.temperature", temperature, optional=True)
        check_number("ModelMind.max_tokens", max_tokens, above=0, whole=True, optional=True)
        check_number("ModelMind.max_description", max_description, above=0, whole=True, optional=True)
        self.model = model
        self.fallback = fallback
        self._style = style
        self._retries = retries
        self._raises = raises
        self._temperature = temperature
        self._max_tokens = max_tokens
        self._max_description = max_description
        self._priority = priority

    def __deepcopy__(self, memo: object) -> ModelMind:
        return self

    async def decide(self, situation: Situation) -> Decision:
        """Return the decision of the model, or of the fallback.

        Without a fallback, raises the errors of the model, and `UnusableReply`.
        """
        attempts, shorter = 0, False
        exchanges: list[PromptMessage] = [TextMessage("user", describe_situation(situation))]
        try:
            while True:
                attempts += 1
                label = situation.label if attempts == 1 else f"{situation.label}/attempt {attempts}"
                try:
                    reply = await self.model.ask(self._request(situation, tuple(exchanges), label, shorter=shorter))
                    found = self._decision(reply, situation)
                except ContextTooLong:
                    if shorter:
                        raise
                    shorter = True
                    exchanges = [TextMessage("user", describe_situation(dataclasses.replace(situation, recent=())))]
                except UnusableReply as error:
                    if attempts > self._retries:
                        raise
                    exchanges += _complaint(reply, error)
                else:
                    return Decision(found.actions, found.mental_state, attempts=attempts)
        except self._raises:
            raise
        except (ModelError, UnusableReply) as error:
            if self.fallback is None:
                raise
            decision = as_decision(await self.fallback.decide(situation))
            return Decision(decision.actions, decision.mental_state, describe(error), attempts)

    def _request(
        self, situation: Situation, exchanges: tuple[PromptMessage, ...], label: str, *, shorter: bool
    ) -> ModelRequest:
        as_tools = self._style == "tools"
        max_description = self._max_description
        if shorter:
            max_description = max(1, min(max_description or _UNLIMITED, len(situation.persona.description())) // 4)
        return ModelRequest(
            instructions=instructions(situation, max_description=max_description, as_tools=as_tools),
            exchanges=exchanges,
            tools=situation.actions.once(tools_of) if as_tools else (),
            schema=None if as_tools else situation.actions.once(schema_of),
            temperature=self._temperature,
            max_tokens=self._max_tokens,
            agent=situation.who,
            step=label,
            priority=self._priority,
        )

    def _decision(self, reply: ModelReply, situation: Situation) -> Decision:
        if reply.finish is Finish.FILTERED:
            raise UnusableReply("the provider refused to say it; answer otherwise")
        try:
            return decision_of(reply, situation.actions, situation.mental_state)
        except UnusableReply:
            if reply.finish is Finish.LENGTH:
                raise UnusableReply("the reply was cut off; be shorter") from None
            raise


def _complaint(reply: ModelReply, error: UnusableReply) -> list[PromptMessage]:
    """Return the bad reply and its problem, for the model to correct."""
    said = reply.text or ", ".join(f"{call.name}({dict(call.arguments)})" for call in reply.calls) or "(nothing)"
    return [
        TextMessage("assistant", said[:_SHOWN]),
        TextMessage("user", f"That cannot be used: {error}. Answer again, in the form that was asked for."),
    ]


# A change of a prompt makes recordings miss: the texts below, in `replies` and in the actions are part of their keys.
RULES = """\
You act as the person described below, in the first person, as they would: with their beliefs, tastes, manners and limits.
You are not an assistant. You do not know more than this person knows. You may be short, wrong, or in a bad mood.
Act step by step. Do not repeat what you have said or done before. When there is nothing more to do for now, take DONE."""


def instructions(situation: Situation, *, max_description: int | None, as_tools: bool) -> str:
    """Return the instructions: the role, the person, and the possible actions."""
    parts = [RULES, f"# The person\n{situation.persona.description(max_description)}"]
    if not as_tools:
        parts.append(situation.actions.once(_instructions_of))
    return "\n\n".join(parts)


def _instructions_of(actions: ActionSet) -> str:
    kinds = "\n".join(f"- {kind.name}: {kind.description}{_needs(kind.required)}" for kind in actions)
    return (
        f"# What you can do\n{kinds}\n\n"
        "# How to answer\nWith one JSON object and nothing else, that fits this JSON schema:\n"
        f"{json.dumps(actions.once(schema_of))}"
    )


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
    # The items one by one: a list of them would first count the keys of the world, which takes as long.
    seen = sorted((key, value) for key, value in situation.world.items())
    yield "What you see of the world", [f"- {key}: {value}" for key, value in seen]
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
