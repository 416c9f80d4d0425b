import json
from pathlib import Path

from coterie.concurrency import PROCESS_THREADS
from coterie.storage import open_database
from tests.cli.test_run import coterie


def test_the_doctor_shows_the_machine_the_sizing_and_the_health() -> None:
    out, err = coterie("doctor")
    assert err == ""
    for word in (
        "the machine",
        "physical",
        "container's quota",
        "for learning",
        "COTERIE_MAX_THREADS",
        "max threads",
        "processes",
        "well",
        "prometheus",
    ):
        assert word in out, word
    assert "not well" not in out


def test_the_doctor_speaks_json() -> None:
    out, _ = coterie("doctor", "--json")
    report = json.loads(out)
    assert report["machine"]["cores"] >= 1
    sizing = report["sizing"]
    assert sizing["limits"]["max_threads"] >= 2
    assert sizing["process"] == {"threads": PROCESS_THREADS.threads_limit, "abandoned": PROCESS_THREADS.abandoned_limit}
    assert sizing["parts"]["memory"]["read"] == 2 * report["machine"]["usable"]
    assert sizing["parts"]["processing"]["of these for learning"] == max(1, sizing["parts"]["processing"]["processes"] - 1)
    assert all(check["well"] for check in report["checks"].values())


def test_a_failed_check_is_named_and_the_doctor_ends_with_1(tmp_path: Path) -> None:
    out, _ = coterie("doctor", "--database", tmp_path / "missing.db", code=1)
    assert "not well" in out
    out, _ = coterie("doctor", "--redis", "redis://127.0.0.1:1/0", code=1)
    assert "not well" in out


def test_a_database_that_is_there_is_opened_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with open_database(path) as database:
        database.write(lambda transaction: transaction.execute("CREATE TABLE kept (id BIGINT)")).result(10)
    coterie("doctor", "--database", path)
    with open_database(path) as database:
        assert database.rows("SELECT * FROM kept") == []
    path.write_bytes(b"this is no database" * 100)
    out, _ = coterie("doctor", "--database", path, code=1)
    assert "damaged" in out
