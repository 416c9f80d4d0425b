"""Texts: results of tools in sentences, and questions for missing arguments."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from coterie.conversation import Operation
from coterie.models import ToolCall, ToolResult

from .german import in_german

ASK_NUMBER = "For that I need to know who you are. What is your telephone number?"
ASK_CODE = "Please tell me the 6 digits of the code."
ASK_COUNTRY = "Which country are you asking about?"
ASK_DESTINATION = "Where are you going?"
ASK_PASS = "Which pass would you like?"  # noqa: S105 - it opens networks, not accounts
ASK_PACKAGE = "Which package would you like to move to: Starter 5, Everyday 20, Plus 60 or Max Unlimited?"
ASK_ALERT = "When shall I tell you: at how many percent used, or with how many GB left?"
HELP = (
    "I can tell you about packages and roaming, and, once you are logged in with your telephone number, about your package, "
    "data, add-ons and bills. I can set data alerts, change your package, buy a roaming pass, or close your contract."
)
GREETING = f"Hello! This is the desk of the telephone company. {HELP}"
LOST = f"I did not understand that. {HELP}"
TITLE = "Telephone company"
ASK_UNKNOWN = "Do you know, or shall I try again?"
SETTLE = "Was it done, was it not done, or shall I try again?"
IMPOSSIBLE = "I am sorry, that is not possible just now."
OTHERS_NUMBER = (
    "You are logged in with {mine}, so I cannot tell or change anything about {other}. To log in with it, tell me: my number is, "
    "and the number."
)
_INTERNAL = re.compile(
    r"\bop-\d+\b|\b[a-z]+_[a-z_]+\b|\b(?:resolve|the guard|the arguments|the model|call it again|call again|queue it)\b|ask the user"
    r"|tell what they say"
)
"""Words of the runtime, which are meant for models and never for customers."""
_LISTS = ("check_status", "list", "cancel")
_UNKNOWN = re.compile(r"(op-\d+) (\w+)(?:: it is unknown| touches the same, and it is unknown)")
NAMES = {
    "close_contract": "the closing of your contract",
    "start_login": "the sending of the code",
    "verify_login": "the login",
    "change_package": "the change of your package",
    "purchase_roaming_pass": "the purchase of your roaming pass",
    "get_billing_summary": "your billing summary",
    "set_data_alerts": "your data alerts",
    "get_data_balance": "your data balance",
    "get_current_package": "the look at your package",
    "list_addons": "the list of your add-ons",
}
"""The names of operations for the customer."""
_STATUS = re.compile(
    r"(op-\d+) (\w+) (?:is running|is being cancelled), (\d+)% done(?:, for ([^:;]+))?(?:: ([^;]+))?(?:; usually takes about (.*))?"
)
_WAITS = re.compile(r"(op-\d+) (\w+) waits in the queue(?: at place (\d+) of (\d+))?")
_ENDED = re.compile(r"(op-\d+) (\w+) (succeeded|failed|cancelled|compensated|timed out)(?: \([^)]*\))?(?:: (.*))?", re.DOTALL)


def spoken(call: ToolCall, result: ToolResult) -> str:
    """Return the result of a call as a text for the customer."""
    if result.failed:
        return _refused(result.content)
    if result.content.startswith(("In the background: ", "Taken: ")):
        return _begun(result.content)
    value = _value(result.content)
    if call.name not in _LISTS and (unknown := unknown_of(result.content)):
        return unknown
    form = _FORMS.get(call.name)
    try:
        return form(value) if form is not None else for_customers(str(value))
    except (KeyError, TypeError, AttributeError):
        # It goes on in the background, or its result is a sentence already.
        return str(value)


def report(operation: Operation) -> str:
    """Return the text for the customer about an ended operation, without a model's wording."""
    text = outcome(f"{operation.id} {operation.tool} {operation.state}: {operation.content or operation.detail}")
    return in_german(text) if operation.arguments.get("language") == "de" else text


