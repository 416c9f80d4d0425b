"""The way from a program to the host of its agents on one node, and the turns that are under way there."""

from __future__ import annotations

import itertools
import logging
from collections import deque
from contextvars import copy_context
from typing import Any, Protocol

import msgspec

from coterie.cluster.hosted import BYTES_AT_ONCE, DoTurns, HostedTurn, HostedTurnEnd
from coterie.concurrency import Rank, new_lock
from coterie.errors import CoterieError
from coterie.rounds.remote import Ended, RemoteScene, RemoteTurn, RemoteTurnEnd
from coterie.rounds.turn import Turn
from coterie.runtime import AgentRef
from coterie.runtime.references.invocation import CURRENT

_log = logging.getLogger(__name__)

_MOST = 64
"""Turns that are sent together, at most."""

_encode = msgspec.msgpack.encode


class HostedObject(Protocol):
    """An agent of a program that is hosted. One thread at a time uses it: its turns do not overlap."""

    life: int
    """The number of the object on the node; 0 if there is none."""
    state: bytes
    """Its state after its last turn; empty if it is not known."""
    given: tuple[str, bytes] | None
    job: TurnJob | None
    """The turn that is under way."""


class TurnJob(msgspec.Struct, eq=False):
    """A turn that a node does, until it has ended."""

    agent: Any
    turn: Turn
    timeout: float | None
    ended: Ended
    trace: dict[str, str]
    number: int = 0
    losses: int = 0
    """The hosts that were lost while they did it."""

    def end(self, end: RemoteTurnEnd | Exception) -> None:
        """Keep the state of the agent, and report the end."""
        agent: HostedObject = self.agent
        if isinstance(end, RemoteTurnEnd) and end.error is None and end.state:
            agent.state = end.state
        agent.job = None
        self.ended(end, agent.state or None)


class SceneForm:
    """The newest scene as bytes, encoded once for all nodes. Safe from any thread: `_newest` is replaced as a whole."""

    def __init__(self) -> None:
        self._newest: tuple[Any, Any, bytes] = (None, None, b"")

    def of(self, turn: Turn) -> bytes:
        """Return the scene of a turn: the same object for the same view and agents, if no other came in between."""
        view, roster, scene = self._newest
        if view is not turn.view or roster is not turn.roster:
            scene = _encode(RemoteScene.of(turn.view, turn.roster))
            self._newest = turn.view, turn.roster, scene
        return scene


