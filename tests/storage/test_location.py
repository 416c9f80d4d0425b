from pathlib import Path

import pytest

from coterie.errors.storage import WrongUrl
from coterie.storage import SqliteDatabase, open_database
from coterie.storage.dialect import Dialect
from coterie.storage.postgres.address import ConnectionTarget


@pytest.mark.parametrize(
    "form", ["run.db", "sqlite:///run.db", "sqlite:///{folder}/run.db", "{folder}/run.db", "sqlite:///r%75n.db"]
)
def test_all_forms_of_a_path_open_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.chdir(tmp_path)
    with open_database(form.format(folder=tmp_path)) as database:
        assert isinstance(database, SqliteDatabase)
        assert database.path == tmp_path / "run.db"
        assert database.dialect is Dialect.SQLITE
        assert repr(database) == f"<SqliteDatabase {tmp_path / 'run.db'}>"


@pytest.mark.parametrize(
    "url",
    [
        "",
        ":memory:",
        "file:run.db",
        "sqlite://host/run.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///a?b=c",
        "a\0b",
    ],
)
def test_a_text_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(WrongUrl, match=r"expected run\.db, sqlite:///run\.db or postgresql://"):
        open_database(url)


SECRETS = [
    "mysql://user:s3cret@host/name",
    "postgresql://user:s3cret/x@host/name",
    "postgresql://user:s3cret:x@host:port/name",
    "postgresql://user:12/s3cret@host/name",
    "postgresql://user:12?s3cret@host/name",
    "postgresql://user:12#s3cret@host/name",
    "postgresql://[user:s3cret@host/name",
    "redis:user:s3cret@host",
]


@pytest.mark.parametrize("url", SECRETS)
def test_no_part_of_a_wrong_address_that_may_be_a_secret_is_shown(url: str) -> None:
    with pytest.raises(WrongUrl) as caught:
        open_database(url)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_an_address_is_shown_without_its_secrets() -> None:
    address = ConnectionTarget("postgresql://me:s3cr%2Fet@[::1]:5433/name?sslmode=require&password=oth%2Fer&sslpassword=third")
    assert address.shown == "postgresql://me@[::1]:5433/name?sslmode=require&password=***&sslpassword=***"
    assert address.options == {"sslmode", "password", "sslpassword"}
    for secret in ("s3cr/et", "s3cr%2Fet", "oth/er", "third"):
        assert secret not in address.shown + repr(address) + address.clean(f"failed: {secret} at\n postgresql://me:{secret}@x")


def test_an_address_without_a_server_or_a_user_is_one() -> None:
    assert ConnectionTarget("postgresql:///name").shown == "postgresql:///name"
    assert ConnectionTarget("postgres://host").shown == "postgres://host"
