"""The suite of the databases, over both."""

from pathlib import Path
from typing import Any

import pytest

from coterie.storage import Database, open_database
from coterie.testing.conformance import DatabaseConformance


class TestSqlite(DatabaseConformance):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "run.db"

    def open(self, **options: Any) -> Database:
        return open_database(self.path, **options)


class TestPostgres(DatabaseConformance):
    @pytest.fixture(autouse=True)
    def place(self, postgres_url: str) -> None:
        self.url = postgres_url

    def open(self, **options: Any) -> Database:
        return open_database(self.url, **options)
