"""What all tests share: the servers, each started only when a test asks for it."""

from tests.servers import (
    postgres_process,
    postgres_server,
    postgres_url,
    pytest_collection_finish,
    pytest_runtest_makereport,
    redis_process,
    redis_server,
    redis_url,
)

__all__ = [
    "postgres_process",
    "postgres_server",
    "postgres_url",
    "pytest_collection_finish",
    "pytest_runtest_makereport",
    "redis_process",
    "redis_server",
    "redis_url",
]
