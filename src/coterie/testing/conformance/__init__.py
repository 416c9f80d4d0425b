"""Suites that every implementation of a contract must pass. They need the extra ``testing``.

To run the suite of runtimes with a dispatcher or a transport of your own::

    from coterie.testing.conformance import RuntimeConformance

    class TestRuntimeOverMine(RuntimeConformance):
        def runtime(self, **options):
            return Runtime(dispatcher=Mine(), **options)

To run the suite of memory tiers with a backend of your own::

    from coterie.testing.conformance import BackendConformance

    class TestMine(BackendConformance):
        @pytest.fixture
        def backend(self):
            backend = Mine()
            yield backend
            backend.close()
"""

from coterie.testing.conformance.asking import Asking
from coterie.testing.conformance.delivery import Delivery
from coterie.testing.conformance.durable import DurableConformance
from coterie.testing.conformance.journal import JournalConformance
from coterie.testing.conformance.lifecycle import AgentLifecycle
from coterie.testing.conformance.memory import ArchiveConformance, BackendConformance
from coterie.testing.conformance.observing import Observing
from coterie.testing.conformance.publishing import Publishing
from coterie.testing.conformance.stopping import Stopping
from coterie.testing.conformance.storage import DatabaseConformance
from coterie.testing.conformance.supervising import Supervising
from coterie.testing.conformance.supervision_groups import SupervisionGroups
from coterie.testing.conformance.turns import Turns
from coterie.testing.conformance.waiting import Waiting

__all__ = [
    "ArchiveConformance",
    "BackendConformance",
    "DatabaseConformance",
    "DurableConformance",
    "JournalConformance",
    "RuntimeConformance",
]


class RuntimeConformance(
    Asking, Delivery, SupervisionGroups, AgentLifecycle, Observing, Stopping, Supervising, Publishing, Turns, Waiting
):
    """The promises of every runtime, with any dispatcher and transport. Override `runtime`."""
