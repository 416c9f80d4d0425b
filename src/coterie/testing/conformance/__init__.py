"""Suites that any implementation of a contract must pass; ours do. They need the extra ``testing``.

To run the runtime's over a dispatcher or a transport of your own::

    from coterie.testing.conformance import RuntimeConformance

    class TestRuntimeOverMine(RuntimeConformance):
        def runtime(self, **options):
            return Runtime(dispatcher=Mine(), **options)

and that of the memory's tiers over a backend of your own::

    from coterie.testing.conformance import BackendConformance

    class TestMine(BackendConformance):
        @pytest.fixture
        def backend(self):
            backend = Mine()
            yield backend
            backend.close()
"""

from coterie.testing.conformance.journal import JournalConformance
from coterie.testing.conformance.memory import ArchiveConformance, BackendConformance
from coterie.testing.conformance.storage import DatabaseConformance
from coterie.testing.conformance.suite import RuntimeConformance

__all__ = ["ArchiveConformance", "BackendConformance", "DatabaseConformance", "JournalConformance", "RuntimeConformance"]
