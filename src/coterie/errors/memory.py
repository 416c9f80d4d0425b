"""Errors of memories. See `coterie.errors` for the tree."""

from __future__ import annotations

from collections.abc import Iterable

from coterie.errors.general import CoterieError


class MemoryFault(CoterieError):
    """An operation on memories failed."""


class InvalidMemory(MemoryFault, ValueError):
    """The key, the importance or the time of a memory is invalid."""

    def __init__(self, what: str, given: object, remedy: str) -> None:
        text = repr(given)
        shown = text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - what fits on a line
        super().__init__(f"{shown} cannot be the {what} of a memory: {remedy}")


class InvalidDump(MemoryFault, ValueError):
    """A line of a dump cannot be read. Nothing was imported."""

    def __init__(self, line: int, problem: object) -> None:
        self.line = line
        super().__init__(f"line {line}: {problem}; nothing was imported")


class InvalidExport(MemoryFault, ValueError):
    """A file of another system cannot be imported. Nothing was imported."""

    def __init__(self, path: object, problem: str, remedy: str) -> None:
        super().__init__(f"{path} cannot be imported: {problem}; nothing was imported; {remedy}")


class MemoryClosed(MemoryFault):
    """The memory store has been closed."""

    def __init__(self, what: str = "it accepts and returns nothing more") -> None:
        super().__init__(f"this memory has been closed: {what}")


class MemoryForked(MemoryClosed):
    """A memory store was used in a forked child of the process that opened it, which has none of its threads."""

    def __init__(self) -> None:
        super().__init__("it was opened by the parent of this process; open one here, or spawn instead of fork")


class DumpUnavailable(MemoryFault, OSError):
    """A dump cannot be read or written. The cause is the reason."""

    def __init__(self, path: object, what: str, reason: object) -> None:
        super().__init__(f"{path} cannot be {what}: {reason}")


class TierUnavailable(MemoryFault):
    """The store of a tier cannot be reached now. The cause is the reason."""

    def __init__(self, where: str, reason: object) -> None:
        super().__init__(f"{where} cannot be reached: {reason}; accepted memories are written once it is back")


class WriteTimeout(MemoryFault, TimeoutError):
    """A memory was not written, or not accepted, in time."""

    def __init__(self, what: str, timeout: float, reason: str) -> None:
        super().__init__(f"{what} within {timeout:g} s: {reason}")


class UnknownMemory(MemoryFault, LookupError):
    """The agent has no memory of that id. The error does not tell whether another agent has one."""

    def __init__(self, agent: str, id: str) -> None:  # noqa: A002 - the field's own name
        super().__init__(f"{agent} has no memory {id!r}")


class UnknownBlock(MemoryFault, LookupError):
    """The agent has no memory block of that name."""

    def __init__(self, agent: str, name: object, known: Iterable[str]) -> None:
        names = ", ".join(sorted(known)) or "none yet"
        super().__init__(f"{agent} has no memory block {name!r} (there are: {names}); create it with define()")


class BlockChanged(MemoryFault):
    """A memory block was changed by another writer, so a compare-and-set did not take place."""

    def __init__(self, name: str, expected: int, version: int) -> None:
        self.version = version
        """The version that the block has now."""
        super().__init__(
            f"the memory block {name!r} has version {version}, not {expected}: read it again, and make the change on the new text"
        )


class BlockTooLong(MemoryFault, ValueError):
    """A text is longer than the limit of its memory block. The block is unchanged."""

    def __init__(self, name: str, length: int, limit: int) -> None:
        self.length, self.limit = length, limit
        super().__init__(f"the memory block {name!r} may have {limit} characters, and this text has {length}: shorten it")


class EmbeddingFailed(MemoryFault):
    """An embedder returned no vectors. The cause is the reason."""

    def __init__(self, what: str, reason: object) -> None:
        super().__init__(f"{what}: the embedder returned no vectors: {reason}")


class NotShared(MemoryFault, PermissionError):
    """An agent has not shared its memories with the agent that wants to read them."""

    def __init__(self, owner: str, reader: str) -> None:
        super().__init__(f"{owner} does not share its memories with {reader}: call share_with({reader!r}) on {owner}'s own")
