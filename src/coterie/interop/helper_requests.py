"""Recognise the requests that a front end makes for itself, such as a title for its list of chats.

Front ends send them through the same endpoint, often with the header of the chat, and with the chat as a quotation. They
must not enter the conversation: they would begin tools, take up consents, and stand in later prompts.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from coterie.models import TextMessage

_THING = r"(?:titles?|tags?|topics?|names?|subjects?|labels?|keywords?|emojis?|headlines?|follow-?ups?|suggestions?)"
_CHAT = r"(?:chat|conversation|discussion|dialog(?:ue)?|thread|messages?|session)s?"
_MAKE = r"(?:generate|create|make|write|give|suggest|provide|produce|propose|come up with|find|add|assign)"
PROMPTS: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # The templates of Open WebUI, whatever the task: title, tags, follow-ups, queries, autocompletion.
        r"\A\s*#+\s*(?:task|tarefa|aufgabe|tâche|tarea|задача|任务)\s*:",
        r"</?(?:chat_history|conversation_history|chat_context)>",
        rf"\b{_MAKE}\b[^.!?\n]{{0,80}}\b{_THING}\b[^.!?\n]{{0,100}}\b{_CHAT}\b",
        rf"\b{_CHAT}\b[^.!?\n]{{0,60}}\b(?:into|as)\b[^.!?\n]{{0,30}}\b{_THING}\b",
        # Nothing but the order itself.
        rf"\A\W*(?:please\s+)?{_MAKE}\s+(?:me\s+)?(?:a|an|the|some|one|two|three|[\d-]+)?\s*(?:[\w-]+\s+){{0,3}}(?:title|tags)\W*\Z",
        rf"\bsummari[sz]e\s+(?:this|the|our)\s+{_CHAT}\b[^\n]{{0,120}}\b(?:words?|prompt|context|sentences?|title)\b",
        r"四到五个字|简要主题|简要总结一下对话",
    )
)
"""What the helper prompts of known front ends have in common."""
_ROLES = (
    re.compile(r"^\W*(?:user|human)\W*:", re.IGNORECASE | re.MULTILINE),
    re.compile(r"^\W*(?:assistant|ai|bot)\W*:", re.IGNORECASE | re.MULTILINE),
)
_HEADERS = ("x-openwebui-task", "x-helper-task")
"""Headers by which a front end, or a proxy in front, can name the task itself."""
LEAST_QUOTATION = 40
"""Characters of a message that may quote the conversation."""
_LONG_ENOUGH = 12
"""Characters of an answer whose repetition is no chance."""


def is_helper_request(
    text: str,
    *,
    begins: bool,
    headers: Mapping[str, str],
    metadata: Mapping[str, Any] | None = None,
    system: Iterable[str] = (),
    patterns: Iterable[str] = (),
) -> bool:
    """Return whether a request is a front end's own.

    `text` is its last message, and `begins` says that no answer precedes it in the request. A task that the header or the
    metadata names decides; then the words of the request, and `patterns` of the operator; then a transcript as the only
    message.
    """
    if any(headers.get(name) for name in _HEADERS) or (metadata or {}).get("task"):
        return True
    if any(pattern.search(text) for pattern in PROMPTS) or any(re.search(each, text, re.IGNORECASE) for each in patterns):
        return True
    if not begins:
        return False
    return all(role.search(text) for role in _ROLES) or any(pattern.search(each) for pattern in PROMPTS for each in system)


def quotes(text: str, transcript: Sequence[TextMessage]) -> bool:
    """Return whether a text repeats a question of the conversation and its answer, which users do not do."""
    pairs = itertools.pairwise(transcript)
    return any(
        question.role == "user"
        and answer.role == "assistant"
        and len(answer.text) >= _LONG_ENOUGH
        and answer.text in text
        and question.text in text
        for question, answer in pairs
    )
