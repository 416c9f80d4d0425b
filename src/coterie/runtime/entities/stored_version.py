"""The stored version of a durable agent, as its activation knows it: what the next change builds on."""

from __future__ import annotations

import hashlib
from typing import Any

from coterie.durable import DurableChange, Identity, StoredState
from coterie.runtime.entities.entity_kind import EntityKind
from coterie.runtime.entities.unit_of_work import UnitOfWork


class StoredVersion:
    """The number of commits and events of an agent, and a digest of its state. Only for the agent's thread."""

    __slots__ = ("_commits", "_digest", "_events", "_folded", "_identity", "_kind", "_latest")

    def __init__(self, kind: EntityKind, identity: Identity, stored: StoredState) -> None:
        self._kind = kind
        self._identity = identity
        self._commits = stored.commits
        self._events = stored.events
        self._folded = stored.events - len(stored.later)
        """The number of events that the snapshot includes."""
        self._digest: bytes | None = None
        """A digest of the stored state, to see whether a handler has changed it; None before the first message."""
        self._latest: bytes | None = None
        """The digest of the latest change's state."""
        if stored.state is not None and stored.state_version == kind.version:
            self._digest = digest(stored.state)

    def begin(self, agent: Any) -> None:
        """Note the state before a message. Raises `StateRefused`, and the errors of `snapshot`."""
        if self._digest is None and not self._kind.is_event_sourced:
            self._digest = digest(self._kind.encode_state(self._identity, agent))

    def differs(self, agent: Any) -> bool:
        """Return whether the agent may have changed since it was stored."""
        if self._kind.is_event_sourced:
            return True
        try:
            return digest(self._kind.encode_state(self._identity, agent)) != self._digest
        except Exception:  # noqa: BLE001 - an agent that cannot be stored has changed
            return True

    def change(self, unit: UnitOfWork, agent: Any, now: float, snapshot_every: int) -> DurableChange:
        """Return the change that a handler made. Raises `StateRefused`, and the errors of `snapshot`."""
        kind, identity = self._kind, self._identity
        change = DurableChange(
            identity,
            self._commits,
            state_version=kind.version,
            events=unit.events,
            event_count=self._events,
            outgoing=unit.outgoing,
            cancelled=unit.cancelled,
            subscribed=unit.subscribed,
            unsubscribed=unit.unsubscribed,
            now=now,
        )
        if kind.is_event_sourced:
            due = self._events + len(unit.events) - self._folded >= snapshot_every
            if kind.keeps_snapshot and unit.events and due:
                change.state = kind.encode_state(identity, agent)
        else:
            body = kind.encode_state(identity, agent)
            self._latest = digest(body)
            if self._latest != self._digest:
                change.state = body
        return change

    def advance(self, change: DurableChange, *, joined: bool) -> None:
        """Note that a change is on its way to the store; one that joined an earlier change makes no commit of its own."""
        if not joined:
            self._commits += 1
        self._events = change.event_count + len(change.events)
        if change.state is not None:
            self._folded = self._events
            self._digest = self._latest


def digest(body: bytes) -> bytes:
    """Return a short digest of bytes."""
    return hashlib.blake2b(body, digest_size=16).digest()
