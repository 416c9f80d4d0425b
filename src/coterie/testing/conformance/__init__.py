"""Suites that every implementation of a contract must pass. They need the extra ``testing``.

To run the suite of runtimes with a dispatcher or a transport of your own::

    from coterie.testing.conformance import RuntimeConformance

    class TestRuntimeOverMine(RuntimeConformance):
        def runtime(self, **options):
            return Runtime(dispatcher=Mine(), **options)

To run it over durable agents::

    class TestDurableAgentsOverMine(KeyedConformance):
        def runtime(self, **options):
            return super().runtime(dispatcher=Mine(), **options)

To run the suite of memory tiers with a backend of your own::

    from coterie.testing.conformance import BackendConformance

    class TestMine(BackendConformance):
        @pytest.fixture
        def backend(self):
            backend = Mine()
            yield backend
            backend.close()
"""

from coterie.testing.conformance.durable import DurableConformance
from coterie.testing.conformance.journal import JournalConformance
from coterie.testing.conformance.keyed import KeyedConformance
from coterie.testing.conformance.memory import ArchiveConformance, BackendConformance
from coterie.testing.conformance.runtime import RuntimeConformance
from coterie.testing.conformance.storage import DatabaseConformance

__all__ = [
    "ArchiveConformance",
    "BackendConformance",
    "DatabaseConformance",
    "DurableConformance",
    "JournalConformance",
    "KeyedConformance",
    "RuntimeConformance",
]
