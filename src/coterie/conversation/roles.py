"""The assistants of one conversation: their roles, and to whom each may hand the conversation over."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from coterie.conversation.tools.source import ToolSource
from coterie.conversation.tools.tool import Tool
from coterie.errors import DefinitionError, InvalidSetting
from coterie.kernel import check_instance
from coterie.models import Model, ToolDefinition

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
HANDOFF_PREFIX = "handoff_to_"
"""The name of a handoff, as the model sees it, begins so."""


class Handoff(msgspec.Struct, frozen=True):
    """The permission of an assistant to hand the conversation over to another. Made by `handoff`."""

    to: AssistantRole | str
    """The other assistant, or its name."""
    description: str = ""

    @property
    def target(self) -> str:
        """The name of the other assistant."""
        return self.to if isinstance(self.to, str) else self.to.name


class AssistantRole:
    """One assistant of a team: its name, instructions, tools and model. Immutable; any number of hosts can share it.

    ::

        billing = AssistantRole("billing", instructions="You explain bills.", tools=[refund, handoff("desk")])
        desk = AssistantRole("desk", tools=[handoff(billing), as_tool(researcher)])
        Conversations(model, team=[desk, billing], store="chats.db")

    `instructions` are those of the settings if empty, and `model` that of the host if None. The `description` tells the other
    assistants what it is for. `tools` are tools, sources of tools such as `McpServer`, and handoffs. Raises `InvalidSetting`.
    """

    def __init__(
        self,
        name: str,
        *,
        instructions: str = "",
        tools: Iterable[Tool | ToolSource | Handoff] = (),
        model: Model | None = None,
        description: str = "",
    ) -> None:
        if not _NAME.fullmatch(str(name)):
            raise InvalidSetting("AssistantRole.name", name, "up to 40 letters, digits, dashes and underscores")
        at = f"the assistant {name}"
        check_instance(f"{at}: instructions", instructions, str, "a text")
        check_instance(f"{at}: description", description, str, "a text")
        if model is not None and not callable(getattr(model, "stream", None)):
            raise InvalidSetting(f"{at}: model", model, "a model with a method stream, or None")
        given = tuple(tools)
        self.name = name
        self.instructions = instructions
        self.description = description
        self.model = model
        self.handoffs = tuple(each for each in given if isinstance(each, Handoff))
        self.tools = tuple(each for each in given if not isinstance(each, Handoff))

    def __repr__(self) -> str:
        return f"<AssistantRole {self.name}>"

    def __deepcopy__(self, memo: object) -> AssistantRole:
        return self


def handoff(to: AssistantRole | str, *, description: str = "") -> Handoff:
    """Return the permission to hand the conversation over to another assistant, for the `tools` of an `AssistantRole`.

    The model sees it as a tool `handoff_to_NAME`. From its call on, in the same turn, the other assistant speaks, with its own
    instructions, tools and model, until it hands over itself. `to` is the assistant, or the name of one in the same team.
    """
    check_instance("handoff.to", to, (AssistantRole, str), "an AssistantRole, or the name of one")
    return Handoff(to, description)


class Team:
    """The assistants of a conversation by name; the first speaks first. Immutable.

    Raises `InvalidSetting`, and `DefinitionError` for two assistants of one name, and for a handoff to nobody or to itself.
    """

    def __init__(self, roles: Iterable[AssistantRole]) -> None:
        found: dict[str, AssistantRole] = {}
        waiting = list(roles)
        while waiting:
            role = waiting.pop(0)
            check_instance("team", role, AssistantRole, "AssistantRole objects")
            if found.setdefault(role.name, role) is not role:
                raise DefinitionError(f"the assistant {role.name}", "two assistants have that name", "rename one of them")
            # Those that are reached by a handoff need not be named.
            waiting += [
                each.to
                for each in role.handoffs
                if isinstance(each.to, AssistantRole) and found.get(each.target) is not each.to
            ]
        if not found:
            raise InvalidSetting("team", [], "at least one AssistantRole")
        for role in found.values():
            for each in role.handoffs:
                if each.target not in found:
                    known = ", ".join(found)
                    raise DefinitionError(
                        f"the assistant {role.name}", f"it hands over to {each.target!r}", f"name one of the team: {known}"
                    )
                if each.target == role.name:
                    raise DefinitionError(f"the assistant {role.name}", "it hands over to itself", "leave that handoff out")
        self.roles: Mapping[str, AssistantRole] = MappingProxyType(found)
        self.first = next(iter(found.values()))

    def role(self, name: str) -> AssistantRole:
        """Return the assistant of a name, or the first if the team has it no more."""
        return self.roles.get(name, self.first)

    def introduction(self, role: AssistantRole) -> str:
        """Return what an assistant is told of itself and of the others."""
        others = [
            f"- {each.name}{f': {each.description}' if each.description else ''}"
            for each in self.roles.values()
            if each is not role
        ]
        if not others:
            return ""
        lines = "\n".join(others)
        return f"You are {role.name}, one of several assistants who talk with the user in turn. The others:\n{lines}"

    def handoffs_of(self, role: AssistantRole) -> dict[str, str]:
        """Return the names of the assistants to whom it may hand over, by the names of the handoffs."""
        return {f"{HANDOFF_PREFIX}{each.target}": each.target for each in role.handoffs}

    def definitions(self, role: AssistantRole) -> list[ToolDefinition]:
        """Return its handoffs as tools for the model."""
        made = []
        for each in role.handoffs:
            about = each.description or self.roles[each.target].description
            text = f"Hand the conversation over to {each.target}, who speaks from now on.{f' {about}' if about else ''}"
            made.append(ToolDefinition(f"{HANDOFF_PREFIX}{each.target}", text, _HANDOFF_SCHEMA))
        return made


_HANDOFF_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"reason": {"type": "string", "description": "what the other assistant has to know", "default": ""}},
    "additionalProperties": False,
}


def all_tools(tools: Iterable[Tool | ToolSource], roles: Iterable[AssistantRole]) -> list[Tool | ToolSource]:
    """Return these tools, those of the assistants, and those of the assistants that are used as tools; each once."""
    found: dict[int, Tool | ToolSource] = {}
    waiting: list[Tool | ToolSource] = [*tools, *(each for role in roles for each in role.tools)]
    while waiting:
        each = waiting.pop(0)
        if id(each) in found:
            continue
        found[id(each)] = each
        inner = getattr(each, "assistant", None)
        if isinstance(inner, AssistantRole):
            waiting += [one for role in Team([inner]).roles.values() for one in role.tools]
    return list(found.values())


ModelLimit = Callable[[Model], Model]
"""Wraps the models of a conversation in a policy, such as a budget."""


class AssistantDesk:
    """Opens conversations with single assistants of a host, for tools that ask one. The host provides it."""

    def __init__(self, open_one: Callable[[AssistantRole, tuple[str, ...], str, ModelLimit | None], Any]) -> None:
        self._open = open_one

    def open(self, role: AssistantRole, namespace: tuple[str, ...], user: str, limit: ModelLimit | None = None) -> Any:
        """Return the conversation with an assistant under a namespace of its own. Raises the errors of `Conversations.open`."""
        return self._open(role, namespace, user, limit)
