"""The suite of the store of conversations, over both databases."""

from pathlib import Path

import pytest

from coterie.storage import Database, open_database
from coterie.testing.conformance import JournalConformance


class TestSqlite(JournalConformance):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "chats.db"

    def open(self) -> Database:
        return open_database(self.path)


class TestPostgres(JournalConformance):
    @pytest.fixture(autouse=True)
    def place(self, postgres_url: str) -> None:
        self.url = postgres_url

    def open(self) -> Database:
        return open_database(self.url)
