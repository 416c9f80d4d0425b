"""The connections of the peers to a node, over which frames come in."""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping

import msgspec
import zmq

from coterie.concurrency import start_thread
from coterie.kernel import SystemClock
from coterie.network.handshake import (
    BATCH,
    PROTOCOL,
    TALK,
    VERSION,
    Goodbye,
    Hello,
    RefusalReply,
    StatusQuestion,
    StatusReply,
    Talk,
    WelcomeReply,
    decode_batch,
    decode_talk,
    encode,
    objection,
)
from coterie.network.outgoing import LocalNode, OutgoingConnection
from coterie.network.peer import PeerStatus
from coterie.network.sockets import probe, sent

_log = logging.getLogger(__name__)

_TURN = 4
"""Messages that are read before the other sockets have their turn."""
_SESSIONS = 1_000
"""Connections of diagnoses, and problems, that are remembered."""
_EACH = 8
"""Connections of one peer that are remembered: the present one, and earlier ones of which data may still be on their way."""
_PROBE = 2.0

_NOBLOCK = int(zmq.NOBLOCK)

_clock = SystemClock()


class IncomingConnections:
    """Answers the hellos of peers, and hands their frames to the runtime. For the I/O thread alone.

    Before `admit` no peer gets in; a diagnosis does.
    """

    def __init__(
        self,
        local: LocalNode,
        listener: zmq.Socket[bytes],
        outgoing: Mapping[str, OutgoingConnection],
        deliver: Callable[[list[bytes]], None],
        call: Callable[[Callable[[], object]], None],
        *,
        authenticated: bool,
    ) -> None:
        self._local = local
        self._listener = listener
        self._outgoing = outgoing
        self._deliver = deliver
        self._call = call
        self._authenticated = authenticated
        self._own = BATCH + local.runtime.encode()
        self._known = frozenset(local.topology.nodes)
        self._sessions: dict[bytes, str] = {}
        """The name of the peer, by its connection."""
        self._routes: dict[str, deque[bytes]] = {}
        """The connections of each peer, oldest first. Each has its own, so that no other can push them out."""
        self._visitors: OrderedDict[bytes, str] = OrderedDict()
        """The connections of diagnoses."""
        self._asking: list[bytes] = []
        """The connections of the diagnoses that wait for an answer."""
        self._held: list[tuple[bytes, Hello]] = []
        """The hellos that came before peers were admitted."""
        self._admits = False
        self._logged: set[str] = set()

    def admit(self) -> None:
        """Let the peers in, those first that have come already."""
        self._admits = True
        held, self._held = self._held, []
        for route, hello in held:
            self._greet(route, hello)

    def read(self, _: int) -> None:
        """Handle what has come, for one turn."""
        for _ in range(_TURN):
            try:
                route = self._listener.recv(_NOBLOCK)
            except zmq.Again:
                return
            kind = self._listener.recv(_NOBLOCK, copy=False)
            body = self._listener.recv(_NOBLOCK, copy=False) if kind.more else None
            if body is None or body.more:
                while body is not None and body.more:
                    body = self._listener.recv(_NOBLOCK, copy=False)
                self._once("a message of a strange form was discarded")
                continue
            user = str(body.get("User-Id")) if self._authenticated else None
            session = self._sessions.get(route) or self._visitors.get(route)
            try:
                if kind.bytes == self._own:
                    if session is not None and (user is None or user == session):
                        self._deliver(decode_batch(body.buffer))
                elif kind.bytes == TALK:
                    self._handle(route, session, decode_talk(body.buffer), user)
            except msgspec.DecodeError:
                self._once(f"data of {session or 'a stranger'} that make no sense were discarded")

    def _handle(self, route: bytes, session: str | None, talk: Talk, user: str | None) -> None:
        match talk:
            case Hello():
                problem = objection(talk, self._local.name, self._known, user)
                if problem is not None:
                    self._once(problem)
                    self._answer(route, RefusalReply(problem))
                elif self._admits or not talk.node:
                    self._greet(route, talk)
                elif len(self._held) < _SESSIONS:
                    self._held.append((route, talk))
            case StatusQuestion() if session is not None:
                self._report(route)
            case Goodbye():
                line = self._outgoing.get(session or "")
                if line is not None and line.peer.node == talk.node:
                    line.lose("it has stopped")
                    self._local.renew(line.peer, "")

    def _greet(self, route: bytes, hello: Hello) -> None:
        """Answer the hello of a node of the topology."""
        local = self._local
        problem = None
        if hello.node:
            line = self._outgoing.get(hello.name)
            problem = f"{hello.name} is this node; give each its own name" if line is None else line.meet(hello.node)
        if problem is not None:
            self._answer(route, RefusalReply(problem))
            return
        self._remember(route, hello)
        limit = local.topology.max_message
        self._answer(route, WelcomeReply(PROTOCOL, VERSION, local.name, local.runtime, _clock.time(), limit))

    def _remember(self, route: bytes, hello: Hello) -> None:
        """Take what comes over a connection from now on."""
        if not hello.node:
            self._visitors[route] = hello.name
            if len(self._visitors) > _SESSIONS:
                self._visitors.popitem(last=False)
        elif route not in self._sessions:
            routes = self._routes.setdefault(hello.name, deque())
            routes.append(route)
            self._sessions[route] = hello.name
            if len(routes) > _EACH:
                del self._sessions[routes.popleft()]

    def _report(self, route: bytes) -> None:
        """Answer a diagnosis. The reasons for missing connections are found on a thread, one for all that ask meanwhile."""
        nodes = self._local.topology.nodes
        statuses = [line.peer.status() for line in self._outgoing.values()]

        def answer_all(found: list[PeerStatus]) -> None:
            asking, self._asking = self._asking, []
            for each in asking:
                self._answer(each, StatusReply(found))

        def explain() -> None:
            found = []
            for status in statuses:
                why = "" if status.connected else probe(nodes[status.name].address, _PROBE)
                found.append(msgspec.structs.replace(status, detail=why) if why else status)
            self._call(lambda: answer_all(found))

        if all(status.connected for status in statuses):
            self._answer(route, StatusReply(statuses))
            return
        if len(self._asking) < _SESSIONS:
            self._asking.append(route)
        if len(self._asking) == 1:
            start_thread(explain, f"{self._local.runtime}-diagnosis")

    def _answer(self, route: bytes, talk: Talk) -> None:
        # If it is not taken, the other side has gone, or sends its hello again.
        sent(self._listener, [route, TALK, encode(talk)])

    def _once(self, problem: str) -> None:
        if problem not in self._logged and len(self._logged) < _SESSIONS:
            self._logged.add(problem)
            _log.warning("node %s: %s", self._local.name, problem)
