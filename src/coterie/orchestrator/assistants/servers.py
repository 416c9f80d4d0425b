"""The tables ``[mcp.NAME]`` of a scenario: MCP servers whose tools the assistant uses."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from coterie.conversation import McpServer, McpToolPolicy
from coterie.errors import InvalidSetting, ScenarioError

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _PolicyPart(_Part):
    # Lists of TOML are tuples of a policy.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)

    @model_validator(mode="after")
    def _means_something(self) -> _PolicyPart:
        try:
            McpToolPolicy(**self.model_dump())
        except InvalidSetting as error:
            raise ValueError(str(error)) from error
        return self


McpToolTable: type[BaseModel] = create_model(
    "McpToolTable",
    __base__=_PolicyPart,
    **{field.name: (field.type, field.default) for field in msgspec.structs.fields(McpToolPolicy)},
)  # type: ignore[call-overload] # its fields are those of the policy, whatever they are
"""The table ``[mcp.NAME.tools.TOOL]``, and ``[mcp.NAME.default]``: the rules for tools, by the names of `McpToolPolicy`."""


class McpServerTable(_Part):
    """The table ``[mcp.NAME]``: the options of `McpServer`, by the same names."""

    command: str | None = None
    arguments: list[str] = []
    environment: dict[str, str] = {}
    """``$NAME`` in a value stands for a variable of the environment, so that no secret is in the file."""
    folder: str | None = None
    """Relative to the scenario file."""
    log: str | None = None
    url: str | None = None
    headers: dict[str, str] = {}
    """``$NAME`` as in `environment`."""
    prefix: str | None = None
    trusted: bool = False
    required: bool = True
    connect_timeout: float = Field(default=10.0, gt=0)
    default: McpToolTable = McpToolTable()  # type: ignore[valid-type] # it is made above
    """The rules for the tools that are not named."""
    tools: dict[str, McpToolTable] = {}  # type: ignore[valid-type] # as above
    """The rules for single tools, by the server's names."""

    @model_validator(mode="after")
    def _is_reached_somehow(self) -> McpServerTable:
        try:
            McpServer("x", command=self.command, url=self.url)
        except InvalidSetting as error:
            raise ValueError("give a command, or a url, and not both") from error
        return self


def make_servers(scenario: Path, tables: Mapping[str, McpServerTable], environment: Mapping[str, str]) -> list[McpServer]:
    """Return the servers of a scenario file, not yet open. Raises `ScenarioError`, with a line for every fault."""
    faults: list[str] = []

    def filled(where: str, values: Mapping[str, str]) -> dict[str, str]:
        found = {}
        for name, value in values.items():
            missing = [one or other for one, other in _VARIABLE.findall(value) if (one or other) not in environment]
            faults.extend(f"mcp.{where}.{name}: the variable {each} is not set; set it in the environment" for each in missing)
            found[name] = _VARIABLE.sub(lambda match: environment.get(match[1] or match[2], ""), value)
        return found

    servers = []
    for name, table in tables.items():
        folder = scenario.parent / table.folder if table.folder is not None else scenario.parent
        own: dict[str, Any] = {
            "environment": filled(f"{name}.environment", table.environment),
            "headers": filled(f"{name}.headers", table.headers),
        }
        options: dict[str, Any] = table.model_dump(exclude={"environment", "headers", "folder", "default", "tools"})
        try:
            servers.append(
                McpServer(
                    name,
                    **options,
                    **own,
                    folder=folder if table.command is not None else None,
                    policy=McpToolPolicy(**table.default.model_dump()),  # type: ignore[attr-defined] # as above
                    policies={each: McpToolPolicy(**rules.model_dump()) for each, rules in table.tools.items()},  # type: ignore[attr-defined] # as above
                )
            )
        except InvalidSetting as error:
            faults.append(f"mcp.{name}: {error}")
    if faults:
        raise ScenarioError(scenario, faults)
    return servers


def servers_of(scenario: Path, tables: Mapping[str, McpServerTable]) -> list[McpServer]:
    """Return the servers of a scenario file, with the variables of this process."""
    return make_servers(scenario, tables, os.environ)
