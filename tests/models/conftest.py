"""A model server for each test, and a look at the threads it leaves."""

import threading
from collections.abc import Iterator

import pytest

from coterie.testing import ModelServer, eventually


@pytest.fixture(autouse=True)
def no_thread_leaks() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    eventually(lambda: set(threading.enumerate()) <= before, what="that no thread is left")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with ModelServer() as server:
        yield server
