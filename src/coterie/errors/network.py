"""Errors of the plain network between processes. See `coterie.errors` for the tree."""

from __future__ import annotations

from collections.abc import Sequence

from coterie.errors.general import CoterieError, TransportError


class TopologyError(CoterieError, ValueError):
    """A topology, or a file of keys, is invalid. The text has one line for each fault."""

    def __init__(self, where: object, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{where}: {problem}" for problem in problems))


class MessageTooLarge(TransportError):
    """A frame exceeds the limit of the network. It was not sent."""

    def __init__(self, node: str, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(f"{size:,} bytes for {node} exceed the limit of {limit:,} bytes for one message")
