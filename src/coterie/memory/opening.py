"""Opening what a store of memories is kept in, as its configuration says."""

from __future__ import annotations

from coterie.memory.backends.in_process import InProcessArchive, InProcessBackend
from coterie.memory.compression import CompressedBackend
from coterie.memory.config import MemoryConfig
from coterie.memory.contract import Archive, Backend


def open_archive(config: MemoryConfig) -> Archive:
    """Return the archive of that configuration."""
    return InProcessArchive()


def open_short_term(config: MemoryConfig) -> Backend:
    """Return the backend of the short-term tier."""
    return InProcessBackend()


def open_intermediate(config: MemoryConfig) -> Backend:
    """Return the backend of the intermediate tier, compressed if so configured."""
    backend = InProcessBackend()
    return CompressedBackend(backend) if config.compression else backend
