"""Memory blocks: small named texts of an agent that are always in its prompt.

A block says what must never be missed: who the user is, what was agreed. Each has a limit, so that the prompt stays short, a
version, and its earlier texts. A change can be made dependent on a version (compare-and-set), also between processes that share a
server. Changes are committed when a method returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from coterie.errors import InvalidMemory
from coterie.errors.memory import BlockChanged, BlockTooLong, UnknownBlock
from coterie.memory.checking import check_agent, check_count, check_key, check_text
from coterie.memory.contract import Put
from coterie.memory.record import MemoryKind, MemoryRecord, Tier
from coterie.memory.tiered import TieredMemory

BLOCKS = "\x1fblocks/"
"""The beginning of the keys of the internal records of blocks: one record for each agent."""
_LIMIT = 2_000
MOST_BLOCKS = 100
"""The maximum of blocks of an agent."""
_EARLIER = 20
"""The maximum of earlier texts of a block."""
_NAME_BYTES = 100


@dataclass(frozen=True, slots=True)
class MemoryBlock:
    """One block, or one of its earlier versions. Immutable."""

    name: str
    text: str
    limit: int
    """The maximum of characters of the text."""
    description: str
    """What belongs in the block, for the model that reads or changes it."""
    version: int
    """1 at first; each change of the text raises it by 1."""
    updated: float
    """The time of this version, in seconds since 1970."""


class StoredBlock(msgspec.Struct, array_like=True):
    """A block as it is stored."""

    text: str
    limit: int
    description: str
    version: int
    updated: float
    earlier: list[tuple[int, float, str]]
    """Earlier versions, oldest first."""


class StoredBlocks(msgspec.Struct, array_like=True):
    """All blocks of an agent as they are stored."""

    blocks: dict[str, StoredBlock] = {}
    gone: dict[str, int] = {}
    """The last version of each deleted block, so that no version ever comes back."""


_encode = msgspec.msgpack.Encoder().encode
decode_blocks = msgspec.msgpack.Decoder(StoredBlocks).decode


class MemoryBlocks:
    """The blocks of one agent, in the order in which they were defined.

    ::

        blocks = mind.blocks
        user = blocks.define("user", limit=500, description="Who the user is.")
        blocks.write("user", "Ann, a baker from Rome.", version=user.version)
        blocks.prompt()

    Safe from many threads, and between processes. Methods raise `TierUnavailable` if the database cannot be reached, and
    `MemoryClosed`. They read the database, so event loops call them by `TieredMemory.run`.
    """

    def __init__(self, memory: TieredMemory, agent: str) -> None:
        self._memory = memory
        self._agent = check_agent(agent)
        self._key = f"{BLOCKS}{agent}"

    def define(self, name: str, text: str = "", *, limit: int = _LIMIT, description: str = "") -> MemoryBlock:
        """Create a block, and return it.

        If it exists, its text stays, and it gets this limit and description. Raises `BlockTooLong`, and `InvalidMemory` for an
        invalid argument or too many blocks.
        """
        check_block_name(name)
        check_text("text of a block", text)
        check_text("description", description)
        check_count("limit of a block", limit, 1)

        def change(stored: StoredBlocks, now: float) -> None:
            block = stored.blocks.get(name)
            if block is not None:
                _check_length(name, block.text, limit)
                block.limit, block.description = limit, description
                return
            if len(stored.blocks) >= MOST_BLOCKS:
                raise InvalidMemory("block", name, f"an agent has at most {MOST_BLOCKS}: delete one, or put more into one")
            _check_length(name, text, limit)
            stored.blocks[name] = StoredBlock(text, limit, description, stored.gone.pop(name, 0) + 1, now, [])

        return self._seen(name, self._change(change))

    def write(self, name: str, text: str, *, version: int | None = None) -> MemoryBlock:
        """Replace the text of a block, and return the block.

        With `version` this happens only if the block still has it; `BlockChanged` is raised otherwise. Raises `UnknownBlock` and
        `BlockTooLong`.
        """
        check_text("text of a block", text)
        return self._rewrite(name, lambda _: text, version)

    def append(self, name: str, line: str, *, version: int | None = None) -> MemoryBlock:
        """Add a line to a block, and return the block. Raises like `write`."""
        check_text("line", line)
        return self._rewrite(name, lambda text: f"{text}\n{line}" if text else line, version)

    def replace(self, name: str, old: str, new: str, *, version: int | None = None) -> MemoryBlock:
        """Replace a passage of a block by another, and return the block.

        Raises like `write`, and `InvalidMemory` unless the passage is in the text exactly once.
        """
        check_text("passage", new)

        def rewrite(text: str) -> str:
            if not check_text("passage", old) or text.count(old) != 1:
                raise InvalidMemory(
                    "passage", old, f"it is {text.count(old) if old else 0} times in the block {name!r}, not once"
                )
            return text.replace(old, new)

        return self._rewrite(name, rewrite, version)

    def delete(self, name: str, *, version: int | None = None) -> None:
        """Delete a block and its earlier versions. Raises `UnknownBlock`, and `BlockChanged` like `write`."""

        def change(stored: StoredBlocks, _: float) -> None:
            block = self._block(stored, name)
            _check_version(name, block, version)
            stored.gone[name] = block.version
            del stored.blocks[name]

        self._change(change)

    def get(self, name: str) -> MemoryBlock:
        """Return a block. Raises `UnknownBlock`."""
        return self._seen(name, self._read()[0])

    def __getitem__(self, name: str) -> MemoryBlock:
        return self.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._read()[0].blocks

    def __iter__(self) -> Iterator[MemoryBlock]:
        stored, _ = self._read()
        return iter([self._seen(name, stored) for name in stored.blocks])

    def __len__(self) -> int:
        return len(self._read()[0].blocks)

    def versions(self, name: str) -> list[MemoryBlock]:
        """Return the block and its earlier versions, newest first: at most the last 21. Raises `UnknownBlock`."""
        stored, _ = self._read()
        now = self._seen(name, stored)
        earlier = [
            MemoryBlock(name, text, now.limit, now.description, version, updated)
            for version, updated, text in reversed(stored.blocks[name].earlier)
        ]
        return [now, *earlier]

    def prompt(self) -> str:
        """Return all blocks with a text as one text for a prompt; empty if there are none."""
        return "\n\n".join(
            f"## {block.name}\n" + (f"({block.description})\n" if block.description else "") + block.text
            for block in self
            if block.text
        )

    # Internal

    def _rewrite(self, name: str, rewrite: Callable[[str], str], version: int | None) -> MemoryBlock:
        def change(stored: StoredBlocks, now: float) -> None:
            block = self._block(stored, name)
            _check_version(name, block, version)
            text = rewrite(block.text)
            if text == block.text:
                return
            _check_length(name, text, block.limit)
            block.earlier = [*block.earlier, (block.version, block.updated, block.text)][-_EARLIER:]
            block.text, block.version, block.updated = text, block.version + 1, now

        return self._seen(name, self._change(change))

    def _change(self, change: Callable[[StoredBlocks, float], None]) -> StoredBlocks:
        """Apply a change to the stored blocks, again if another thread or process changed them meanwhile."""
        records = self._memory.records
        while True:
            stored, expected = self._read()
            now = self._memory.clock.time()
            change(stored, now)
            record = MemoryRecord(
                self._key,
                self._key,
                max(records.tiers.next_version(), expected + 1),
                _encode(stored),
                self._agent,
                MemoryKind.INTERNAL,
                created=now,
                entered=now,
                tier=Tier.LONG,
            )
            # Blocks go to the archive itself: only it compares versions between processes.
            if records.archive.write([Put(record, expected=expected)])[0]:
                return stored

    def _read(self) -> tuple[StoredBlocks, int]:
        """Return the stored blocks, and the version of their record."""
        self._memory.records.tiers.check_open()
        record = self._memory.records.archive.get([self._key]).get(self._key)
        return (StoredBlocks(), 0) if record is None else (decode_blocks(record.value), record.version)

    def _block(self, stored: StoredBlocks, name: str) -> StoredBlock:
        block = stored.blocks.get(name)
        if block is None:
            raise UnknownBlock(self._agent, name, stored.blocks)
        return block

    def _seen(self, name: str, stored: StoredBlocks) -> MemoryBlock:
        block = self._block(stored, name)
        return MemoryBlock(name, block.text, block.limit, block.description, block.version, block.updated)


def encode_blocks(stored: StoredBlocks) -> bytes:
    """Return the blocks of an agent as they are stored."""
    return _encode(stored)


def check_block_name(name: str) -> None:
    """Raise `InvalidMemory` unless a text can be the name of a block."""
    check_key(name, _NAME_BYTES)


def _check_length(name: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise BlockTooLong(name, len(text), limit)


def _check_version(name: str, block: StoredBlock, version: int | None) -> None:
    if version is not None and block.version != version:
        raise BlockChanged(name, version, block.version)
