"""The rules for the tools of an MCP server, which the server itself is not trusted to state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from coterie.conversation.operations.operation import Effect, ResourceScope
from coterie.errors import InvalidSetting


class McpToolPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The rules for a tool of an MCP server. What is not said is a write that touches everything. Times are in seconds.

    Raises `InvalidSetting`. The other options of `tool` that are named here mean the same as there.
    """

    effect: str = "write"
    """``read`` or ``write``."""
    resources: tuple[str, ...] | None = None
    """Names, in which ``{parameter}`` stands for the value of an argument; ``*`` is everything. None: `*` for a write, none
    for a read."""
    scope: str = "user"
    """``conversation``, ``user`` or ``all``."""
    long_running: bool = False
    expected: float | None = None
    patience: float | None = None
    """Time that a turn waits before the call goes to the background; None for that of the conversation."""
    timeout: float | None = None
    """Limit of one call."""
    idle_timeout: float | None = 60.0
    """Limit since the latest progress, or since the start; None for no limit."""
    idempotent: bool = False
    """Whether a write may be sent twice: then it runs again after a crash or a lost connection."""
    stops_cleanly: bool = False
    """Whether a cancelled call has no effect. Otherwise the outcome of a write that was cancelled is unknown, because the
    protocol does not tell it."""
    confirm: bool | str = False
    """Ask the user first, with this question, if it is a text."""
    secrets: tuple[str, ...] = ()
    """The names of parameters whose values are never stored."""
    name: str | None = None
    """The name under which the model sees it, instead of the prefix and its own."""
    description: str | None = None
    """The description that the model sees, instead of the server's."""
    hidden: bool = False
    """Whether the assistant does not get it."""

    def __post_init__(self) -> None:
        for field, kind in (("effect", Effect), ("scope", ResourceScope)):
            if getattr(self, field) not in list(kind):
                raise InvalidSetting(f"McpToolPolicy.{field}", getattr(self, field), f"one of {', '.join(kind)}")
        for field in ("resources", "secrets"):
            given: Any = getattr(self, field)
            if isinstance(given, str) or not all(isinstance(each, str) and each for each in given or ()):
                raise InvalidSetting(f"McpToolPolicy.{field}", given, "a list of names")

    def resources_of(self, properties: Iterable[str]) -> tuple[str, ...] | Callable[..., tuple[str, ...]] | None:
        """Return the `resources` option of the tool with these parameters: names, or a function of the arguments.

        Raises `InvalidSetting` for a parameter that the tool does not have.
        """
        names = self.resources
        if names is None or not any("{" in each for each in names):
            return names
        known = dict.fromkeys(properties, "")
        for each in names:
            try:
                each.format_map(known)
            except (KeyError, ValueError, IndexError, AttributeError) as error:
                need = f"names with parameters of the tool, such as {', '.join(f'{{{one}}}' for one in known) or 'none'}"
                raise InvalidSetting("McpToolPolicy.resources", each, need) from error

        def touched(**arguments: Any) -> tuple[str, ...]:
            given: Mapping[str, Any] = {**known, **arguments}
            return tuple(each.format_map(given) for each in names)

        return touched


def checked_policies(given: object) -> dict[str, McpToolPolicy]:
    """Return the policies of a server by the names of its tools. Raises `InvalidSetting`."""
    if not isinstance(given, Mapping) or not all(isinstance(each, McpToolPolicy) for each in given.values()):
        raise InvalidSetting("McpServer.policies", given, "McpToolPolicy by the names of tools")
    return {str(name): each for name, each in given.items()}