class MemberSession:
    """Sends turns to one host in batches, and knows those that have not ended.

    `_lock` guards `_jobs`, `lost`, `timeout` and `_sending`. The thread that has set `_sending` sends what waits, also what others
    have added meanwhile; the order of the messages is that of their numbers.
    """

    def __init__(self, number: int, runtime: str, host: AgentRef, scenes: SceneForm, lives: itertools.count[int]) -> None:
        self.number = number
        self.runtime = runtime
        self.host = host
        self.lost = ""
        """Why it does no more turns; empty if it does."""
        self._scenes = scenes
        self._lives = lives
        self._lock = new_lock(Rank.RECORDS)
        self._numbers = itertools.count(1)
        self._jobs: dict[int, TurnJob] = {}
        self._waiting: deque[TurnJob] = deque()
        self._dropped: deque[int] = deque()
        self._sending = False
        self._timeout: tuple[float | None] | None = None
        """The limit of time of its turns, once one was added."""
        self._scene = b""
        """The scene that the host has."""
        self._told = 0
        self._heard = 0

    def suits(self, timeout: float | None) -> bool:
        """Return whether it takes turns with a limit of time."""
        return not self.lost and (self._timeout is None or self._timeout[0] == timeout)

    def add(self, job: TurnJob) -> bool:
        """Take a turn, which is sent with `flush` at the latest. Return False if the session has ended or has another limit."""
        with self._lock:
            if not self.suits(job.timeout):
                return False
            self._timeout = (job.timeout,)
            job.number = next(self._numbers)
            self._jobs[job.number] = job
        self._waiting.append(job)
        if len(self._waiting) >= _MOST:
            self.flush()
        return True

    def drop(self, life: int) -> None:
        """Tell the host with the next message that an agent is not needed any more. Also from finalizers."""
        self._dropped.append(life)

    def withdraw(self, job: TurnJob) -> None:
        """Forget a turn whose end does not count any more."""
        with self._lock:
            self._jobs.pop(job.number, None)

    @property
    def is_busy(self) -> bool:
        """True if turns have not ended, or agents are to be dropped."""
        return bool(self._jobs or self._dropped)

    def flush(self, *, ask: bool = False) -> None:
        """Send what waits, unless another thread does. With `ask` send a message in any case, which the host answers."""
        while self._waiting or self._dropped or ask:
            with self._lock:
                if self._sending or self.lost:
                    return
                self._sending = True
            try:
                # The messages have the context of the program's code, but come from no agent.
                context = copy_context()
                context.run(CURRENT.set, None)
                context.run(self._send_all, ask=ask)
            finally:
                self._sending = False
            ask = False

    def end(self, why: str) -> list[TurnJob]:
        """Take no turns any more; return those that have not ended."""
        with self._lock:
            self.lost = self.lost or why
            jobs, self._jobs = list(self._jobs.values()), {}
        return jobs

    def end_host(self) -> None:
        """Let the host end."""
        if self.host.is_alive:
            self.host.post(DoTurns(0, b"", over=True))

    def heard(self, number: int) -> bool:
        """Note a message of the host; return False if one before it is missing. For one thread."""
        self._heard += 1
        return number == self._heard

    def take(self, end: HostedTurnEnd) -> TurnJob | None:
        """Return the turn that has ended, and forget it; None if it does not count any more."""
        with self._lock:
            return self._jobs.pop(end.number, None)

    # With `_sending`.

    def _send_all(self, *, ask: bool) -> None:
        while self._waiting:
            batch, scene = self._next_batch()
            if batch:
                self._send(batch, scene)
        if self._dropped or ask:
            try:
                self._post([], b"")
            except CoterieError as error:
                _log.warning("%s could not be told: %s", self.host, error)

    def _next_batch(self) -> tuple[list[tuple[TurnJob, HostedTurn]], bytes]:
        """Return turns that have the same scene, and the scene."""
        batch: list[tuple[TurnJob, HostedTurn]] = []
        scene = b""
        while self._waiting and len(batch) < _MOST:
            job = self._waiting[0]
            try:
                own = self._scenes.of(job.turn)
                if batch and own is not scene:
                    break
                self._waiting.popleft()
                order = self._order(job)
                if order is not None:
                    scene = own
                    batch.append((job, order))
            except Exception as error:  # noqa: BLE001 - of a value that cannot be carried, for one
                if self._waiting and self._waiting[0] is job:
                    self._waiting.popleft()
                self._fail(job, error)
        return batch, scene

    def _order(self, job: TurnJob) -> HostedTurn | None:
        """Return a turn for the host; None if its end does not count any more, or another host does it."""
        agent: HostedObject = job.agent
        turn = RemoteTurn.of(job.turn)
        with self._lock:
            if self._jobs.get(job.number) is not job:
                return None
            new = not agent.life
            if new:
                agent.life = next(self._lives)
        if not new:
            return HostedTurn(job.number, agent.life, turn, trace=job.trace)
        return HostedTurn(job.number, agent.life, turn, agent.given, agent.state, job.trace)

    def _send(self, batch: list[tuple[TurnJob, HostedTurn]], scene: bytes) -> None:
        data = _encode([order for _, order in batch])
        if len(data) > BYTES_AT_ONCE and len(batch) > 1:
            half = len(batch) // 2
            self._send(batch[:half], scene)
            self._send(batch[half:], scene)
            return
        try:
            self._post(batch, scene, data)
        except CoterieError as error:
            # It is too large, for one.
            for job, order in batch:
                if order.given is not None or order.state:
                    job.agent.life = 0
                self._fail(job, error)

    def _post(self, batch: list[tuple[TurnJob, HostedTurn]], scene: bytes, data: bytes = b"\x90") -> None:
        dropped = [self._dropped.popleft() for _ in range(len(self._dropped))]
        new = scene if scene is not self._scene and batch else b""
        timeout = self._timeout[0] if self._timeout is not None else None
        try:
            self.host.tell(DoTurns(self._told + 1, data, new, timeout, tuple(dropped)))
        except CoterieError:
            self._dropped.extendleft(reversed(dropped))
            raise
        self._told += 1
        self._scene = scene if batch else self._scene

    def _fail(self, job: TurnJob, error: Exception) -> None:
        self.withdraw(job)
        job.end(error)
