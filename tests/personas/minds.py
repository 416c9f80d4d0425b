"""Models and minds that tests command."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from coterie.models import ModelReply, ModelRequest, TextDelta, ToolCall
from coterie.personas import PersonaAction, Situation

SurveyAnswer = str | ModelReply | BaseException


class Scripted:
    """A model that gives these answers, one after the other; the last one for ever."""

    name = "scripted"

    def __init__(self, *answers: SurveyAnswer | Callable[[ModelRequest], SurveyAnswer]) -> None:
        self.answers = list(answers)
        self.requests: list[ModelRequest] = []

    async def ask(self, request: ModelRequest) -> ModelReply:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, BaseException):
            raise answer
        return ModelReply(text=answer) if isinstance(answer, str) else answer

    async def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        yield await self.ask(request)

    def __deepcopy__(self, memo: object) -> Scripted:
        return self


def says(*actions: dict[str, Any], **mental_state: Any) -> str:
    document: dict[str, Any] = {"actions": list(actions)}
    return json.dumps({**document, "mental_state": mental_state} if mental_state else document)


def calls(*named: tuple[str, dict[str, Any]]) -> ModelReply:
    return ModelReply(calls=tuple(ToolCall(str(number), name, given) for number, (name, given) in enumerate(named)))


class Does:
    """A mind that decides by a function, once each step."""

    def __init__(self, decide: Callable[[Situation], Any]) -> None:
        self._decide = decide

    async def decide(self, situation: Situation) -> Any:
        return self._decide(situation)

    def __deepcopy__(self, memo: object) -> Does:
        return self


DONE = PersonaAction("DONE")
