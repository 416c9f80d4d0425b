"""The scenario file of an assistant: what it may say, and what is said to whoever got it wrong."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator

from coterie.conversation import ConversationSettings
from coterie.errors import ScenarioError
from coterie.orchestrator.problems import problem
from coterie.orchestrator.scenario import read_scenario

KIND = "conversation"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class AssistantSettings(_Part):
    """Which code the assistant is."""

    provider: str = Field(pattern=r"^[A-Za-z_]\w*:[A-Za-z_]\w*$")
    """``module:function``: a Python file or package beside the scenario file, and the function in it that is called with
    a `Place` and, if it takes two arguments, with its settings."""

    @property
    def module(self) -> str:
        """The file or package."""
        return self.provider.partition(":")[0]

    @property
    def function(self) -> str:
        """The function in it."""
        return self.provider.partition(":")[2]


class ModelSettings(_Part):
    """Which model answers."""

    name: str = Field(default="rules", min_length=1)
    """A model string such as ``openai:gpt-5-mini``, or ``rules`` for the model that the provider brings."""
    base_url: str | None = Field(default=None, pattern=r"^https?://")
    """Where an OpenAI-compatible server is."""


def _limits() -> type[_Part]:
    """Return the settings of conversations as a table of the file: the same names, the same defaults."""
    fields: dict[str, Any] = {
        field.name: (field.type if "None" in str(field.type) else field.type, field.default)
        for field in msgspec.structs.fields(ConversationSettings)
        if field.name != "instructions"
    }
    hints = {name: (kind, default) for name, (kind, default) in fields.items()}
    return create_model("ConversationTable", __base__=_Part, **hints)


ConversationTable = _limits()
"""The table ``[conversation]``."""


class AssistantScenario(_Part):
    """A whole scenario file of kind ``conversation``."""

    kind: Literal["conversation"]
    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")
    description: str = ""
    assistant: AssistantSettings
    model: ModelSettings = ModelSettings()
    conversation: ConversationTable = ConversationTable()  # type: ignore[valid-type] # it is made of another's fields
    settings: dict[str, Any] = {}
    """What the provider is given; it says what there may be."""
    instructions: str | None = None
    """Who the model is to be, instead of the provider's own words."""

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if name.endswith((".", " ")):
            raise ValueError(f"{name!r} ends with a dot or a space; it is to name a folder")
        return name

    def conversation_settings(self, instructions: str) -> ConversationSettings:
        """Return how conversations behave, with these instructions unless the file has its own."""
        told = self.instructions if self.instructions is not None else instructions
        given = self.conversation.model_dump()  # type: ignore[attr-defined] # as above
        return ConversationSettings(**given, **({"instructions": told} if told else {}))
