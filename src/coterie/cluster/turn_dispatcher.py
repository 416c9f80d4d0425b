"""The dispatch of the turns of a simulation to the hosts of its agents on the nodes of a cluster."""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec

from coterie.cluster.hosted import HostedTurnEnd, MemberHost, OpenMembers, TurnsEnded
from coterie.cluster.member_session import MemberSession, SceneForm, TurnJob
from coterie.cluster.placement import Placement
from coterie.cluster.wire import ClusterMember
from coterie.concurrency import AutoResetEvent, Rank, new_lock, start_thread
from coterie.errors import DeliveryError
from coterie.errors.cluster import ClusterError, ClusterUnavailable, RefusedByNode, UnknownNode
from coterie.messaging import Message
from coterie.runtime import Agent, AgentDown, AgentRef, AgentRestarted, Runtime, on

_log = logging.getLogger(__name__)

_ATTEMPTS = 20
_OPENING = 60.0
"""Seconds that a node may take to build a simulation."""
_LOOK = 1.0
"""Seconds between two messages to a host whose turns have not ended: they show whether messages were lost."""

_decode_ends = msgspec.msgpack.Decoder(list[HostedTurnEnd]).decode


class HostingCluster(Protocol):
    """A cluster, as far as the dispatch of turns needs it."""

    @property
    def runtime(self) -> Runtime:
        """The runtime of the program."""
        ...

    def place(self, placement: Placement, count: int = 1) -> list[ClusterMember]:
        """Return a node for each of several agents."""
        ...

    def spawn(self, agent: type[Agent], *args: Any, node: str) -> AgentRef:
        """Start an agent on a node."""
        ...

    def nodes(self) -> list[ClusterMember]:
        """Return the living nodes."""
        ...


class LookAtHosts(Message):
    """Ask the hosts whose turns have not ended for a message."""


class WatchHost(Message):
    """Watch a host from now on."""

    host: AgentRef


class TurnReceiver(Agent):
    """Gets the ends of turns from the hosts, and hears when one has ended."""

    records_spans = False

    def __init__(self, dispatcher: TurnDispatcher) -> None:
        self._dispatcher = dispatcher
        self._watched: list[AgentRef] = []

    def on_stop(self) -> None:
        """Watch no host any more."""
        for host in self._watched:
            self.context.unwatch(host)

    def on_start(self) -> None:
        """Look at the hosts again and again."""
        self.context.every(_LOOK, LookAtHosts())

    @on
    def turns_ended(self, message: TurnsEnded) -> None:
        """Report the ends."""
        self._dispatcher.take(message)

    @on
    def look_at_hosts(self, message: LookAtHosts) -> None:  # noqa: ARG002 - its type says everything
        """Find out whether messages were lost."""
        self._dispatcher.look()

    @on
    def watch_host(self, message: WatchHost) -> None:
        """Watch a host."""
        self.context.watch(message.host)
        self._watched.append(message.host)

    @on
    def agent_down(self, message: AgentDown) -> None:
        """Have the turns of a host done by others."""
        self._dispatcher.lose(message.agent, message.error or f"it is {message.reason}")

    @on
    def agent_restarted(self, message: AgentRestarted) -> None:
        """Have the turns of a host that has failed done by others."""
        self._dispatcher.lose(message.agent, message.error)


