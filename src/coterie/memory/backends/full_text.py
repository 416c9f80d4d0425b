"""Full-text search in a database: FTS5 in SQLite, `tsvector` in PostgreSQL.

Both first count how common each word of a query is, and then search for the rarest: a word that occurs everywhere adds almost
nothing to the ranking, and visiting every record that contains it takes most of the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from coterie.memory.backends.sql import FIELDS, conditions_of
from coterie.memory.contract import SearchQuery
from coterie.storage import ReadTransaction, Row, Transaction

_BUDGET = 6_000
"""The maximum of postings that one search ranks, beyond those of its rarest word. Counting is cheap; ranking takes 1 to 2 µs
each."""

_MAX = 2 * _BUDGET
"""The maximum of memories that one search ranks, however common its only word is: the newest."""


_KNOWN = """
SELECT 1 FROM pg_stats
WHERE schemaname = current_schema() AND tablename = 'memories' AND attname = 'words' AND most_common_elems IS NOT NULL
"""
"""Whether PostgreSQL has statistics of the words, which it collects by itself about a minute after enough rows exist."""


class FullText(Protocol):
    """The full-text index of an archive."""

    def make(self, transaction: Transaction) -> None:
        """Create the index, as a step of a migration."""
        ...

    def tune(self, transaction: Transaction) -> None:
        """Configure the index, as a later step of a migration."""
        ...

    def due(self, view: ReadTransaction) -> int:
        """Return about how many records are not indexed yet; 0 only if all are. A search does not find the others."""
        ...

    def fill(self, transaction: Transaction, limit: int) -> None:
        """Index the oldest `limit` unindexed records."""
        ...

    def search(self, view: ReadTransaction, query: SearchQuery) -> list[Row]:
        """Return the best matching rows: the columns of a record, then the score (greater is better)."""
        ...


def rarest(words: Sequence[str], count: Callable[[str, int], int]) -> list[tuple[str, int]]:
    """Return the words to search for, rarest first, each with the number of documents that contain it.

    `count` counts up to a limit. Words without documents are left out, and so are the commonest beyond the budget.
    """
    counted = sorted(((count(word, _BUDGET), word) for word in words), key=lambda each: each[0])
    chosen: list[tuple[str, int]] = []
    visited = 0
    for number, word in counted:
        if number == 0:
            continue
        if chosen and visited + number > _BUDGET:
            break
        visited += number
        chosen.append((word, number))
    return chosen


class SqliteText:
    """FTS5 with Porter's stemmer. The texts stay in the table of the records.

    Indexing a record takes several times as long as writing it, so new records are indexed later. A record gets a greater
    `number` than all before it when it is first written, and keeps it: records up to a mark are indexed, those beyond it are
    due. The mark is in the same database, and moves in the transaction that indexes. Triggers update the index at once when an
    indexed record changes or is deleted.

    A third column holds a word for the agent, so that the index itself restricts a search to it. The word ends in a digit, so
    the stemmer leaves it unchanged.
    """

    def make(self, transaction: Transaction) -> None:
        """Create the index and its triggers."""
        transaction.execute("ALTER TABLE memories ADD COLUMN owner TEXT GENERATED ALWAYS AS ('a' || hex(agent) || '0') VIRTUAL")
        transaction.execute(
            """
            CREATE VIRTUAL TABLE memory_texts USING fts5 (
                text, context, owner, content = 'memories', content_rowid = 'number', tokenize = 'porter unicode61'
            )
            """
        )
        transaction.execute("INSERT INTO memory_marks (name, mark) VALUES ('indexed', 0)")
        add = "INSERT INTO memory_texts (rowid, text, context, owner) SELECT new.number, new.text, new.context, new.owner"
        drop = (
            "INSERT INTO memory_texts (memory_texts, rowid, text, context, owner) "
            "SELECT 'delete', old.number, old.text, old.context, old.owner"
        )
        indexed = f"old.number <= {self._MARK}"
        added, dropped = "new.kind <> 'house'", "old.kind <> 'house'"
        # A record that only moves to another tier keeps its words.
        changed = "(old.text, old.context, old.agent, old.kind) IS NOT (new.text, new.context, new.agent, new.kind)"
        change = f"{drop} WHERE {dropped}; {add} WHERE {added}"
        for statement in (
            f"CREATE TRIGGER memory_texts_drop AFTER DELETE ON memories WHEN {dropped} AND {indexed} BEGIN {drop}; END",
            f"CREATE TRIGGER memory_texts_change AFTER UPDATE ON memories WHEN {changed} AND {indexed} BEGIN {change}; END",
        ):
            transaction.execute(statement)

    def tune(self, transaction: Transaction) -> None:
        """Do nothing: this index needs no configuration."""

    def due(self, view: ReadTransaction) -> int:
        """Return about how many records are not indexed yet."""
        row = view.row(f"SELECT coalesce(max(number), 0) - {self._MARK} FROM memories")  # noqa: S608 - no user text
        return max(0, row[0]) if row is not None else 0

    def fill(self, transaction: Transaction, limit: int) -> None:
        """Index the oldest `limit` unindexed records."""
        next_ones = f"SELECT number FROM memories WHERE number > {self._MARK} ORDER BY number LIMIT ?"  # noqa: S608 - as above
        last = transaction.row(f"SELECT max(number) FROM ({next_ones})", (limit,))  # noqa: S608 - as above
        if last is None or last[0] is None:
            return
        transaction.execute(
            "INSERT INTO memory_texts (rowid, text, context, owner) SELECT number, text, context, owner FROM memories "  # noqa: S608 - as above
            f"WHERE number > {self._MARK} AND number <= ? AND kind <> 'house'",
            last,
        )
        transaction.execute("UPDATE memory_marks SET mark = ? WHERE name = 'indexed'", last)

    def search(self, view: ReadTransaction, query: SearchQuery) -> list[Row]:
        """Return the best matching rows."""

        def count(word: str, limit: int) -> int:
            sql = "SELECT count(*) FROM (SELECT 1 FROM memory_texts WHERE memory_texts MATCH ? LIMIT ?)"
            row = view.row(sql, (self._match([word], query.agents), limit))
            return int(row[0]) if row is not None else 0

        words = [word for word, _ in rarest(query.words, count)]
        if not words:
            return []
        conditions, values = conditions_of(query, "found.")
        fields = ", ".join(f"memories.{column}" for column in FIELDS)
        join = ""
        if query.kinds or query.after is not None or query.before is not None:
            join = f"JOIN memories AS found ON found.number = memory_texts.rowid AND {conditions}"
        else:
            # Internal records are not in the index.
            values = []
        # Select the best rows before joining their records: a row is wide, and many match.
        sql = f"""
            SELECT {fields}, -best.score FROM (
                SELECT number, score FROM (
                    SELECT memory_texts.rowid AS number, bm25(memory_texts, 1.0, 0.5, 0.0) AS score
                    FROM memory_texts {join} WHERE memory_texts MATCH ? ORDER BY memory_texts.rowid DESC LIMIT {_MAX}
                ) ORDER BY score LIMIT ?
            ) AS best JOIN memories ON memories.number = best.number
            """  # noqa: S608 - no user text
        return view.rows(sql, (*values, self._match(words, query.agents), query.limit))

    _MARK = "(SELECT mark FROM memory_marks WHERE name = 'indexed')"

    @staticmethod
    def _match(words: Sequence[str], agents: Sequence[str]) -> str:
        """Return the FTS5 expression for any of the words in the memories of any of the agents."""
        wanted = "{text context} : (" + " OR ".join(f'"{word}"' for word in words) + ")"
        if not agents:
            return wanted
        owners = " OR ".join(f'"a{agent.encode().hex()}0"' for agent in dict.fromkeys(agents))
        return f"owner : ({owners}) AND {wanted}"


class PostgresText:
    """An English `tsvector` of text and context, with a GIN index.

    The ranking of PostgreSQL ignores how rare a word is; so each word is ranked by itself and weighted.
    """

    def make(self, transaction: Transaction) -> None:
        """Create the column and its index."""
        transaction.execute(
            """
            ALTER TABLE memories ADD COLUMN words tsvector GENERATED ALWAYS AS (
                setweight(to_tsvector('english', CASE WHEN kind = 'house' THEN '' ELSE text END), 'A')
                || setweight(to_tsvector('english', CASE WHEN kind = 'house' THEN '' ELSE context END), 'B')
            ) STORED
            """
        )
        transaction.execute("CREATE INDEX memories_by_word ON memories USING gin (words)")

    def tune(self, transaction: Transaction) -> None:
        """Write new words directly into the index; otherwise every search scans a list of pending words."""
        transaction.execute("ALTER INDEX memories_by_word SET (fastupdate = off)")
        transaction.rows("SELECT gin_clean_pending_list('memories_by_word'::regclass)")

    def due(self, view: ReadTransaction) -> int:  # noqa: ARG002 - the contract's
        """Return 0: the server maintains its index itself."""
        return 0

    def fill(self, transaction: Transaction, limit: int) -> None:
        """Do nothing: the server maintains its index itself."""

    def search(self, view: ReadTransaction, query: SearchQuery) -> list[Row]:
        """Return the best matching rows."""
        where, values = conditions_of(query)
        if query.agents:
            where += f" AND agent IN ({', '.join('?' for _ in query.agents)})"
            values += query.agents

        def count(lexemes: str, limit: int) -> int:
            sql = f"SELECT count(*) FROM (SELECT 1 FROM memories WHERE words @@ ?::tsquery AND {where} LIMIT ?) AS held"  # noqa: S608 - as above
            row = view.row(sql, (lexemes, *values, limit))
            return int(row[0]) if row is not None else 0

        def estimate(lexemes: str, limit: int) -> int:
            # Counting visits every row that contains the word; the planner has an estimate.
            sql = f"EXPLAIN (FORMAT JSON) SELECT 1 FROM memories WHERE words @@ ?::tsquery AND {where}"  # noqa: S608 - as above
            row = view.row(sql, (lexemes, *values))
            assert row is not None
            plan = msgspec.json.decode(row[0]) if isinstance(row[0], str | bytes) else row[0]
            return min(limit, max(1, int(plan[0]["Plan"]["Plan Rows"])))

        # Stem once, not again for each row.
        stems = view.row("SELECT " + ", ".join("plainto_tsquery('english', ?)::text" for _ in query.words), query.words)
        known = view.row(_KNOWN)
        words = rarest([stem for stem in dict.fromkeys(stems or ()) if stem], count if known is None else estimate)
        if not words:
            return []
        total = view.row("SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = 'memories'::regclass")
        most = max(float(total[0]) if total is not None else 0.0, *(number for _, number in words))
        # As in BM25: rare words weigh more, and long texts weigh less (the 1 as the last argument).
        rank = "ts_rank('{0, 0, 0.5, 1}', words, ?::tsquery, 1) * ?::float8"
        score = " + ".join(rank for _ in words)
        scored = [part for word, number in words for part in (word, math.log(1.0 + (most - number + 0.5) / (number + 0.5)))]
        sql = f"""
            SELECT {", ".join(FIELDS)}, score FROM memories JOIN (
                SELECT number, {score} AS score FROM (
                    SELECT number, words, version FROM memories WHERE words @@ ?::tsquery AND {where}
                    ORDER BY number DESC LIMIT {_MAX}
                ) AS newest ORDER BY score DESC, version DESC LIMIT ?
            ) AS best USING (number)
            """  # noqa: S608 - as above
        return view.rows(sql, (*scored, " | ".join(word for word, _ in words), *values, query.limit))
