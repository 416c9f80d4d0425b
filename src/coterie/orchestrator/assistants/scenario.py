"""The scenario file of an assistant."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator, model_validator

from coterie.conversation import ConversationSettings
from coterie.errors import InvalidSetting
from coterie.orchestrator.assistants.servers import McpServerTable

KIND = "conversation"


class _Part(BaseModel):
    # Strict, as all scenario files are: text that looks like a number is not a number.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class AssistantSettings(_Part):
    """The code of the assistant."""

    provider: str
    """``module:function``: a Python file or package beside the scenario file, and the function in it that is called with
    a `Place` and, if it takes two arguments, with its settings."""

    @field_validator("provider")
    @classmethod
    def _has_two_names(cls, provider: str) -> str:
        module, _, function = provider.partition(":")
        if not (module.isidentifier() and function.isidentifier()):
            raise ValueError(
                f"{provider!r} names no function; write module:function, for a Python file or package beside the scenario"
            )
        return provider

    @property
    def module(self) -> str:
        """The file or package."""
        return self.provider.partition(":")[0]

    @property
    def function(self) -> str:
        """The function in it."""
        return self.provider.partition(":")[2]


class AssistantModelSettings(_Part):
    """The model of the assistant."""

    name: str = Field(default="rules", min_length=1)
    """A model string such as ``openai:gpt-5-mini``, or ``rules`` for the provider's own model."""
    base_url: str | None = None
    """The address of an OpenAI-compatible server."""


class MemoryTable(_Part):
    """The table ``[memory]``: what the assistant remembers of users, in ``memory.db`` in its folder."""

    recall: int = Field(default=5, ge=1, le=100)
    """Memories in a prompt at most."""
    newest: bool = False
    """Whether these are the newest, instead of those that have most to do with the question."""
    summarise: bool = True
    """Whether a model writes down what is worth to remember when a conversation has become idle."""


ConversationTable: type[BaseModel] = create_model(
    "ConversationTable",
    __base__=_Part,
    **{
        field.name: (field.type, field.default)
        for field in msgspec.structs.fields(ConversationSettings)
        if field.name != "instructions"
    },
)  # type: ignore[call-overload] # its fields are those of the settings, whatever they are
"""The table ``[conversation]``: the settings of conversations, by the same names."""


def conversation_faults(given: object) -> list[str]:
    """Return the faults of the values in the table ``[conversation]``, a line for each; types are checked elsewhere."""
    faults = []
    for key, value in given.items() if isinstance(given, dict) else ():
        try:
            ConversationTable(**{key: value})
            ConversationSettings(**{key: value})
        except ValidationError:
            continue
        except InvalidSetting as error:
            faults.append(_named(error))
    return faults


def _named(error: InvalidSetting) -> str:
    return str(error).replace("ConversationSettings.", "conversation.")


class AssistantScenario(_Part):
    """A whole scenario file of kind ``conversation``."""

    kind: Literal["conversation"]
    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")
    """The name of the assistant and of its folder."""
    description: str = ""
    instructions: str | None = None
    """Instructions for the model, instead of the provider's."""
    assistant: AssistantSettings
    model: AssistantModelSettings = AssistantModelSettings()
    conversation: ConversationTable = ConversationTable()  # type: ignore[valid-type] # it is made above
    """The settings of the conversation."""
    settings: dict[str, Any] = {}
    """The settings of the provider, checked against its own model."""
    memory: MemoryTable | None = None
    """Memory of users across conversations; without the table there is none."""
    simulations: list[str] = []
    """Scenario files, relative to this one, which the assistant can run, steer and read by tools."""
    mcp: dict[str, McpServerTable] = {}
    """MCP servers, by names of your choice, whose tools the assistant gets beside the provider's."""

    @model_validator(mode="after")
    def _behaves(self) -> AssistantScenario:
        try:
            self.behaviour("")
        except InvalidSetting as error:
            raise ValueError(_named(error)) from error
        return self

    def behaviour(self, instructions: str) -> ConversationSettings:
        """Return the settings of conversations, with these instructions unless the file has its own."""
        text = self.instructions if self.instructions is not None else instructions
        given: dict[str, Any] = self.conversation.model_dump()  # type: ignore[attr-defined] # as above
        if text:
            given["instructions"] = text
        return ConversationSettings(**given)
