"""The suites of the memory's tiers, over every backend."""

from collections.abc import Iterator

import pytest

from coterie.memory import Archive, Backend
from coterie.memory.backends.in_process import InProcessArchive, InProcessBackend
from coterie.memory.backends.redis import RedisBackend
from coterie.memory.compression import CompressedBackend
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


class TestCompressedBackend(BackendConformance):
    @pytest.fixture
    def backend(self) -> Iterator[Backend]:
        backend = CompressedBackend(InProcessBackend())
        yield backend
        backend.close()


class TestRedisBackend(BackendConformance):
    @pytest.fixture
    def backend(self, redis_url: str) -> Iterator[Backend]:
        backend = RedisBackend(redis_url, "suite:short")
        yield backend
        backend.close()


class TestCompressedRedisBackend(BackendConformance):
    @pytest.fixture
    def backend(self, redis_url: str) -> Iterator[Backend]:
        backend = CompressedBackend(RedisBackend(redis_url, "suite:intermediate"))
        yield backend
        backend.close()
