"""Tests of fields as SQL: over JSON text in SQLite, and `jsonb` in PostgreSQL."""

from __future__ import annotations

from typing import Any

import msgspec

from coterie.memory.fields import FieldTest, Scalar, fields_of, kind_of
from coterie.storage import ReadTransaction, Transaction
from coterie.storage.dialect import Dialect

_TYPES = {"null": "('null')", "boolean": "('true', 'false')", "text": "('text')", "number": "('integer', 'real')"}
_GREATEST = 2**63 - 1
_PAGE = 1_000

_encode = msgspec.json.Encoder().encode


def stored_fields(body: bytes) -> str:
    """Return the fields of a value as JSON."""
    fields = fields_of(body)
    return _encode(fields).decode() if fields else "{}"


def add_fields(name: str) -> Any:
    """Return the migration step that adds the fields of values to the table of a tier."""

    def step(transaction: Transaction) -> None:
        kind = "TEXT" if transaction.dialect is Dialect.SQLITE else "jsonb"
        transaction.execute(f"ALTER TABLE {name} ADD COLUMN fields {kind}")
        after = 0
        while rows := _next(transaction, name, after):
            sql = f"UPDATE {name} SET fields = {value_of_fields(transaction.dialect)} WHERE number = ?"  # noqa: S608 - no user text
            transaction.execute_many(sql, [(stored_fields(bytes(body)), number) for number, body in rows])
            after = rows[-1][0]

    return step


def _next(transaction: ReadTransaction, name: str, after: int) -> list[tuple[Any, ...]]:
    return list(transaction.rows(f"SELECT number, body FROM {name} WHERE number > ? ORDER BY number LIMIT {_PAGE}", (after,)))  # noqa: S608 - no user text


def value_of_fields(dialect: Dialect) -> str:
    """Return the SQL of a value of the column of fields."""
    return "?" if dialect is Dialect.SQLITE else "?::jsonb"


def condition_of(dialect: Dialect, table: str, name: str, test: FieldTest) -> tuple[str, list[Any]]:
    """Return the SQL condition of a test of the field `name`, and its values."""
    return _in_sqlite(table, name, test) if dialect is Dialect.SQLITE else _in_postgres(table, name, test)


def _in_sqlite(table: str, name: str, test: FieldTest) -> tuple[str, list[Any]]:
    each = f"SELECT 1 FROM json_each({table}fields) AS field"  # noqa: S608 - no user text
    if test.how == "has":
        inner = "json_each(CASE WHEN field.type = 'array' THEN field.value ELSE '[]' END) AS item"
        held, values = _equal("item", test.values[0])
        return f"EXISTS ({each}, {inner} WHERE field.key = ? AND {held})", [name, *values]
    if test.how in ("least", "most"):
        sign = ">=" if test.how == "least" else "<="
        wanted = test.values[0]
        held = f"field.type IN {_TYPES[kind_of(wanted)]} AND field.value {sign} ?"
        return f"EXISTS ({each} WHERE field.key = ? AND {held})", [name, _number(wanted)]
    parts, values = [], list[Any]()
    for wanted in test.values:
        part, more = _equal("field", wanted)
        parts.append(f"({part})")
        values += more
    return f"EXISTS ({each} WHERE field.key = ? AND ({' OR '.join(parts) or 'FALSE'}))", [name, *values]


def _equal(row: str, wanted: Scalar) -> tuple[str, list[Any]]:
    if wanted is None or isinstance(wanted, bool):
        return f"{row}.type = '{'null' if wanted is None else 'true' if wanted else 'false'}'", []
    return f"{row}.type IN {_TYPES[kind_of(wanted)]} AND {row}.value = ?", [_number(wanted)]


def _number(value: Scalar) -> Scalar:
    """Return a number that the database takes: JSON of SQLite has greater whole numbers as floats."""
    return float(value) if isinstance(value, int) and abs(value) > _GREATEST else value


def _in_postgres(table: str, name: str, test: FieldTest) -> tuple[str, list[Any]]:
    fields = f"{table}fields"
    if test.how in ("least", "most"):
        sign = ">=" if test.how == "least" else "<="
        wanted = test.values[0]
        if isinstance(wanted, str):
            return (
                f"(jsonb_typeof({fields} -> ?::text) = 'string' AND ({fields} ->> ?::text) COLLATE \"C\" {sign} ?::text)",
                [name, name, wanted],
            )
        # The conversion must not see a field of another type.
        compared = (
            f"CASE WHEN jsonb_typeof({fields} -> ?::text) = 'number' THEN ({fields} ->> ?::text)::numeric {sign} ?::numeric"
        )
        return f"({compared} ELSE FALSE END)", [name, name, str(wanted)]
    wanted_fields = [{name: [each] if test.how == "has" else each} for each in test.values]
    parts = [f"{fields} @> ?::jsonb" for _ in wanted_fields]
    values = [_encode(each).decode() for each in wanted_fields]
    return f"({' OR '.join(parts) or 'FALSE'})", list(values)
