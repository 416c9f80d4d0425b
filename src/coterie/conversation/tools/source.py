"""A source of tools whose list can change while conversations run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from coterie.conversation.tools.tool import Tool
from coterie.errors import DefinitionError, InvalidSetting

_log = logging.getLogger("coterie.conversation")


@runtime_checkable
class ToolSource(Protocol):
    """Supplies tools, such as those of an MCP server, to conversations. Safe from any thread."""

    def tools(self) -> tuple[Tool, ...]:
        """Return all tools that it ever had; the same object until one changes. `Tool.offered` tells whether one can be called."""
        ...


def _is_source(value: object) -> bool:
    return isinstance(value, ToolSource) and not isinstance(value, type)


class ToolTable:
    """The tools of a host by name: fixed ones, and those of sources. Safe from any thread: `_merged` is only ever replaced.

    A fixed tool, or that of an earlier source, keeps its name: a later one of the same name is left out, with a warning.
    `added` is called with the name of each tool. Raises `InvalidSetting`, and `DefinitionError` for two fixed tools of a name.
    """

    def __init__(self, tools: Iterable[Tool | ToolSource], added: Callable[[str], None]) -> None:
        self._fixed: dict[str, Tool] = {}
        self._added = added
        self._warned: set[tuple[int, str]] = set()
        sources: list[ToolSource] = []
        for each in tools:
            if isinstance(each, Tool):
                if self._fixed.setdefault(each.name, each) is not each:
                    raise DefinitionError(f"the tool {each.name}", "two tools have that name", "rename one of them")
            elif _is_source(each):
                sources.append(each)
            else:
                raise InvalidSetting("tools", each, "functions with the decorator @tool, or sources such as McpServer")
        self._sources = tuple(sources)
        self._merged: tuple[Sequence[tuple[Tool, ...]], Mapping[str, Tool]] = ((), MappingProxyType(self._fixed))
        for name in self._fixed:
            added(name)

    @property
    def current(self) -> Mapping[str, Tool]:
        """All tools by name, those too that are not offered at the moment."""
        if not self._sources:
            return self._merged[1]
        lists = tuple(each.tools() for each in self._sources)
        before, merged = self._merged
        if len(before) == len(lists) and all(one is other for one, other in zip(before, lists, strict=True)):
            return merged
        found = dict(self._fixed)
        for place, tools in enumerate(lists):
            for each in tools:
                if found.setdefault(each.name, each) is not each and (place, each.name) not in self._warned:
                    self._warned.add((place, each.name))
                    _log.warning("the tool %s is left out, because another has its name: set a prefix", each.name)
                elif each.name not in merged:
                    self._added(each.name)
        self._merged = (lists, MappingProxyType(found))
        return self._merged[1]
