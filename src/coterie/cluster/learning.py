"""The classes of durable agents on one node, which it loads once the cluster names them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from coterie.cluster import arguments
from coterie.cluster.wire import ClusterView
from coterie.concurrency import AutoResetEvent, start_thread
from coterie.errors import CoterieError, StorageError, describe
from coterie.runtime import Agent

_log = logging.getLogger(__name__)


class ClassLearner:
    """Loads classes of durable agents by their names, and registers them. Safe from any thread.

    The import of a module may take longer than a node may be silent, so `follow`, which is called between two reports, leaves it to
    a thread. `complete` is called there once all classes are known that a settled directory has named. `_learned` grows by single
    operations; two threads may load a class at once, which does no harm.
    """

    def __init__(self, node: str, register: Callable[[type[Agent]], None], complete: Callable[[], None]) -> None:
        self._node = node
        self._register = register
        self._complete = complete
        self._learned: set[str] = set()
        self._view = ClusterView([])
        self._wakes = AutoResetEvent()
        self._completed = threading.Event()

    @property
    def is_complete(self) -> bool:
        """True once the node has learned all classes that were known when it began: it has no keys before."""
        return self._completed.is_set()

    def wait(self) -> None:
        """Wait until it is complete, if it can be: until the directory is settled, that may take any time, so it is not waited for."""
        if self._view.settled:
            self._completed.wait()

    def start(self) -> None:
        """Load what `follow` finds from now on. Called once."""
        start_thread(self._run, "cluster-classes")

    def learn(self, name: str) -> None:
        """Load and register a class. Raises `DefinitionError`."""
        try:
            self._register(arguments.find_class(name, self._node))
        except StorageError as error:
            # It is known; what is stored for its agents is delivered later.
            _log.warning("cannot look for messages for %s: %s", name, error)
        self._learned.add(name)

    def follow(self, view: ClusterView) -> None:
        """Have the classes of a view loaded soon. Never blocks."""
        if not self._learned.issuperset(view.classes) or (view.settled and not self.is_complete):
            self._view = view
            self._wakes.set()

    def _run(self) -> None:
        while self._wakes.wait():
            view = self._view
            for name in [each for each in view.classes if each not in self._learned]:
                try:
                    self.learn(name)
                except Exception as error:  # noqa: BLE001 - the others must be learned; `Cluster.entity` tells the program of it
                    self._learned.add(name)
                    _log.error("%s", error if isinstance(error, CoterieError) else describe(error))
            if view.settled and not self.is_complete:
                self._completed.set()
                self._complete()
