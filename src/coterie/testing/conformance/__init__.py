"""Suites that any implementation of a contract must pass; ours do. They need the extra ``testing``.

To run the runtime's over a dispatcher or a transport of your own::

    from coterie.testing.conformance import RuntimeConformance

    class TestRuntimeOverMine(RuntimeConformance):
        def runtime(self, **options):
            return Runtime(dispatcher=Mine(), **options)
"""

from coterie.testing.conformance.storage import DatabaseConformance
from coterie.testing.conformance.suite import RuntimeConformance

__all__ = ["DatabaseConformance", "RuntimeConformance"]
