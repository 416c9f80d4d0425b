"""Full-text search in a database: FTS5 in SQLite, `tsvector` in PostgreSQL.

Both index the terms of `coterie.memory.text`, and neither analyses a text itself: so both find the same, and rank it the same. A
search first counts how common each word is, and then looks for the rarest: a word that occurs everywhere adds almost nothing to
the ranking, and visiting every record that contains it takes most of the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from coterie.memory.contract import SearchHit, SearchQuery
from coterie.memory.record import MemoryRecord
from coterie.memory.text.analysis import TERM_CHARACTERS, VERSION, terms_of
from coterie.memory.text.ranking import MOST_COUNTED, Document, QuestionTerms
from coterie.storage import ReadTransaction, Transaction

BUDGET = 6_000
"""The maximum of postings that one search ranks, beyond those of its rarest word. Counting is cheap; ranking takes 1 to 2 µs
each."""

MAX = 2 * BUDGET
"""The maximum of memories that one search ranks, however common its only word is: the newest."""


class Unindexed(NamedTuple):
    """A record that is not indexed yet."""

    number: int
    version: int
    text: str
    context: str


class Analysed(NamedTuple):
    """The terms of a record, of one version."""

    number: int
    version: int
    text: Sequence[str]
    context: Sequence[str]


class FullText(Protocol):
    """The full-text index of an archive."""

    @property
    def steps(self) -> Sequence[Callable[[Transaction], None]]:
        """The steps of the migration that creates the index."""
        ...

    @property
    def columns(self) -> Mapping[str, str]:
        """The columns that the index adds to the table of the records, and the SQL of a value of each."""
        ...

    def values(self, record: MemoryRecord) -> tuple[object, ...]:
        """Return the values of those columns for a record."""
        ...

    def purge(self, transaction: Transaction) -> None:
        """Remove the terms of deleted records from the index for good."""
        ...

    def renew(self, transaction: Transaction) -> bool:
        """Remove what an earlier version of the analysis indexed, and return whether records have to be indexed anew.

        True until `renewed`, also after a crash.
        """
        ...

    def renewed(self, transaction: Transaction) -> None:
        """Note that all records were indexed anew."""
        ...

    def due(self, view: ReadTransaction) -> int:
        """Return about how many records are not indexed yet; 0 only if all are. A search does not find the others."""
        ...

    def unindexed(self, view: ReadTransaction, limit: int) -> list[Unindexed]:
        """Return the oldest `limit` unindexed records."""
        ...

    def index(self, transaction: Transaction, records: Sequence[Analysed]) -> None:
        """Index those of the oldest unindexed records that are still unindexed."""
        ...

    def search(self, view: ReadTransaction, query: SearchQuery) -> list[SearchHit]:
        """Return the best matching records, best first."""
        ...


def analysed(records: Sequence[Unindexed]) -> list[Analysed]:
    """Return the terms of records."""
    return [Analysed(number, version, terms_of(text), terms_of(context)) for number, version, text, context in records]


VERSION_MARK = "analysis"
"""The mark of the version of the analysis; negative while records are indexed anew."""


def begin_renewal(transaction: Transaction) -> tuple[bool, bool]:
    """Return whether the analysis is of an earlier version, and whether records have to be indexed anew; note both."""
    row = transaction.row("SELECT mark FROM memory_marks WHERE name = ?", (VERSION_MARK,))
    mark = int(row[0]) if row is not None else 0
    if abs(mark) == VERSION:
        return False, mark < 0
    set_version(transaction, -VERSION)
    return True, True


def set_version(transaction: Transaction, mark: int) -> None:
    """Store the version of the analysis."""
    sql = "INSERT INTO memory_marks (name, mark) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET mark = excluded.mark"
    transaction.execute(sql, (VERSION_MARK, mark))


def hits_of(
    question: QuestionTerms,
    found: Sequence[tuple[MemoryRecord, Document]],
    frequencies: Sequence[int],
    total: int,
    limit: int,
) -> list[SearchHit]:
    """Return the candidates ranked, best first, and among equals the newer first."""
    ranks = question.rank([each for _, each in found], frequencies, total)
    hits = [SearchHit(record, max(rank.score, 1e-9), rank.coverage) for (record, _), rank in zip(found, ranks, strict=True)]
    hits.sort(key=lambda hit: (-hit.score, -hit.record.version))
    return hits[:limit]


def document_of(question: QuestionTerms, text: Sequence[str], context: Sequence[str]) -> Document:
    """Return the document with those terms, with the counts of the question's."""
    wanted = question.terms.__contains__
    return Document(Counter(filter(wanted, text)), Counter(filter(wanted, context)), len(text), len(context))


def capped_counts(terms: Sequence[str]) -> dict[str, int]:
    """Return how often each term occurs, up to what counts."""
    return {term: min(count, MOST_COUNTED) for term, count in Counter(terms).items()}


FTS5_TOKENIZER = f"ascii tokenchars ''{TERM_CHARACTERS}''"
"""A tokenizer for terms that are separated by blanks. It takes every character beyond ASCII as a letter."""
