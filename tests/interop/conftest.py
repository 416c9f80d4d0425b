"""Fixtures: a server for each test that needs one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.served import Served, served


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as running:
        yield running
