"""Many conversations in one process."""

from __future__ import annotations

from collections.abc import Iterable

from coterie.conversation.conversation import Conversation
from coterie.conversation.hosting import ConversationHost


class Conversations(ConversationHost):
    """Hold conversations by their namespaces: one model, one set of tools, one store, thousands of users.

    ::

        with Conversations(model, tools=[…], store="chats.db") as conversations:
            chat = conversations.open(("customer", "42"))

    Each conversation is an agent, and so is each running operation, on `runtime`, or on one of its own. `store` is a path,
    an address of PostgreSQL, or an open database, which then stays open; without one, all is forgotten at the end.
    `provide` is what tools get by ``context.use(kind)``. `clock` is for a runtime of its own; with `runtime` it is that
    one's. One that nobody has needed for `settings.idle_timeout` rests, and goes on at what is asked of it next. Safe from
    any thread; `_lock` guards the tables. Raises `InvalidSetting`, `DefinitionError` for two tools of one
    name, and what the database raises when it is opened.
    """

    def open(self, namespace: str | Iterable[str], *, user: str = "") -> Conversation:
        """Return the conversation of a namespace, as it was left. While it is open this is the same one.

        Raises `InvalidNamespace` and `ConversationClosed`.
        """
        chat = self.attach(namespace, lambda port, gate: Conversation.attach(self, port, gate), user=user)
        assert isinstance(chat, Conversation)
        return chat
