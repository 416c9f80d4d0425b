"""The services that users give to a runtime, for its agents."""

from __future__ import annotations

from typing import Any, TypeVar

from coterie.concurrency import Rank, new_lock
from coterie.errors import ServiceMissing

T = TypeVar("T")


class ProvidedServices:
    """Services by their types. Safe from any thread: `_lock` guards the changes of the table, which is replaced by each."""

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._services: dict[type, Any] = {}

    def add(self, service: Any, kind: type) -> None:
        """Keep a service for `use`."""
        with self._lock:
            self._services = {**self._services, kind: service}

    def use(self, kind: type[T]) -> T:
        """Return the service of a type. Raises `ServiceMissing`."""
        found: Any = self._services.get(kind)
        if found is None:
            matches = [service for key, service in self._services.items() if _is_kind_of(key, kind)]
            if not matches:
                raise ServiceMissing(kind, list(self._services))
            found = matches[0]
        result: T = found
        return result

    def after_fork_in_child(self) -> None:
        """Replace the lock in a forked process, where its holder does not exist."""
        self._lock = new_lock(Rank.RECORDS)


def _is_kind_of(key: type, kind: type) -> bool:
    try:
        return issubclass(key, kind)
    except TypeError:
        # A protocol that is not checked at runtime: only what was given under that very type serves it.
        return False
