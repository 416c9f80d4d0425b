"""Forgetting of a person: everything that belongs to one or is about one, in a store and in dumps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from msgspec.structs import replace

from coterie.errors import InvalidMemory
from coterie.kernel import check_instance
from coterie.memory.checking import check_agent, check_text, check_texts
from coterie.memory.contract import Delete, Put
from coterie.memory.dump import read_dump, rewrite_dump
from coterie.memory.mind.blocks import BLOCKS
from coterie.memory.mind.episodes import mark_before, mark_of
from coterie.memory.mind.erasure_plan import ErasurePlan, apply_plan
from coterie.memory.record import MemoryKind, MemoryRecord
from coterie.memory.tiered import TieredMemory
from coterie.memory.writing.pending import MemoryPriority

_PAGE = 500
_TIMES = 5
"""The maximum of passes: other threads may store more about the person meanwhile."""
_NO_LIMIT = 1 << 31

_ALWAYS = (
    "backups and copies of the database and of exports that were not given as dumps",
    "blocks of the disk that the file system has freed, and its snapshots",
    "logs of the program, and texts that were sent to models",
)


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What `forget_person` deleted and changed, and what it does not reach."""

    memories: int
    """Deleted memories, derived ones included."""
    derived: int
    """Those of them that were deleted because they were derived from others."""
    by_agent: Mapping[str, int]
    """Deleted memories by their owner."""
    by_kind: Mapping[str, int]
    """Deleted memories by their kind: value, episode or semantic."""
    internal: int
    """Deleted internal records: blocks, grants and marks of the owner."""
    blocks: tuple[str, ...]
    """Memory blocks of others from which lines about the person were removed, as "agent: name"."""
    contexts: int
    """Episodes whose context had words of deleted neighbours."""
    dumps: Mapping[str, int]
    """Memories deleted from each dump."""
    bytes_gone: bool
    """True if the database was rewritten, so that no deleted byte is left in its files. False in a store without a file."""
    not_covered: tuple[str, ...]
    """Places that may still have data of the person, for whoever has to look there."""


def forget_person(
    memory: TieredMemory,
    *,
    owner: str | None = None,
    subject: str | Sequence[str] | None = None,
    dumps: Sequence[str | PathLike[str]] = (),
) -> ErasureReport:
    """Delete everything of an owner, and everything about a subject, and return a report.

    `owner` is the agent whose memories, blocks and grants are deleted. `subject` is a name, or several names of one person: every
    memory of any agent that mentions one as whole words is deleted, in its text, value, key or fact, and so are the lines of memory
    blocks that do. All memories derived from a deleted one are deleted too, and its words in the contexts of its neighbours. The
    same is done in the `dumps`, files that `export_to` wrote. Then the database is rewritten, so that the bytes are gone.

    Memories that are stored while it runs are deleted too, if they are stored before its last pass. Takes about a second for 10,000
    memories. Raises `InvalidMemory`, `InvalidDump`, `TierUnavailable`, `WriteTimeout` and errors of storage; call it again then.
    """
    check_instance("forget_person.memory", memory, TieredMemory, "a TieredMemory")
    if owner is not None:
        check_agent(owner)
    names = (
        ()
        if subject is None
        else (check_text("subject", subject),)
        if isinstance(subject, str)
        else check_texts("subject", subject)
    )
    if owner is None and not names:
        raise InvalidMemory("person", None, "give owner=, subject= or both")
    if any(not ErasurePlan(None, (name,)).names for name in names):
        raise InvalidMemory("subject", subject, "a name has letters")
    paths = [Path(each) for each in dumps]
    # A dump that cannot be read is told before anything is deleted.
    records = {path: list(read_dump(path, _NO_LIMIT, _NO_LIMIT)) for path in paths}
    gone: dict[str, MemoryRecord] = {}
    derived: set[str] = set()
    blocks: list[str] = []
    contexts = 0
    for _ in range(_TIMES):
        plan = _plan(_stored(memory), owner, names)
        if not plan.gone and not plan.changed:
            break
        gone.update(plan.gone)
        derived |= plan.derived
        more, scrubbed = _apply(memory, plan)
        blocks += more
        contexts += scrubbed
    erase = getattr(memory.records.archive, "erase", None)
    rewritten = bool(erase(list(gone), owner)) if erase is not None else False
    kinds = Counter(str(record.kind) for record in gone.values())
    internal = kinds.pop(str(MemoryKind.INTERNAL), 0)
    return ErasureReport(
        memories=len(gone) - internal,
        derived=len(derived),
        by_agent=dict(Counter(record.agent for record in gone.values() if record.kind != MemoryKind.INTERNAL)),
        by_kind=dict(kinds),
        internal=internal,
        blocks=tuple(dict.fromkeys(blocks)),
        contexts=contexts,
        dumps={str(path): _forget_in_dump(path, records[path], owner, names) for path in paths},
        bytes_gone=rewritten,
        not_covered=_not_covered(memory),
    )