class TurnDispatcher:
    """Has the turns of the agents of one program done on nodes: sends them in batches, and again to others when a node is lost.

    Each node has one `MemberHost` for it. A context manager, whose end ends the hosts. Safe from any thread: `_lock` guards the table
    of sessions and `_moving`; one thread at a time moves the turns that have no host.
    """

    def __init__(
        self,
        cluster: HostingCluster,
        placement: Placement | None = None,
        *,
        classes: Sequence[str] = (),
        opener: str = "",
        home: AgentRef | None = None,
    ) -> None:
        self._cluster = cluster
        self._placement = placement or Placement()
        self._lock = new_lock(Rank.RECORDS)
        self._numbers, self._lives = itertools.count(1), itertools.count(1)
        self._sessions: dict[int, MemberSession] = {}
        self._scenes = SceneForm()
        self._homeless: deque[TurnJob] = deque()
        self._moving = self._closed = False
        self._pause = AutoResetEvent()
        self._receiver = cluster.runtime.spawn(TurnReceiver, self)
        self._order = OpenMembers(self._receiver, list(classes), opener, home)

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the hosts, and what is under way there."""
        self._closed = True
        self._pause.set()
        with self._lock:
            sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            self._refuse(session.end("the agents of the simulation have been closed"))
        self._move([])
        # The hosts watch it, and end with it.
        self._receiver.stop(drain=False)

    def _refuse(self, jobs: Sequence[TurnJob]) -> None:
        for job in jobs:
            job.end(ClusterError(f"{job.turn!r}: the hosted agents of the simulation have been closed"))

    def open(self, count: int, *, everywhere: bool = False) -> list[MemberSession | None]:
        """Return the session for each of several agents; with `everywhere` have all nodes ready, so that a problem is known at once.

        Closes itself if that raises the errors of `Cluster.spawn`. A node that has ended just now is left out.
        """
        try:
            members = self._cluster.place(self._placement, count) if count else []
            ready = [each for each in self._cluster.nodes() if each.ready] if everywhere else []
            found, _ = self._open_all([*ready, *members])
            return [found.get(each.runtime) for each in members]
        except BaseException:
            self.close()
            raise

    def begin(self, job: TurnJob) -> None:
        """Have a turn done. It is sent with `flush` at the latest."""
        session = job.agent.session
        if session is None or not session.add(job):
            self._move([job])

    def flush(self) -> None:
        """Send the turns that were begun."""
        for session in list(self._sessions.values()):
            session.flush()

    # For the receiver.

    def take(self, message: TurnsEnded) -> None:
        """Report the turns that have ended."""
        session = self._sessions.get(message.host)
        if session is None:
            return
        if message.broken or not session.heard(message.number):
            self._lose(session, message.broken or "its messages were lost")
            return
        for end in _decode_ends(message.ends):
            job = session.take(end)
            if job is not None:
                job.end(end.end)

    def look(self) -> None:
        """Ask the hosts whose turns have not ended for a message, which shows whether others were lost."""
        for session in list(self._sessions.values()):
            if session.is_busy:
                session.flush(ask=True)

    def lose(self, host: AgentRef, why: str) -> None:
        """Have the turns of a host that has ended done by others."""
        for session in list(self._sessions.values()):
            if session.host == host:
                self._lose(session, why)

    def _lose(self, session: MemberSession, why: str) -> None:
        with self._lock:
            self._sessions.pop(session.number, None)
        jobs = session.end(why)
        session.end_host()
        if jobs:
            _log.warning("%d turns are done again on other nodes, because %s was lost: %s", len(jobs), session.host, why)
        again = []
        for job in jobs:
            job.losses += 1
            if job.losses < _ATTEMPTS:
                again.append(job)
            else:
                job.end(ClusterError(f"{job.losses} nodes were lost while they did {job.turn!r}"))
        self._move(again)

    # Sessions.

    def _move(self, jobs: Sequence[TurnJob]) -> None:
        """Find a host for turns, on a thread of its own: that may take long."""
        self._homeless.extend(jobs)
        with self._lock:
            if self._moving or not self._homeless:
                return
            self._moving = True
        start_thread(self._move_all, "moves-turns")

    def _move_all(self) -> None:
        failures = 0
        while True:
            jobs = [self._homeless.popleft() for _ in range(len(self._homeless))]
            if self._closed:
                self._refuse(jobs)
            elif jobs:
                self._homeless.extend(job for job in jobs if job.timeout != jobs[0].timeout)
                failures = self._try_to_move([job for job in jobs if job.timeout == jobs[0].timeout], failures)
                continue
            with self._lock:
                if not self._homeless:
                    self._moving = False
                    return

    def _try_to_move(self, jobs: list[TurnJob], failures: int) -> int:
        """Give turns to hosts; return the number of attempts that have failed in a row."""
        try:
            self._find_hosts(jobs)
        except Exception as error:  # noqa: BLE001 - it is tried again, and then reported
            if failures + 1 < _ATTEMPTS and isinstance(error, DeliveryError | ClusterError):
                self._homeless.extendleft(reversed(jobs))
                self._pause.wait(min(0.05 * (failures + 1), 0.5))
                return failures + 1
            for job in jobs:
                job.end(error)
        return 0

    def _find_hosts(self, jobs: list[TurnJob]) -> None:
        """Give turns with the same limit of time to hosts. Raises `DeliveryError` and `ClusterError`, before it has given any."""
        timeout = (jobs[0].timeout,)
        members = self._cluster.place(self._placement, len(jobs))
        found, problem = self._open_all(members, timeout)
        if problem is not None:
            raise problem
        for job, member in zip(jobs, members, strict=True):
            session = found[member.runtime]
            job.agent.life, job.agent.session = 0, session
            if not session.add(job):
                self._homeless.append(job)
        self.flush()

    def _open_all(
        self, members: Sequence[ClusterMember], timeout: tuple[float | None] | None = None
    ) -> tuple[dict[str, MemberSession], Exception | None]:
        """Return the sessions with nodes, by their runtimes, and the error of one that has ended. Open those that there are not.

        Raises the other errors of `Cluster.spawn`, and `RefusedByNode`.
        """
        found: dict[str, MemberSession] = {}
        problem: Exception | None = None
        opening = []
        for member in {each.runtime: each for each in members}.values():
            session = self._session(member.runtime, timeout)
            if session is not None:
                found[member.runtime] = session
                continue
            number = next(self._numbers)
            try:
                host = self._cluster.spawn(MemberHost, number, node=member.name)
            except (ClusterUnavailable, UnknownNode) as error:
                problem = error
                continue
            session = MemberSession(number, member.runtime, host, self._scenes, self._lives)
            opening.append((member, session, host.ask(self._order, timeout=_OPENING)))
        for member, session, reply in opening:
            try:
                refusal = reply.result()
            except DeliveryError as error:
                problem = error
                session.end_host()
                continue
            if refusal:
                session.end_host()
                raise RefusedByNode(member.name, refusal)
            with self._lock:
                self._sessions[session.number] = session
            self._receiver.tell(WatchHost(session.host))
            found[member.runtime] = session
        return found, problem

    def _session(self, runtime: str, timeout: tuple[float | None] | None) -> MemberSession | None:
        for session in list(self._sessions.values()):
            if session.runtime == runtime and (timeout is None or session.suits(timeout[0])):
                return session
        return None
