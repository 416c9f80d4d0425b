"""Addresses of agents: the node that runs the agent, its name there, and its number, which the node never reuses."""

from __future__ import annotations

import re

import msgspec

from coterie.errors import InvalidAddress

DURABLE_NODE = "durable"
"""The node of the address of a durable agent that holds in every process: it means the agent wherever it is active."""

_PATTERN = re.compile(r"coterie://(?P<node>[^/#\s]+)/(?P<name>[^#\x00-\x1f]+)(?:#(?P<number>[0-9]{1,18}))?")
_NAME = re.compile(r"[^#\x00-\x1f]+")


class Address(msgspec.Struct, frozen=True):
    """The address of one agent. Immutable and hashable; `Address.parse(str(address))` returns an equal address.

    `node` names the runtime and changes with every start. `number` distinguishes an agent from an earlier one of the
    same name; 0 means the agent that has the name when the message arrives.
    """

    node: str
    name: str
    number: int = 0

    def __str__(self) -> str:
        return f"coterie://{self.node}/{self.name}" + (f"#{self.number}" if self.number else "")

    @classmethod
    def parse(cls, text: str) -> Address:
        """Return the address that `text` holds; raise `InvalidAddress` if it holds no address."""
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise InvalidAddress(text)
        return cls(match["node"], match["name"], int(match["number"] or 0))

    @staticmethod
    def is_name(text: object) -> bool:
        """Return whether `text` is a valid name of an agent: non-empty text without `#` and control characters."""
        return isinstance(text, str) and _NAME.fullmatch(text) is not None