def _stored(memory: TieredMemory) -> Iterator[MemoryRecord]:
    memory.flush()
    archive = memory.records.archive
    after = ""
    while page := archive.scan(after, _PAGE):
        yield from page
        after = page[-1].key


def _plan(records: Iterable[MemoryRecord], owner: str | None, names: Sequence[str]) -> ErasurePlan:
    plan = ErasurePlan(owner, names)
    for record in records:
        plan.add(record)
    plan.finish()
    return plan


def _apply(memory: TieredMemory, plan: ErasurePlan) -> tuple[list[str], int]:
    records = memory.records
    # Consolidations under way must not store what they make of them.
    records.tell_erased({record.id for record in plan.gone.values()})
    for key in plan.gone:
        records.tiers.delete(key, lambda _, version, key=key: Delete(key, version))  # type: ignore[misc]
    memory.flush()
    # Blocks are in the archive only.
    left = records.archive.get([key for key in plan.gone if key.startswith(BLOCKS)])
    if left:
        records.archive.write([Delete(record.key, record.version) for record in left.values()])

    def put(record: MemoryRecord) -> None:
        if record.key.startswith(BLOCKS):
            newer = replace(record, version=max(records.tiers.next_version(), record.version + 1))
            records.archive.write([Put(newer)])
        else:
            records.tiers.write(record.key, lambda _, version, __: replace(record, version=version), MemoryPriority.NORMAL)

    def get(keys: Iterable[str]) -> Mapping[str, MemoryRecord]:
        return records.archive.get(list(keys))

    changed = apply_plan(plan, get, put)
    for agent, id in plan.unconsolidated().items():  # noqa: A001 - the field's own name
        records.put_internal(mark_of(agent), mark_before(id), agent)
    memory.flush()
    records.reload_users()
    return changed


def _forget_in_dump(path: Path, records: list[MemoryRecord], owner: str | None, names: Sequence[str]) -> int:
    plan = _plan(records, owner, names)
    if not plan.gone and not plan.changed:
        return 0
    there = {record.key: record for record in records if record.key not in plan.gone}

    def get(keys: Iterable[str]) -> Mapping[str, MemoryRecord]:
        return {key: there[key] for key in keys if key in there}

    apply_plan(plan, get, lambda record: there.update({record.key: record}))
    rewrite_dump(path, there.values())
    return len(plan.gone)


def _not_covered(memory: TieredMemory) -> tuple[str, ...]:
    config = memory.config
    more = []
    if config.postgres_url is not None:
        more.append("the log (WAL), the replicas and the backups of the PostgreSQL server")
        more.append(
            "the statistics of the PostgreSQL database, if its user does not own it, until the server analyses it again"
        )
    if config.redis_url is not None:
        more.append("the files of the Redis server, and the compression dictionaries in it")
    if config.shared:
        more.append("caches of other processes that use the same servers, for a second")
    return (*more, *_ALWAYS)
