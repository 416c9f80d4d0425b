"""What all tests share: the servers, each started only when a test asks for it; and Ctrl-C as a terminal gives it."""

import os
import signal

from tests.servers import (
    chromium,
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
    "chromium",
    "postgres_process",
    "postgres_server",
    "postgres_url",
    "pytest_collection_finish",
    "pytest_configure",
    "pytest_runtest_makereport",
    "redis_process",
    "redis_server",
    "redis_url",
]

# Ray reads it when it is imported; a token of this account is none of the clusters that tests start.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")


def pytest_configure() -> None:
    # A shell starts what it puts in the background with SIGINT ignored, which all its children would inherit; the tests
    # interrupt themselves and their children, and are to pass there too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
