"""`coterie dead-letters`."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from coterie.cli.application import create_application
from coterie.durable import DurableChange, DurableStore, Identity, OutgoingMessage
from coterie.storage import SqliteDatabase


@pytest.fixture
def store(tmp_path: Path) -> str:
    path = tmp_path / "agents.db"
    with SqliteDatabase(path) as database:
        durable = DurableStore(database)
        message = OutgoingMessage(Identity("Account", "42"), "bank:Credit", b"\x80")
        (number,) = durable.commit(DurableChange(Identity("Account", "41"), 0, outgoing=[message])).result()
        durable.record_attempt(number, 5, "Traceback\nValueError: no [money]", dead=True).result()
    return str(path)


def test_dead_letters_are_listed_and_driven_again(store: str) -> None:
    run = CliRunner().invoke
    shown = run(create_application(), ["dead-letters", store])
    assert shown.output == "1: Credit to Account '42' failed 5 times: ValueError: no [money]\n"
    assert "Traceback" in run(create_application(), ["dead-letters", store, "--tracebacks"]).output
    assert "no dead letter 7" in str(run(create_application(), ["dead-letters", store, "--redrive", "7"]).exception)
    assert run(create_application(), ["dead-letters", store, "--redrive", "1"]).output == "1 will be delivered again\n"
    assert run(create_application(), ["dead-letters", store]).output == "no dead letters\n"


def test_a_missing_file_is_named_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    assert str(path) in str(CliRunner().invoke(create_application(), ["dead-letters", str(path)]).exception)
    assert not path.exists()
