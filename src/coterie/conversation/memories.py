"""The memories of users, which conversations recall, write and forget."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from coterie.conversation.operations.operation import ResourceScope
from coterie.conversation.tools.context import ToolContext
from coterie.conversation.tools.tool import Tool
from coterie.errors import ToolFailed, describe
from coterie.kernel import check_instance, check_number
from coterie.memory import AgentMemory, TieredMemory

_log = logging.getLogger("coterie.conversation")

_LONGEST = 2_000
"""Characters of one memory at most."""
_MOST = 20
"""Memories of one summary at most."""
_NOTHING = "nothing"
_SUMMARY = (
    "Write down what is worth to remember of this user in later conversations: facts, wishes and decisions, each as one short "
    "sentence on a line of its own, in the user's language. No secrets, no numbers of cards, no codes. If there is nothing, answer: "
    f"{_NOTHING}"
)


class RecallPolicy(Protocol):
    """Chooses the memories for a prompt. Called on a thread of its own, once a turn."""

    def choose(self, memory: AgentMemory, question: str) -> Sequence[str]:
        """Return the memories to tell the model, most important first."""
        ...


class RecallRelevant(msgspec.Struct, frozen=True):
    """The `count` memories that have most to do with the question."""

    count: int = 5

    def __post_init__(self) -> None:
        check_number("RecallRelevant.count", self.count, least=1, whole=True)

    def choose(self, memory: AgentMemory, question: str) -> Sequence[str]:
        """Return the memories."""
        return [each.text for each in memory.recall(question, k=self.count)]


class RecallRecent(msgspec.Struct, frozen=True):
    """The newest `count` memories, whatever the question."""

    count: int = 10

    def __post_init__(self) -> None:
        check_number("RecallRecent.count", self.count, least=1, whole=True)

    def choose(self, memory: AgentMemory, question: str) -> Sequence[str]:  # noqa: ARG002 - the question does not matter
        """Return the memories."""
        return [each.text for each in memory.recent(self.count)]


class UserMemories:
    """The memories of users over their conversations: one `AgentMemory` for each user, in one `TieredMemory`.

    ::

        with TieredMemory(MemoryConfig(path="memory.db")) as memory, Conversations(model, memory=UserMemories(memory)) as host:
            chat = host.open(("customer", "42"), user="ann")

    In a conversation with a user, `recall` chooses what is told the model in each turn; the tool `remember` writes, `recall_memory`
    searches; and with `summarise` a model writes down what is worth to remember when the conversation has become idle. A
    conversation without a user has no memory. `options` are those of `AgentMemory`. Safe from any thread; it leaves `memory` open.
    Raises `InvalidSetting`.
    """

    def __init__(
        self, memory: TieredMemory, *, recall: RecallPolicy | None = None, summarise: bool = True, **options: Any
    ) -> None:
        check_instance("UserMemories.memory", memory, TieredMemory, "a TieredMemory")
        check_instance("UserMemories.summarise", summarise, bool, "True or False")
        self.memory = memory
        self.summarises = summarise
        self._policy: RecallPolicy = recall if recall is not None else RecallRelevant()
        self._options = options

    def __deepcopy__(self, memo: object) -> UserMemories:
        return self

    @staticmethod
    def owner(user: str) -> str:
        """Return the name of a user among the owners of memories."""
        return f"user {user}"

    def of(self, user: str) -> AgentMemory:
        """Return the memory of a user."""
        return AgentMemory(self.memory, self.owner(user), **self._options)

    def instructions(self, user: str, question: str) -> str:
        """Return what a model is told of a user. A memory that fails is logged, and the turn goes on without it."""
        try:
            found = self._policy.choose(self.of(user), question)
        except Exception as error:  # noqa: BLE001 - a turn without memories is better than none
            _log.warning("the memory of a user cannot be read: %s", describe(error))
            return ""
        if not found:
            return ""
        lines = "\n".join(f"- {each}" for each in found)
        return f"What you remember of this user from earlier conversations:\n{lines}"

    def learn(self, user: str, text: str) -> int:
        """Store the lines of a summary as memories of a user, and return their number."""
        lines = [line.strip(" -*\t") for line in text.splitlines()]
        kept = [line[:_LONGEST] for line in lines if line and line.lower().strip(".") != _NOTHING][:_MOST]
        for line in kept:
            self.of(user).remember({"content": line, "type": "summary"})
        return len(kept)

    def tools(self) -> list[Tool]:
        """Return the tools that conversations get."""

        def remember(context: ToolContext, text: str) -> str:  # noqa: D417 - the model does not give the context
            """Remember something about the user for later conversations, when the user asks for it or it will be of use.

            Args:
                text: one fact, wish or decision, as a sentence that can be understood alone
            """
            self._owned(context).remember({"content": text[:_LONGEST], "type": "told"})
            return "Remembered."

        def recall_memory(context: ToolContext, question: str) -> str:  # noqa: D417 - as above
            """Search what is remembered of the user from earlier conversations.

            Args:
                question: what to look for
            """
            found = [each.text for each in self._owned(context).recall(question, k=10)]
            return "\n".join(f"- {each}" for each in found) or "Nothing is remembered about that."

        names = {"ToolContext": ToolContext}
        return [
            Tool(remember, resources=["memory"], scope=ResourceScope.USER, idempotent=True, names=names),
            Tool(recall_memory, effect="read", resources=["memory"], scope=ResourceScope.USER, names=names),
        ]

    def _owned(self, context: ToolContext) -> AgentMemory:
        if not context.user:
            raise ToolFailed("nobody is known to be the user of this conversation, so there is no memory")
        return self.of(context.user)


SUMMARY_INSTRUCTIONS = _SUMMARY
"""The instructions of the model that writes down what is worth to remember."""
