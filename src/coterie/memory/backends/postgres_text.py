"""The full-text index of a PostgreSQL server: a `tsvector` of the terms of each record, with a GIN index."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import msgspec

from coterie.memory.backends import full_text
from coterie.memory.backends.full_text import (
    Analysed,
    Unindexed,
    analysed,
    begin_renewal,
    capped_counts,
    hits_of,
    set_version,
)
from coterie.memory.backends.sql import FIELDS, conditions_of, record_of
from coterie.memory.contract import SearchHit, SearchQuery
from coterie.memory.record import MemoryKind, MemoryRecord
from coterie.memory.text.analysis import VERSION
from coterie.memory.text.ranking import MOST_COUNTED, MOST_TOTAL, Document, QuestionTerms, candidates_for, rarest
from coterie.storage import ReadTransaction, Transaction
from coterie.storage.dialect import Dialect

_COUNTED_IN_CONTEXT = 50
"""The positions of a term in a `tsvector` tell only how often it occurs: in the text from 1 on, in the context from 201 on. A
`tsvector` holds up to 256 for a term."""
_MAX_BYTES = 1_000_000
"""The maximum of bytes of a `tsvector`, a little below that of PostgreSQL."""
_EXACT = 2_000
"""Words in fewer memories than this are counted; the planner estimates the others."""

_KNOWN = """
SELECT 1 FROM pg_stats
WHERE schemaname = current_schema() AND tablename = 'memories' AND attname = 'terms' AND most_common_elems IS NOT NULL
"""
"""Whether PostgreSQL has statistics of the terms, which it collects by itself about a minute after enough rows exist."""


class PostgresText:
    """Stores the terms of each record with it, as it is written. Only records of earlier versions are indexed later."""

    columns: Mapping[str, str] = {"terms": "?::tsvector", "text_length": "?", "context_length": "?"}

    @property
    def steps(self) -> Sequence[Callable[[Transaction], None]]:
        """The steps of the migration that creates the index."""
        return (_no_index, _no_index, _index_of_terms)

    def values(self, record: MemoryRecord) -> tuple[object, ...]:
        """Return the terms of a record, and their numbers."""
        if record.kind == MemoryKind.INTERNAL:
            return ("", 0, 0)
        return _columns_of(analysed([Unindexed(0, 0, record.text, record.context)])[0])

    def renew(self, transaction: Transaction) -> bool:
        """Remove what an earlier version of the analysis indexed, and return whether records have to be indexed anew."""
        changed, unfinished = begin_renewal(transaction)
        if changed and transaction.row("SELECT 1 FROM memories WHERE terms IS NOT NULL LIMIT 1") is not None:
            _drop_terms(transaction)
            _add_terms(transaction)
        return unfinished

    def renewed(self, transaction: Transaction) -> None:
        """Note that all records were indexed anew."""
        set_version(transaction, VERSION)

    def purge(self, transaction: Transaction) -> None:
        """Do nothing: the terms are a column of the record's row."""

    def due(self, view: ReadTransaction) -> int:
        """Return how many records are not indexed yet."""
        row = view.row("SELECT count(*) FROM memories WHERE terms IS NULL")
        return int(row[0]) if row is not None else 0

    def unindexed(self, view: ReadTransaction, limit: int) -> list[Unindexed]:
        """Return the oldest `limit` unindexed records."""
        sql = "SELECT number, version, text, context FROM memories WHERE terms IS NULL ORDER BY number LIMIT ?"
        return [Unindexed(*row) for row in view.rows(sql, (limit,))]

    def index(self, transaction: Transaction, records: Sequence[Analysed]) -> None:
        """Index those of the records that are still unindexed."""
        sql = (
            "UPDATE memories SET terms = CASE WHEN kind = 'house' THEN ''::tsvector ELSE ?::tsvector END, "
            "text_length = ?, context_length = ? WHERE number = ? AND version = ? AND terms IS NULL"
        )
        transaction.execute_many(sql, [(*_columns_of(each), each.number, each.version) for each in records])

    def search(self, view: ReadTransaction, query: SearchQuery) -> list[SearchHit]:
        """Return the best matching records."""
        question = QuestionTerms(query.words, query.languages)
        groups = [" | ".join(f"'{form}'" for form in forms) for forms in question.words]
        owners = ("agent IN (" + ", ".join("?" for _ in query.agents) + ")") if query.agents else "TRUE"
        counted = f"SELECT 1 FROM memories WHERE terms @@ ?::tsquery AND {owners}"  # noqa: S608 - no user text
        known = view.row(_KNOWN) is not None

        def count(group: str) -> int:
            if known:
                # Counting visits every row that contains the word; the planner has an estimate.
                row = view.row(f"EXPLAIN (FORMAT JSON) {counted}", (group, *query.agents))
                assert row is not None
                plan = msgspec.json.decode(row[0]) if isinstance(row[0], str | bytes) else row[0]
                if (rows := int(plan[0]["Plan"]["Plan Rows"])) >= _EXACT:
                    return min(full_text.BUDGET, rows)
            row = view.row(f"SELECT count(*) FROM ({counted} LIMIT ?) AS held", (group, *query.agents, full_text.BUDGET))  # noqa: S608 - as above
            return int(row[0]) if row is not None else 0

        frequencies = [count(group) for group in groups]
        chosen = rarest(frequencies, full_text.BUDGET)
        if not chosen:
            return []
        where, values = conditions_of(query, Dialect.POSTGRES)
        # Rare words weigh more, and long texts weigh less (the 1 as the last argument).
        score = " + ".join("ts_rank('{0, 0, 0.5, 1}', terms, ?::tsquery, 1) * ?::float8" for _ in chosen)
        scored = [part for place in chosen for part in (groups[place], math.log(1.0 + MOST_TOTAL / frequencies[place]))]
        sql = f"""
            SELECT {", ".join(FIELDS)}, text_length, context_length, counts FROM memories JOIN (
                SELECT number, {score} AS score FROM (
                    SELECT number, terms, version FROM memories WHERE terms @@ ?::tsquery AND {owners} AND {where}
                    ORDER BY number DESC LIMIT {full_text.MAX}
                ) AS newest ORDER BY score DESC, version DESC LIMIT ?
            ) AS best USING (number) CROSS JOIN LATERAL (
                SELECT json_agg(json_build_array(lexeme, array_to_string(weights, '')))::text AS counts
                FROM unnest(memories.terms) WHERE lexeme = ANY(?)
            ) AS held
            """  # noqa: S608 - as above
        anything = " | ".join(groups[place] for place in chosen)
        rows = view.rows(sql, (*scored, anything, *query.agents, *values, candidates_for(query.limit), [*question.terms]))
        found = [(record_of(row), _document(row[-1], row[-3], row[-2])) for row in rows]
        row = view.row(f"SELECT count(*) FROM (SELECT 1 FROM memories WHERE {owners} LIMIT {MOST_TOTAL}) AS held", query.agents)  # noqa: S608 - as above
        return hits_of(question, found, frequencies, int(row[0]) if row is not None else 0, query.limit)


