"""The durable agents of one node of a cluster: its lease, the claims of its agents, and their moves to other nodes."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from contextvars import Context

from coterie.concurrency import start_thread
from coterie.durable import Claims, Identity
from coterie.errors import CoterieError, StorageError, describe
from coterie.errors.cluster import ClusterError, LeaseLost
from coterie.kernel import Address, SystemClock
from coterie.messaging import Message
from coterie.runtime import Agent, Runtime, on
from coterie.runtime.entities.names import name_of
from coterie.storage import Database

_log = logging.getLogger(__name__)

MAIL = "cluster-mail"
"""The name of the agent of each node that is told of stored messages."""

_SAFE = 0.9
"""The part of a lease that its node uses: its clock may be a bit slower than that of the database."""
_CLAIM_WITHIN = 30.0
_MOVED_AT_ONCE = 50
"""The agents that begin to move at one look."""
_LOOK, _REST = 0.1, 1.0
"""Seconds between two looks for agents that have to move: after a change of the nodes, and later."""
_RESTLESS = 15.0
_AGAIN = 5.0
"""Seconds between two looks for stored messages of whose arrival no word came."""

_clock = SystemClock()


class Nudge(Message):
    """A message for a durable agent was stored."""

    kind: str
    key: str


class MailAgent(Agent):
    """Has the stored messages delivered of which other nodes tell."""

    def __init__(self, deliver_to: Callable[[Identity], None]) -> None:
        self._deliver_to = deliver_to

    @on
    def nudge(self, message: Nudge) -> None:
        """Deliver the stored messages for an agent."""
        self._deliver_to(Identity(message.kind, message.key))


class KeyPlacement:
    """The placement of the durable agents of one node; see `coterie.runtime.entities.placement`. Safe from any thread.

    The node renews its lease every quarter of it. When it cannot, it handles no message of durable agents from the moment on at
    which the lease would expire, whatever the database says, and also if the machine was suspended meanwhile; when it can again,
    it has a new name, and activates its agents anew. `_owner` and `_until` change together, on one thread; a reader that sees one of
    both too early sees a lease that is over.
    """

    def __init__(self, node: str, data: Database, leases: Database, seconds: float, home: Callable[[str], str | None]) -> None:
        self._node = node
        self._seconds = seconds
        self._home = home
        self._claims = Claims(data)
        self._leases = Claims(leases)
        self._owner = ""
        self._until = 0.0
        self._problem = "it has not begun"
        self._runtime: Runtime | None = None
        self._closed = threading.Event()
        self._wakes = threading.Event()
        self._changed_at = _clock.monotonic()
        self._begin()

    def __deepcopy__(self, memo: object) -> KeyPlacement:
        return self

    def start(self, runtime: Runtime) -> None:
        """Renew the lease from now on, and move the agents that have to. Called once."""
        self._runtime = runtime
        runtime.spawn(MailAgent, self._deliver_to, name=MAIL)
        start_thread(self._renew, "cluster-lease")
        start_thread(self._move, "cluster-moves")

    @property
    def seconds_left(self) -> float:
        """The seconds for which the lease holds; 0 if it is lost."""
        return max(0.0, self._until - _clock.elapsed())

    def nodes_changed(self) -> None:
        """Note that the homes of agents may have changed."""
        self._changed_at = _clock.monotonic()
        self._wakes.set()

    def close(self) -> None:
        """Give up the lease, after all agents have ended."""
        self._closed.set()
        self._wakes.set()
        try:
            self._leases.end_lease(self._owner)
        except StorageError as error:
            _log.warning("cannot end the lease; it expires within %g s: %s", self._seconds, describe(error))

    # The contract of placements.

    @property
    def owner(self) -> str:
        """The name under which this node claims agents at present."""
        return self._owner

    def is_here(self, identity: Identity) -> bool:
        """Return whether this node is the home of an agent."""
        return self._runtime is not None and self._home(name_of(identity)) == self._runtime.node

    def claim(self, identity: Identity) -> tuple[str, int]:
        """Claim an agent, and return the owner and the epoch. Blocks until the node that has it gives it up, or loses its lease."""
        until, pause = _clock.monotonic() + _CLAIM_WITHIN, 0.01
        while True:
            owner = self._owner
            self.check((owner, 0))
            claim = self._claims.claim(identity, owner, owner)
            if claim.epoch:
                return owner, claim.epoch
            if _clock.monotonic() > until or self._closed.wait(pause):
                raise ClusterError(f"{name_of(identity)} is still in use on another node ({claim.owner}); ask again later")
            pause = min(2 * pause, 0.1)

    def release(self, identity: Identity, fence: tuple[str, int]) -> None:
        """Give up an agent after its last change."""
        self._claims.release(identity, *fence)

    def check(self, fence: tuple[str, int]) -> None:
        """Raise `LeaseLost` if the claim of an agent does not hold any more, as far as this node knows."""
        if fence[0] != self._owner or _clock.elapsed() >= self._until:
            raise LeaseLost(self._node, self._problem)

    def nudge(self, identity: Identity) -> None:
        """Tell the home of an agent, which is elsewhere, that a message for it was stored."""
        home = self._home(name_of(identity))
        if home is not None and self._runtime is not None:
            mail = self._runtime.reference(Address(home, MAIL))
            # Not as a message of the handler that is being committed.
            Context().run(mail.post, Nudge(identity.kind, identity.key))

    # The lease.

    def _begin(self) -> None:
        owner, now = f"{self._node}-{secrets.token_hex(6)}", _clock.elapsed()
        self._leases.begin_lease(owner, self._seconds)
        self._until = 0.0
        self._owner = owner
        self._until = now + _SAFE * self._seconds
        self._problem = "it could not be renewed in time"

    def _renew(self) -> None:
        while not self._closed.wait(self._seconds / 4):
            now = _clock.elapsed()
            try:
                if self._leases.renew_lease(self._owner, self._seconds):
                    self._until = now + _SAFE * self._seconds
                    continue
                _log.error("node %s has lost its lease; its durable agents begin anew", self._node)
                self._begin()
                self._drop_all()
                self.nodes_changed()
            except (CoterieError, TimeoutError) as error:
                self._problem = describe(error)
                _log.warning("node %s cannot renew its lease: %s", self._node, describe(error))

    def _drop_all(self) -> None:
        """End all activations, without a change: their claims do not hold any more. Their messages wait for the next ones."""
        assert self._runtime is not None
        for cell in self._runtime.durable.active_agents().values():
            cell.passivating = True
            cell.stop(drain=False)

    # Moves.

    def _move(self) -> None:
        looked_at = _clock.monotonic()
        while not self._closed.is_set():
            now = _clock.monotonic()
            changed = self._wakes.wait(_LOOK if now - self._changed_at < _RESTLESS else _REST)
            self._wakes.clear()
            try:
                self._give_up()
                if changed or _clock.monotonic() - looked_at > _AGAIN:
                    looked_at = _clock.monotonic()
                    self._deliver_due()
            except (CoterieError, RuntimeError) as error:
                if not self._closed.is_set():
                    _log.warning("node %s cannot look after its durable agents: %s", self._node, describe(error))

    def _give_up(self) -> None:
        """Passivate agents whose home is another node: first those for which it waits, and the others little by little."""
        assert self._runtime is not None
        active = self._runtime.durable.active_agents()
        wanted = self._claims.wanted(self._owner) if active else []
        away = [each for each in active if each not in wanted and not self.is_here(each)]
        for identity in [*wanted, *away[:_MOVED_AT_ONCE]]:
            cell = active.get(identity)
            if cell is not None and not cell.passivating:
                cell.passivate()

    def _deliver_to(self, identity: Identity) -> None:
        assert self._runtime is not None
        self._runtime.durable.deliver_to(identity)

    def _deliver_due(self) -> None:
        assert self._runtime is not None
        self._runtime.durable.deliver_due()
