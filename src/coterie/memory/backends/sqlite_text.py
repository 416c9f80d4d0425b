"""The full-text index of an SQLite file: FTS5 over the terms of the records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from coterie.memory.backends import full_text
from coterie.memory.backends.full_text import (
    Analysed,
    Unindexed,
    analysed,
    begin_renewal,
    document_of,
    hits_of,
    set_version,
)
from coterie.memory.backends.sql import FIELDS, conditions_of, record_of
from coterie.memory.contract import SearchHit, SearchQuery
from coterie.memory.record import MemoryRecord
from coterie.memory.text.analysis import VERSION
from coterie.memory.text.ranking import MOST_TOTAL, QuestionTerms, candidates_for, rarest
from coterie.storage import ReadTransaction, Transaction
from coterie.storage.dialect import Dialect

_MARK = "(SELECT mark FROM memory_marks WHERE name = 'indexed')"

_DUE = f"SELECT (SELECT coalesce(max(number), 0) FROM memories), {_MARK}, (SELECT count(*) FROM memory_due)"  # noqa: S608 - no user text


class SqliteText:
    """Stores the terms of each record in an FTS5 table of their own.

    Indexing a record takes several times as long as writing it, so new records are indexed later. A record gets a greater
    `number` than all before it when it is first written, and keeps it: records up to a mark are indexed, those beyond it are
    due, and so are those in the table `memory_due`. The mark is in the same database, and moves in the transaction that indexes.
    Triggers remove the terms of an indexed record when it is deleted or its text changes, and make it due in the second case.

    A third column holds a term for the agent, so that the index itself restricts a search to it.
    """

    columns: Mapping[str, str] = {}

    @property
    def steps(self) -> Sequence[Callable[[Transaction], None]]:
        """The steps of the migration that creates the index."""
        return (_first_index, _no_tuning, _index_of_terms)

    def values(self, record: MemoryRecord) -> tuple[object, ...]:  # noqa: ARG002 - the contract's
        """Return no values: the index has a table of its own."""
        return ()

    def renew(self, transaction: Transaction) -> bool:
        """Remove what an earlier version of the analysis indexed, and return whether records have to be indexed anew."""
        changed, unfinished = begin_renewal(transaction)
        if changed:
            transaction.execute("DROP TABLE IF EXISTS memory_terms")
            _make_table(transaction)
            transaction.execute("DELETE FROM memory_due")
            transaction.execute("UPDATE memory_marks SET mark = 0 WHERE name = 'indexed'")
        return unfinished

    def renewed(self, transaction: Transaction) -> None:
        """Note that all records were indexed anew."""
        set_version(transaction, VERSION)

    def purge(self, transaction: Transaction) -> None:
        """Merge the index into one segment: the terms of deleted rows stay in the older segments until then."""
        transaction.execute("INSERT INTO memory_terms (memory_terms) VALUES ('optimize')")

    def due(self, view: ReadTransaction) -> int:
        """Return about how many records are not indexed yet."""
        row = view.row(_DUE)
        return max(0, row[0] - row[1]) + int(row[2]) if row is not None else 0

    def unindexed(self, view: ReadTransaction, limit: int) -> list[Unindexed]:
        """Return the oldest `limit` unindexed records: first those that changed, then new ones."""
        wanted = "SELECT number, version, text, context FROM memories"
        changed = f"{wanted} WHERE number IN (SELECT number FROM memory_due LIMIT ?)"  # noqa: S608 - no user text
        rows = view.rows(changed, (limit,))
        if len(rows) < limit:
            new = f"{wanted} WHERE number > {_MARK} ORDER BY number LIMIT ?"
            rows += view.rows(new, (limit - len(rows),))
        return [Unindexed(*row) for row in rows]

    def index(self, transaction: Transaction, records: Sequence[Analysed]) -> None:
        """Index those of the records that are still unindexed."""
        if not records:
            return
        mark = int((transaction.row(f"SELECT {_MARK}") or (0,))[0])
        numbers = ", ".join(str(int(each.number)) for each in records)
        current = {
            row[0]: (Unindexed(*row[:4]), row[4], row[5])
            for row in transaction.rows(
                "SELECT number, version, text, context, owner, kind FROM memories "  # noqa: S608 - numbers only
                f"WHERE number IN ({numbers})"
            )
        }
        changed = {row[0] for row in transaction.rows(f"SELECT number FROM memory_due WHERE number IN ({numbers})")}  # noqa: S608 - as above
        added = []
        for each in records:
            if each.number not in current or not (each.number > mark or each.number in changed):
                # It was deleted, or indexed meanwhile.
                continue
            there, owner, kind = current[each.number]
            if kind == "house":
                continue
            terms = each if there.version == each.version else analysed([there])[0]
            added.append((each.number, " ".join(terms.text), " ".join(terms.context), owner))
        transaction.execute_many("INSERT INTO memory_terms (rowid, text, context, owner) VALUES (?, ?, ?, ?)", added)
        if changed:
            transaction.execute(f"DELETE FROM memory_due WHERE number IN ({numbers})")  # noqa: S608 - as above
        last = max(each.number for each in records)
        transaction.execute("UPDATE memory_marks SET mark = ? WHERE name = 'indexed' AND mark < ?", (last, last))

    def search(self, view: ReadTransaction, query: SearchQuery) -> list[SearchHit]:
        """Return the best matching records."""
        question = QuestionTerms(query.words, query.languages)

        def count(forms: Mapping[str, float]) -> int:
            sql = "SELECT count(*) FROM (SELECT 1 FROM memory_terms WHERE memory_terms MATCH ? LIMIT ?)"
            row = view.row(sql, (self._match(forms, query.agents), full_text.BUDGET))
            return int(row[0]) if row is not None else 0

        frequencies = [count(forms) for forms in question.words]
        chosen = rarest(frequencies, full_text.BUDGET)
        if not chosen:
            return []
        conditions, values = conditions_of(query, Dialect.SQLITE, "found.")
        fields = ", ".join(f"memories.{column}" for column in FIELDS)
        join = ""
        if query.kinds or query.after is not None or query.before is not None or query.where:
            join = f"JOIN memories AS found ON found.number = memory_terms.rowid AND {conditions}"
        else:
            # Internal records are not in the index.
            values = []
        # Select the best rows before joining their records: a row is wide, and many match.
        sql = f"""
            SELECT {fields}, terms.text, terms.context FROM (
                SELECT number, score FROM (
                    SELECT memory_terms.rowid AS number, bm25(memory_terms, 1.0, 0.5, 0.0) AS score
                    FROM memory_terms {join} WHERE memory_terms MATCH ? ORDER BY memory_terms.rowid DESC LIMIT {full_text.MAX}
                ) ORDER BY score LIMIT ?
            ) AS best
            JOIN memories ON memories.number = best.number JOIN memory_terms AS terms ON terms.rowid = best.number
            """  # noqa: S608 - no user text
        forms = [form for place in chosen for form in question.words[place]]
        rows = view.rows(sql, (*values, self._match(forms, query.agents), candidates_for(query.limit)))
        found = [(record_of(row), document_of(question, row[-2].split(" "), row[-1].split(" "))) for row in rows]
        return hits_of(question, found, frequencies, self._total(view, query.agents), query.limit)

    @staticmethod
    def _total(view: ReadTransaction, agents: Sequence[str]) -> int:
        where = f"WHERE agent IN ({', '.join('?' for _ in agents)})" if agents else ""
        row = view.row(f"SELECT count(*) FROM (SELECT 1 FROM memories {where} LIMIT {MOST_TOTAL})", agents)  # noqa: S608 - no user text
        return int(row[0]) if row is not None else 0

    @staticmethod
    def _match(forms: Mapping[str, float] | Sequence[str], agents: Sequence[str]) -> str:
        """Return the FTS5 expression for any of the terms in the memories of any of the agents."""
        wanted = "{text context} : (" + " OR ".join(f'"{form}"' for form in forms) + ")"
        if not agents:
            return wanted
        owners = " OR ".join(f'"a{agent.encode().hex()}0"' for agent in dict.fromkeys(agents))
        return f"owner : ({owners}) AND {wanted}"


def _first_index(transaction: Transaction) -> None:
    """Create the first index, which analysed the texts itself, in English."""
    transaction.execute("ALTER TABLE memories ADD COLUMN owner TEXT GENERATED ALWAYS AS ('a' || hex(agent) || '0') VIRTUAL")
    transaction.execute("INSERT INTO memory_marks (name, mark) VALUES ('indexed', 0)")


def _no_tuning(transaction: Transaction) -> None:
    """Do nothing: this step configures the index of a server."""


def _index_of_terms(transaction: Transaction) -> None:
    for name in ("memory_texts_drop", "memory_texts_change"):
        transaction.execute(f"DROP TRIGGER IF EXISTS {name}")
    transaction.execute("DROP TABLE IF EXISTS memory_texts")
    transaction.execute("CREATE TABLE memory_due (number INTEGER PRIMARY KEY)")
    _make_table(transaction)
    drop = "DELETE FROM memory_terms WHERE rowid = old.number"
    indexed = f"old.number <= {_MARK} AND old.kind <> 'house'"
    # A record that only moves to another tier keeps its terms.
    changed = "(old.text, old.context, old.agent, old.kind) IS NOT (new.text, new.context, new.agent, new.kind)"
    gone = f"{drop}; DELETE FROM memory_due WHERE number = old.number"  # noqa: S608 - as above
    # An upsert overrides the `OR IGNORE` of a trigger.
    once = "SELECT new.number WHERE NOT EXISTS (SELECT 1 FROM memory_due WHERE number = new.number)"
    again = f"{drop}; INSERT INTO memory_due (number) {once}"
    transaction.execute(f"CREATE TRIGGER memory_terms_drop AFTER DELETE ON memories WHEN {indexed} BEGIN {gone}; END")
    condition = f"{changed} AND old.number <= {_MARK}"
    transaction.execute(f"CREATE TRIGGER memory_terms_change AFTER UPDATE ON memories WHEN {condition} BEGIN {again}; END")


def _make_table(transaction: Transaction) -> None:
    tokenizer = full_text.FTS5_TOKENIZER
    transaction.execute(f"CREATE VIRTUAL TABLE memory_terms USING fts5 (text, context, owner, tokenize = '{tokenizer}')")
