"""The answers of the rules: a pure function of the prompt and of the offered tools."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from coterie.models import ModelReply, ModelRequest, ToolCall, ToolResult

from ..numbers import ending
from . import phrases
from .dialogue import Dialogue
from .german import in_german
from .tasks import needed
from .wishes import PUBLIC, TASKS, Wish, understand

_LONG = ("close_contract", "change_package", "purchase_roaming_pass", "get_billing_summary")
_BACK = 6
"""Turns that a wish is remembered while one logs in, or answers a question."""
_ASKED = {
    phrases.ASK_COUNTRY: "get_roaming_info",
    phrases.ASK_DESTINATION: "purchase_roaming_pass",
    phrases.ASK_PASS: "purchase_roaming_pass",
    phrases.ASK_PACKAGE: "change_package",
    phrases.ASK_ALERT: "set_data_alerts",
}
_WORDS = {
    "thanks": "You are welcome.",
    "bye": "Goodbye!",
    "greeting": phrases.GREETING,
    "help": phrases.HELP,
    "log_out": "You are logged out as soon as this conversation is an hour old; close this window to be safe.",
}

_SETTLED = (
    ("retry", r"\b(try|do|start|once) (it |that )?(again|more)\b|\bretry\b|\bagain\b"),
    ("failed", r"\b(not|never|n't|nothing|failed|isn't|wasn't|didn't)\b|n't\b"),
    ("succeeded", r"\b(done|worked|succeeded|closed|changed|bought|arrived|went through|got it)\b"),
)
"""What the customer may say about an operation of unknown outcome; the first that fits counts."""
_WHICH = "Which one shall I cancel?"
_REFUSED = "All right. Nothing has been done."
_CALLED = {
    "close_contract": ("clos", "contract"),
    "change_package": ("change", "package", "upgrade", "switch", "plan"),
    "purchase_roaming_pass": ("pass", "purchas", "roaming"),
    "get_billing_summary": ("bill", "invoice"),
    "get_data_balance": ("data", "balance"),
}
"""By which words an operation is meant."""


def answer(request: ModelRequest) -> ModelReply:
    """Answer a request as a language model would: with calls of tools, or with a text."""
    dialogue = Dialogue.of(request.exchanges)
    reply = _answer(request, dialogue)
    return msgspec.structs.replace(reply, text=in_german(reply.text)) if dialogue.german and reply.text else reply


def _answer(request: ModelRequest, dialogue: Dialogue) -> ModelReply:
    offered = {tool.name for tool in request.tools}
    if not offered:
        # Results to merge with later messages are at the end of the instructions, a line each.
        _, found, outcomes = request.instructions.partition("The outcomes:\n")
        if not found:
            # A front end asks for itself, such as for a title.
            return _say(phrases.TITLE)
        return _say(" ".join(phrases.outcome(line.removeprefix("- ")) for line in outcomes.splitlines()) or phrases.LOST)
    return _Answer(dialogue, offered).reply()


class _Answer:
    """The answer to one turn of one dialogue."""

    def __init__(self, dialogue: Dialogue, offered: set[str]) -> None:
        self.dialogue = dialogue
        self.offered = offered
        self.wish = understand(dialogue.now.question)

    def reply(self) -> ModelReply:
        done = self.dialogue.done
        return self._after(done) if done else self._begin()

    def _begin(self) -> ModelReply:
        """Answer a new question by the first rule that has an answer."""
        for attempt in (self._of_login, self._of_unknown, self._of_consent, self._of_operations, self._of_tasks):
            reply = attempt()
            if reply is not None:
                return reply
        wish = self.wish
        return _say(_WORDS.get(wish.kind) or ("All right." if wish.no or wish.yes else phrases.LOST))

    def _of_login(self) -> ModelReply | None:
        wish, waiting = self.wish, self.dialogue.logging_in()
        if wish.code is not None and waiting is not None:
            return self._call("verify_login", number=waiting, code=wish.code)
        if wish.kind == "log_in":
            number = wish.number or waiting
            return self._call("start_login", number=number) if number else _say("What is your telephone number?")
        if wish.kind == "who":
            number = self.dialogue.number()
            return _say(f"You are logged in with {number}." if number else f"You are not logged in. {phrases.ASK_NUMBER}")
        return _say(phrases.ASK_CODE) if waiting is not None and not wish.kind and not wish.country else None

    def _of_unknown(self) -> ModelReply | None:
        """Settle an operation of unknown outcome by what the customer says to the question about it."""
        last = self.dialogue.last_said()
        if "resolve" not in self.offered or not ("shall I try again?" in last or last == phrases.SETTLE):
            return None
        words = self.dialogue.now.question.lower()
        outcome = next((name for name, pattern in _SETTLED if re.search(pattern, words)), None)
        if outcome is None and not (self.wish.yes or self.wish.no):
            return None
        operation = self.dialogue.unknown()
        if outcome is None or operation is None:
            return _say(phrases.SETTLE) if operation is not None else self._call("check_status")
        return self._call("resolve", operation=operation, outcome=outcome)

    def _of_consent(self) -> ModelReply | None:
        wish, question = self.wish, self._open_question()
        if question is None:
            return None
        if wish.yes and wish.kind not in TASKS:
            return self._call(question.name, **question.arguments)
        if not wish.no or wish.kind not in ("", "cancel"):
            return None
        # Otherwise the request would go on waiting for another person's button.
        operation = self._awaiting()
        return self._call("cancel", operation=operation) if operation else _say(_REFUSED)

    def _of_operations(self) -> ModelReply | None:
        wish = self.wish
        if wish.kind != "status" and not self._cancels():
            return None
        if wish.operation is not None and self._cancels():
            return self._call("cancel", operation=wish.operation)
        return self._call("check_status")

    def _of_tasks(self) -> ModelReply | None:
        wish = self.wish
        asked = self._task_now()
        if asked is None or (wish.kind not in TASKS and (wish.no or wish.kind in _WORDS)):
            return None
        return self._task(asked)

    def _after(self, done: list[tuple[ToolCall, ToolResult]]) -> ModelReply:
        """Answer after calls for this question: make the next call, or report the results."""
        call, result = done[-1]
        following = None if result.failed else self._next(call, result)
        if following is not None:
            return following
        if "nobody is logged in" in result.content:
            return _say(phrases.ASK_NUMBER)
        if result.failed and "queue it with request" in result.content and call.name != "request" and "request" in self.offered:
            return self._call("request", tool=call.name, arguments=dict(call.arguments))
        if is_question(result):
            return _say(question_of(result))
        if call.name == "cancel" and self.wish.no and call.arguments.get("operation") == self._awaiting():
            return _say(_REFUSED)
        alone = call.name in ("request", "cancel")
        told = done[-1:] if alone else [each for each in done if each[0].name != "verify_login" or each[1].failed]
        return _say(" ".join(phrases.spoken(*each) for each in told))

    def _next(self, call: ToolCall, result: ToolResult) -> ModelReply | None:
        if call.name == "start_login":
            return _say(f"{phrases.spoken(call, result)} {phrases.ASK_CODE}")
        if call.name == "verify_login":
            task = self._waiting_task()
            return self._task(*task) if task else _say(f"{phrases.spoken(call, result)} What can I do for you?")
        if call.name == "check_status" and self._cancels():
            return self._cancel(phrases.under_way(result.content))
        if call.name == "get_roaming_info" and "purchase_roaming_pass" in (self._task_now(), self._task_before_login()):
            return _say(f"{phrases.spoken(call, result)} {phrases.ASK_PASS}")
        return None

    def _cancels(self) -> bool:
        """Return whether the customer wants to cancel an operation, or names the one to cancel."""
        if self.wish.kind == "cancel":
            return True
        asked = self.dialogue.last_said().startswith(_WHICH)
        return asked and not self.wish.no and (self.wish.kind in TASKS or not self.wish.kind)

    def _cancel(self, operations: Mapping[str, str]) -> ModelReply | None:
        """Cancel the operation that the question names, or the only one."""
        words = self.dialogue.now.question.lower()
        named = [tool for tool, called in _CALLED.items() if any(word in words for word in called)]
        found = [each for each, tool in operations.items() if tool in named] if named else list(operations)
        if operations and not found:
            return _say(f"{phrases.NAMES[named[0]].capitalize()} is not under way, so there is nothing to cancel.")
        if len(found) == 1:
            return self._call("cancel", operation=found[0])
        if found:
            return _say(
                f"{_WHICH} {'; '.join(f'{each}: {phrases.NAMES.get(operations[each], operations[each])}' for each in found)}."
            )
        return None

    def _task(self, kind: str, wish: Wish | None = None) -> ModelReply:
        """Call the tool of a task, or ask for a missing argument."""
        number = self.dialogue.number()
        if kind not in PUBLIC and number is None:
            return _say(phrases.ASK_NUMBER)
        other = (wish or self.wish).number
        if kind not in PUBLIC and number is not None and other not in (None, number):
            return _say(phrases.OTHERS_NUMBER.format(mine=ending(number), other=ending(str(other))))
        arguments = needed(kind, self._with_details(kind, wish or self.wish), self.dialogue.now.question)
        if isinstance(arguments, str):
            return _say(arguments)
        if kind == "purchase_roaming_pass" and "roaming_pass" not in arguments:
            return self._call("get_roaming_info", **arguments)
        # The result of a long operation is told without the model, so its tool has to know the language.
        language = {"language": "de"} if self.dialogue.german and kind in _LONG else {}
        return self._call(kind, **({} if kind in PUBLIC else {"number": number}), **arguments, **language)

    def _call(self, name: str, **arguments: Any) -> ModelReply:
        """Call a tool; queue one that is not offered now, if possible."""
        if name not in self.offered and "request" in self.offered:
            name, arguments = "request", {"tool": name, "arguments": arguments}
        place = len(self.dialogue.turns) * 100 + len(self.dialogue.done)
        return ModelReply(calls=(ToolCall(f"call-{place}", name, arguments),))

    def _open_question(self) -> ToolCall | None:
        """Return the call that waits for consent: the last call, if no other followed."""
        for turn in reversed(self.dialogue.turns[-4:-1]):
            if understand(turn.question).no:
                return None
            for call, result in reversed(turn.done):
                if call.id.startswith("status-") or call.name == "check_status":
                    continue
                if not is_question(result):
                    return None
                if call.name == "request":
                    return ToolCall("", str(call.arguments.get("tool", "")), _table(call.arguments.get("arguments")))
                return call
        return None

    def _awaiting(self) -> str | None:
        """Return the operation about which the customer was asked last."""
        results = [result.content for turn in self.dialogue.turns[-4:-1] for _, result in turn.done if is_question(result)]
        found = re.search(r"cancel (op-\d+)\.$", results[-1]) if results else None
        return found[1] if found else None

    def _waiting_task(self) -> tuple[str, Wish] | None:
        """Return the request that the customer made before the login."""
        turns = self.dialogue.turns
        for place in range(len(turns) - 2, max(-1, len(turns) - 1 - _BACK), -1):
            wish = understand(turns[place].question)
            if wish.kind in TASKS and wish.kind not in PUBLIC:
                done = [each for turn in turns[place:] for each in turn.done]
                called = {call.arguments.get("tool", call.name) for call, result in done if not result.failed}
                return (wish.kind, wish) if wish.kind not in called else None
        return None

    def _task_before_login(self) -> str | None:
        """Return the request before the login, if the login was made in this turn."""
        logged_in = any(call.name == "verify_login" and not result.failed for call, result in self.dialogue.done)
        task = self._waiting_task() if logged_in else None
        return task[0] if task is not None else None

    def _task_now(self) -> str | None:
        if self.wish.kind in TASKS:
            return self.wish.kind
        last = self.dialogue.last_said()
        return next((task for words, task in _ASKED.items() if last.endswith(words)), None)

    def _with_details(self, kind: str, wish: Wish) -> Wish:
        """Return a wish with details from earlier turns, the newest first."""
        found = {
            name: getattr(wish, name)
            for name in ("country", "package", "roaming_pass", "gigabytes", "percent", "days", "pounds")
        }
        for turn in reversed(self.dialogue.turns[-_BACK:-1]):
            earlier = understand(turn.question)
            related = {kind, "", "log_in"} | ({"get_roaming_info"} if kind == "purchase_roaming_pass" else set())
            if earlier.kind not in related or any(call.name == kind and not result.failed for call, result in turn.done):
                break
            for name, value in found.items():
                found[name] = getattr(earlier, name) if value is None else value
        return Wish(wish.kind, off=wish.off, **found)


def is_question(result: ToolResult) -> bool:
    """Return whether a call waits for the consent of the customer."""
    return result.content.startswith("Not done yet: the user must agree first.")


def question_of(result: ToolResult) -> str:
    """Return the question to the customer."""
    found = re.search(r"Ask: (.*) When the user has agreed", result.content, re.DOTALL)
    return f"{found[1] if found else result.content} Shall I go on?"


def _table(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _say(text: str) -> ModelReply:
    return ModelReply(text=text)