def _document(counts: str | None, text_length: int, context_length: int) -> Document:
    found = msgspec.json.decode(counts or "[]", type=list[tuple[str, str]])
    in_text = {term: weights.count("A") for term, weights in found if "A" in weights}
    return Document(
        in_text, {term: weights.count("B") for term, weights in found if "B" in weights}, text_length, context_length
    )


def _columns_of(record: Analysed) -> tuple[str, int, int]:
    """Return the terms as a `tsvector`, and their numbers in the text and the context."""
    in_text, in_context = capped_counts(record.text), capped_counts(record.context)
    # A very long text has fewer positions for each term, and at last no terms of its context.
    for most in (MOST_COUNTED, 20, 2):
        if _size_of(in_text, most) + _size_of(in_context, min(most, _COUNTED_IN_CONTEXT)) <= _MAX_BYTES:
            break
    else:
        in_context = {}
    first = MOST_COUNTED + 1
    positions = {term: ",".join(f"{place}A" for place in range(1, min(count, most) + 1)) for term, count in in_text.items()}
    for term, count in in_context.items():
        last = first + min(count, most, _COUNTED_IN_CONTEXT)
        places = ",".join(f"{place}B" for place in range(first, last))
        positions[term] = f"{positions[term]},{places}" if term in positions else places
    return " ".join(f"'{term}':{places}" for term, places in positions.items()), len(record.text), len(record.context)


def _size_of(counts: Mapping[str, int], most: int) -> int:
    """Return the bytes that terms take in a `tsvector`, with up to `most` positions each."""
    return sum(len(term.encode()) + 3 + 2 * min(count, most) for term, count in counts.items())


def _no_index(transaction: Transaction) -> None:
    """Do nothing: earlier versions created an index here that analysed English."""


def _index_of_terms(transaction: Transaction) -> None:
    transaction.execute("DROP INDEX IF EXISTS memories_by_word")
    transaction.execute("ALTER TABLE memories DROP COLUMN IF EXISTS words")
    _add_terms(transaction)


def _add_terms(transaction: Transaction) -> None:
    transaction.execute("ALTER TABLE memories ADD COLUMN terms tsvector")
    transaction.execute("ALTER TABLE memories ADD COLUMN text_length BIGINT")
    transaction.execute("ALTER TABLE memories ADD COLUMN context_length BIGINT")
    # New terms go directly into the index; otherwise every search scans a list of pending ones.
    transaction.execute("CREATE INDEX memories_by_term ON memories USING gin (terms) WITH (fastupdate = off)")
    transaction.execute("CREATE INDEX memories_without_terms ON memories (number) WHERE terms IS NULL")


def _drop_terms(transaction: Transaction) -> None:
    for column in ("terms", "text_length", "context_length"):
        transaction.execute(f"ALTER TABLE memories DROP COLUMN {column}")
