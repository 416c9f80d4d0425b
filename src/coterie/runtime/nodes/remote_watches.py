"""The watches by agents of other nodes of agents of this one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from coterie.concurrency import Rank, new_lock
from coterie.kernel import Address
from coterie.runtime.nodes.wire import WatchFrame
from coterie.runtime.references.lifecycle_events import AgentDown
from coterie.runtime.references.reference import AgentRef, Endpoint

_SWEEP = 64
"""Watches of one node at which those of agents that have ended are forgotten; later at twice as many as were left."""


class WatchedAgents(Protocol):
    """The agents of this runtime, and references to their watchers."""

    def reference(self, address: Address) -> AgentRef:
        """Return a reference to an address."""
        ...

    def recipient(self, address: Address) -> Endpoint | None:
        """Return the endpoint of the living, or durable, agent at an address of this runtime."""
        ...


class _Peer:
    """The watches by the agents of one node. Only the thread that has set `busy` uses `present`, `lifted` and `sweep_at`."""

    __slots__ = ("busy", "frames", "lifted", "present", "sweep_at", "work")

    def __init__(self) -> None:
        self.frames: deque[WatchFrame | None] = deque()
        """The frames in their order; None to forget the node."""
        self.work = False
        """Whether there may be something to do."""
        self.busy = False
        self.present: dict[tuple[Address, Address], None] = {}
        """The watches that the agents here know: the watched agent and its watcher."""
        self.lifted: dict[tuple[Address, Address], None] = {}
        """The watches that begin when the node is heard."""
        self.sweep_at = _SWEEP


class RemoteWatches:
    """Lets agents of other nodes watch agents of this one while their nodes are heard.

    When a node is lost, the agents here forget their watchers on it. If it is heard again, these watch again; an agent that has
    ended meanwhile tells them then. If the node is forgotten, its watches are too.

    Safe from any thread. `_lock` guards the table, and `frames`, `work` and `busy` of each node. Agents are called without the lock,
    for the watches of one node by one thread at a time; other threads leave their work to that one.
    """

    def __init__(self, agents: WatchedAgents, is_lost: Callable[[str], bool]) -> None:
        self._agents = agents
        self._is_lost = is_lost
        self._lock = new_lock(Rank.REGISTRY)
        self._peers: dict[str, _Peer] = {}

    def take(self, node: str, frame: WatchFrame) -> None:
        """Carry out a frame of a node."""
        with self._lock:
            peer = self._peers.get(node)
            if peer is None:
                if not frame.on:
                    return
                peer = self._peers[node] = _Peer()
            peer.frames.append(frame)
            peer.work = True
        self._settle(node, peer)

    def look(self, node: str, *, forget: bool = False) -> None:
        """Take notice that a node is lost or is heard again, or `forget` its watches."""
        with self._lock:
            peer = self._peers.get(node)
            if peer is None:
                return
            if forget:
                peer.frames.append(None)
            peer.work = True
        self._settle(node, peer)

    def _settle(self, node: str, peer: _Peer) -> None:
        """Do what is to be done for a node, unless another thread does."""
        with self._lock:
            if peer.busy:
                return
            peer.busy = True
        try:
            while self._has_work(node, peer):
                self._take_frames(peer)
                self._agree(node, peer)
        except BaseException:
            with self._lock:
                peer.busy = False
            raise

    def _has_work(self, node: str, peer: _Peer) -> bool:
        """Return whether there is something to do. If not, another thread may take over."""
        with self._lock:
            found, peer.work = peer.work, False
            if not found:
                peer.busy = False
                if not (peer.present or peer.lifted) and self._peers.get(node) is peer:
                    del self._peers[node]
            return found

    def _take_frames(self, peer: _Peer) -> None:
        while peer.frames:
            frame = peer.frames.popleft()
            if frame is None:
                self._end(peer)
                peer.lifted = {}
            elif frame.on:
                # A watch begins again if it is there: the agent may have ended, and its watcher must hear of it.
                peer.lifted[frame.to, frame.watcher] = None
            else:
                peer.lifted.pop((frame.to, frame.watcher), None)
                if (frame.to, frame.watcher) in peer.present:
                    self._unwatch(frame.to, frame.watcher)
                    del peer.present[frame.to, frame.watcher]

    def _agree(self, node: str, peer: _Peer) -> None:
        """Let the agents here know their watchers if the node is heard, and forget them if it is lost."""
        if self._is_lost(node):
            self._end(peer)
            return
        for watched, watcher in peer.lifted:
            agent = self._agents.recipient(watched)
            reference = self._agents.reference(watcher)
            if agent is None:
                reference.tell(AgentDown(self._agents.reference(watched), "stopped"))
            else:
                agent.watch(reference)
                peer.present[watched, watcher] = None
        peer.lifted = {}
        if len(peer.present) >= peer.sweep_at:
            peer.present = {pair: None for pair in peer.present if self._agents.recipient(pair[0]) is not None}
            peer.sweep_at = max(_SWEEP, 2 * len(peer.present))

    def _end(self, peer: _Peer) -> None:
        """Let the agents here forget their watchers on a node."""
        for pair in peer.present:
            self._unwatch(*pair)
        peer.lifted |= peer.present
        peer.present = {}

    def _unwatch(self, watched: Address, watcher: Address) -> None:
        agent = self._agents.recipient(watched)
        if agent is not None:
            agent.unwatch(self._agents.reference(watcher))
