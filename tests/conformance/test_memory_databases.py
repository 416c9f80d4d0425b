"""The suites of the memory's tiers, over the databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from coterie.memory import Archive, Backend
from coterie.memory.backends.opening import PostgresArchive, SqliteArchive, SqliteBackend
from coterie.testing.conformance import ArchiveConformance, BackendConformance


class TestSqliteBackend(BackendConformance):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Iterator[Backend]:
        backend = SqliteBackend(tmp_path / "run.db", "short")
        yield backend
        backend.close()


class TestSqliteArchive(ArchiveConformance):
    @pytest.fixture
    def archive(self, tmp_path: Path) -> Iterator[Archive]:
        archive = SqliteArchive(tmp_path / "run.db")
        yield archive
        archive.close()


class TestPostgresArchive(ArchiveConformance):
    @pytest.fixture
    def archive(self, postgres_url: str) -> Iterator[Archive]:
        archive = PostgresArchive(postgres_url)
        yield archive
        archive.close()
