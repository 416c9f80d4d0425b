import pytest

from coterie.storage.dialect import Dialect, fault_of, for_postgres, statements
from coterie.storage.migrations import Schema


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("SELECT ?, ?", "SELECT %s, %s"),
        ("SELECT '?', \"a?\", ? -- ?\n", "SELECT '?', \"a?\", %s -- ?\n"),
        (
            "SELECT 'it''s ?' /* ? */ WHERE a LIKE 'x%' AND b % 2 = ?",
            "SELECT 'it''s ?' /* ? */ WHERE a LIKE 'x%%' AND b %% 2 = %s",
        ),
        ("SELECT $tag$ ? ; $tag$, ?", "SELECT $tag$ ? ; $tag$, %s"),
    ],
)
def test_marks_are_translated_outside_of_quotes_and_comments(ours: str, theirs: str) -> None:
    assert for_postgres(ours) == theirs


def test_a_script_is_cut_where_its_statements_end() -> None:
    script = """
    -- first; the table
    CREATE TABLE a (n TEXT DEFAULT ';');
    CREATE TRIGGER t AFTER INSERT ON a BEGIN
        UPDATE a SET n = CASE WHEN n = 'x' THEN 'y;' ELSE 'z' END;
        DELETE FROM a WHERE n = 'b';
    END;
    /* ; */ ;
    INSERT INTO a VALUES ($$;$$)
    -- the end;
    """
    found = statements(script)
    assert [statement.split("\n")[-1].split()[0] for statement in found[:2]] == ["CREATE", "END"]
    assert len(found) == 3
    assert statements(" ; -- nothing\n;") == []


@pytest.mark.parametrize("sql", ["SELECT 1", "SELECT 1; -- done", "SELECT 'a;b'", "INSERT INTO ends VALUES (1)", ""])
def test_ordinary_statements_have_no_fault(sql: str) -> None:
    assert fault_of(sql) == ""


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "SELECT 1; COMMIT", "  /* a */ Commit", "start transaction"])
def test_several_statements_and_ends_of_transactions_have(sql: str) -> None:
    assert fault_of(sql)


@pytest.mark.parametrize("name", ["", "Room", "a b", "a'b", "1a", "a" * 64])
def test_a_schema_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a schema"):
        Schema(name, ())


def test_the_differences_between_dialects_are_named() -> None:
    assert Dialect.SQLITE.sequence != Dialect.POSTGRES.sequence
    assert Dialect.SQLITE.bytewise != Dialect.POSTGRES.bytewise
