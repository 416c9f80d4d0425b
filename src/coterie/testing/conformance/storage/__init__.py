"""The conformance suite of databases. Override `open`."""

from coterie.testing.conformance.storage.lasting import Lasting
from coterie.testing.conformance.storage.notes import INSERT, NOTES, insert, numbers
from coterie.testing.conformance.storage.reading import Reading
from coterie.testing.conformance.storage.writing import Writing

__all__ = ["INSERT", "NOTES", "DatabaseConformance", "insert", "numbers"]


class DatabaseConformance(Writing, Reading, Lasting):
    """The suite. A test begins with an empty database, which `open` opens, as often as it is called."""
