"""The suites of the memory's tiers, over every backend."""

from collections.abc import Iterator

import pytest

from coterie.memory import Archive, Backend, InProcessArchive, InProcessBackend
from coterie.testing.conformance import ArchiveConformance, BackendConformance


class TestInProcessBackend(BackendConformance):
    @pytest.fixture
    def backend(self) -> Iterator[Backend]:
        backend = InProcessBackend()
        yield backend
        backend.close()


class TestInProcessArchive(ArchiveConformance):
    @pytest.fixture
    def archive(self) -> Iterator[Archive]:
        archive = InProcessArchive()
        yield archive
        archive.close()
