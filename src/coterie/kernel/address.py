"""Where an agent is: the node that runs it, its name there, and the number that no other agent there ever had."""

from __future__ import annotations

import re

import msgspec

from coterie.errors import InvalidAddress

_PATTERN = re.compile(r"coterie://(?P<node>[^/#\s]+)/(?P<name>[^#\x00-\x1f]+)(?:#(?P<number>[0-9]{1,18}))?")
_NAME = re.compile(r"[^#\x00-\x1f]+")


class Address(msgspec.Struct, frozen=True):
    """The address of one agent. Immutable and hashable; `str` and `Address.parse` are inverse to each other.

    `node` names the runtime, and is new with every start of it. `number` tells an agent from an earlier one that had
    its name; 0 stands for whoever has the name when the message arrives.
    """

    node: str
    name: str
    number: int = 0

    def __str__(self) -> str:
        return f"coterie://{self.node}/{self.name}" + (f"#{self.number}" if self.number else "")

    @classmethod
    def parse(cls, text: str) -> Address:
        """Return the address written in `text`; raise `InvalidAddress` if there is none."""
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise InvalidAddress(text)
        return cls(match["node"], match["name"], int(match["number"] or 0))

    @staticmethod
    def is_name(text: object) -> bool:
        """Return whether `text` can be the name of an agent: text, not empty, no `#`, no control characters."""
        return isinstance(text, str) and _NAME.fullmatch(text) is not None