def under_way(text: str) -> dict[str, str]:
    """Return the operations that run or wait, by their ids, with their tools."""
    found = [*_STATUS.findall(text), *_WAITS.findall(text)]
    return {each[0]: each[1] for each in found}


def outcome(line: str) -> str:
    """Return the outcome of an operation as a text for the customer."""
    ended = _ENDED.match(line)
    if ended is None:
        return unknown_of(line) or for_customers(line)
    _, tool, state, content = ended.groups()
    name = _name(tool)
    if state == "succeeded":
        return spoken(ToolCall("", tool), ToolResult("", tool, content or f"{name} is done."))
    if state == "compensated":
        return f"{name} was cancelled, and what had been done was undone."
    if state == "cancelled":
        again = " Our service was restarted; ask me again if you still want it." if "the service was stopped" in line else ""
        return f"{name} was cancelled before anything was done.{again}"
    if state == "timed out":
        return f"{name} took too long and was given up."
    why = re.sub(r"^[\w.]*(?:Refusal|Error): ", "", content or "I do not know why")
    if "is secret and was not kept" in why:
        why = "I have to ask you for the code again"
    elif _INTERNAL.search(why):
        why = "something went wrong on our side"
    return f"{name} was not done: {why}" + ("" if why.endswith(".") else ".")


def standing(text: str) -> str:
    """Return the status of operations as a text for the customer: `text` has a line for each, running ones first."""
    busy, others = [], []
    for line in filter(None, (each.strip().removeprefix("- ") for each in text.splitlines())):
        if running := _STATUS.search(line):
            _, tool, percent, _, doing, usually = running.groups()
            at = f", {doing.strip()}" if doing else ""
            takes = f" It usually takes about {usually.strip()} in all." if usually else ""
            busy.append(f"{_name(tool)} is {percent} % done{at}.{takes}")
        elif waiting := _WAITS.search(line):
            place = f", at place {waiting[3]} of {waiting[4]}" if waiting[3] else ""
            busy.append(f"{_name(waiting[2])} waits for its turn{place}.")
        elif unknown := unknown_of(line):
            busy.append(unknown)
        elif (ended := _ENDED.match(line)) is None or ended[2] in NAMES:
            others.append(outcome(line))
    if busy:
        return " ".join(busy)
    if others and not text.startswith("There are no operations."):
        return f"Nothing is under way now. The last: {others[0]}"
    return "There is nothing under way."


def unknown_of(text: str) -> str:
    """Return the question about an operation whose outcome is unknown; an empty text if there is none in a text."""
    found = _UNKNOWN.search(text)
    if found is None:
        return ""
    return f"{_name(found[2])} was interrupted, and I do not know whether it was done. {ASK_UNKNOWN}"


def unknown_operation(text: str) -> str | None:
    """Return the id of the operation in a text whose outcome is unknown, or None."""
    found = _UNKNOWN.search(text)
    return found[1] if found else None


def for_customers(text: str) -> str:
    """Return a text as it is, or a general one if it has words of the runtime, which are meant for models."""
    return IMPOSSIBLE if _INTERNAL.search(text) else text


def _name(tool: str) -> str:
    name = NAMES.get(tool, tool.replace("_", " "))
    return f"{name[:1].upper()}{name[1:]}"


def _begun(content: str) -> str:
    found = _WAITS.search(content) or _STATUS.search(content)
    if found is None:
        return for_customers(content)
    name = _name(found[2])
    usually = re.search(r"usually takes about (\d+(?:\.\d)? \w+)", content)
    takes = f" It usually takes about {usually[1]}." if usually else ""
    begun = "waits for its turn" if _WAITS.search(content) else "is under way"
    return f"{name} {begun}.{takes} I will tell you when it is done; until then, ask me whatever you like."


def _cancelled(content: str) -> str:
    if "stopped before effect" in content:
        return "It is cancelled. Nothing has been done."
    if "compensating" in content:
        return "It is cancelled, and whatever it had begun is undone."
    if "too late" in content:
        return f"It is too late for that. {standing(content.partition('too late.')[2].strip())}".strip()
    return for_customers(content)


def _settled(content: str) -> str:
    if "tried again" in content:
        return "All right, I try it again, and tell you when it is done."
    return f"Thank you, I have noted that. {outcome(content)}" if _ENDED.match(content) else "Thank you, I have noted that."


_REFUSED: tuple[tuple[str, str], ...] = (
    (
        r"was given up but still runs",
        "Something took too long and may still be going on, so this has to wait. Ask me again later.",
    ),
    (r"operations are under way already", "Too much is under way already. Wait until something is done, or cancel something."),
    (r"something else is running", "Something else is under way. Ask me again when it is done."),
    (r"there is no operation", "I know of nothing like that which is under way."),
    (r"it is a secret and was not kept", "Please tell me the code again."),
    (r"the arguments do not fit", "I did not understand all of that. Please say it again, with all details."),
)
"""What is said for refusals of the runtime."""


def _refused(content: str) -> str:
    if unknown := unknown_of(content):
        return unknown
    for pattern, said in _REFUSED:
        if re.search(pattern, content):
            return said
    text = _ENDED.sub(lambda ended: ended[4] or "", content.strip()) if _ENDED.match(content.strip()) else content.strip()
    text = re.sub(r"^[\w.]*(?:Refusal|Error): ", "", text)
    if changing := re.match(r"op-\d+ (\w+) is changing what", text):
        return f"{_name(changing[1])} is changing that just now. Ask me again when it is done."
    text = re.split(r"; log in first: ", text)[0]
    if _INTERNAL.search(text):
        return IMPOSSIBLE
    return f"I am sorry: {text}" + ("" if text.endswith((".", "?", "!", ")")) else ".")


def _value(content: str) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content


def _packages(value: Any) -> str:
    return "These are our packages. " + " ".join(f"{line}." for line in value)


def _recommended(value: Any) -> str:
    return f"For {value['why']} I recommend " + ", or ".join(value["recommended"]) + "."


def _roaming(value: Any) -> str:
    return (
        f"{value['country']} is in zone {value['zone']}. Without a pass, data costs {value['without a pass']}. "
        f"Passes: {'; '.join(value['passes'])}."
    )


def _package(value: Any) -> str:
    closed = "" if value["status"] == "active" else f" The contract is {value['status']}."
    return (
        f"You have {value['package']}. Contract {value['contract']} runs until {value['contract ends']}, "
        f"and your credit is {value['credit']}.{closed}"
    )


def _balance(value: Any) -> str:
    left = (
        "Your data is unlimited"
        if value["left GB"] == "unlimited"
        else f"You have {value['left GB']} of {value['of GB']} GB left"
    )
    passes = f" Passes: {'; '.join(value['passes'])}." if value["passes"] else ""
    return f"{left}, and have used {value['used GB']} GB this month. Alert: {value['alert']}.{passes}"


def _addons(value: Any) -> str:
    return f"Your add-ons: {'; '.join(value['active']) or 'none'}. To be had: {'; '.join(value['available']) or 'no others'}."


def _bills(value: Any) -> str:
    months = ", ".join(f"{month} {amount}" for month, amount in value["bills"].items())
    return f"Your bills: {months}. The latest has {'; '.join(value['latest'])}. The highest was that of {value['highest']}. Your credit is {value['credit']}."


_FORMS: dict[str, Callable[[Any], str]] = {
    "list_available_packages": _packages,
    "recommend_packages": _recommended,
    "get_roaming_info": _roaming,
    "get_current_package": _package,
    "get_data_balance": _balance,
    "list_addons": _addons,
    "get_billing_summary": _bills,
    "cancel": lambda value: _cancelled(str(value)),
    "resolve": lambda value: _settled(str(value)),
    "check_status": lambda value: standing(str(value)),
    "list": lambda value: standing(str(value)),
}
