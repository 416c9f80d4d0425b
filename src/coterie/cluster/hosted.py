"""The side of the nodes of hosted simulations: the host of a simulation's agents on one node, and what it is told and tells."""

from __future__ import annotations

from contextvars import copy_context
from typing import Any, Protocol

import msgspec

from coterie.cluster import arguments
from coterie.cluster.loading import load
from coterie.concurrency import Rank, new_lock
from coterie.errors import CodecError, CoterieError, describe
from coterie.messaging import Message, Request
from coterie.rounds.carrying import SAME, CarriedError, ModuleNames
from coterie.rounds.engine.reports import Report
from coterie.rounds.engine.tokens import Token
from coterie.rounds.engine.turn_worker import Ends, TurnWorker
from coterie.rounds.graph import Stage
from coterie.rounds.participant import Participant, state_as_bytes
from coterie.rounds.plan import Plan
from coterie.rounds.remote import RemoteScene, RemoteTurn, RemoteTurnEnd
from coterie.rounds.remote_plan import participant_of
from coterie.rounds.selection import NOBODY, Roster
from coterie.rounds.turn import Turn
from coterie.runtime import Agent, AgentDown, AgentRef, on
from coterie.runtime.references.invocation import CURRENT
from coterie.telemetry.trace_context import enter_trace
from coterie.world import View

BYTES_AT_ONCE = 1_000_000
"""The bytes of the turns, or ends, of one message: less, or one turn."""
_PATIENCE = 8.0
"""Seconds for which a node that stops lets turns end."""

_encode = msgspec.msgpack.encode


class HostedTurn(msgspec.Struct, frozen=True, array_like=True):
    """One turn for a node."""

    number: int
    life: int
    """The number of the agent as an object: it is made anew for another number."""
    turn: RemoteTurn
    given: tuple[str, bytes] | None = None
    """The class and the arguments of an object that is to be made; None for one of the simulation that the node has built."""
    state: bytes = b""
    """The state to restore in an object that is to be made; empty for none."""
    trace: dict[str, str] = {}
    """The headers of the trace context."""


class HostedTurnEnd(msgspec.Struct, frozen=True, array_like=True):
    """The end of one turn."""

    number: int
    end: RemoteTurnEnd


class OpenMembers(Request[str]):
    """Asks a host to be ready for the agents of a program. The answer is its problem, or an empty text."""

    receiver: AgentRef
    """The agent of the program that gets the ends of turns. When it has ended, so does the host."""
    classes: list[str]
    opener: str = ""
    """A function, ``module:function``, that takes the reference of `home` and returns a `HostedRun`."""
    home: AgentRef | None = None


class DoTurns(Message):
    """Do the stages of turns."""

    number: int
    """The messages to a host have the numbers 1, 2, 3, ...: a lost one shows."""
    turns: bytes
    """A list of `HostedTurn`."""
    scene: bytes = b""
    """The `RemoteScene` of these turns; empty for that of the turns before."""
    timeout: float | None = None
    dropped: tuple[int, ...] = ()
    """The lives of agents that are not needed any more."""
    over: bool = False
    """Whether the program has finished with the host."""


class TurnsEnded(Message):
    """Turns have ended. A message without turns answers one without turns."""

    host: int
    number: int
    """Counted as those of `DoTurns`."""
    ends: bytes
    """A list of `HostedTurnEnd`."""
    broken: str = ""
    """Why the host cannot go on; empty if it can."""


class GetFirstState(Request[bytes]):
    """Asks for the state of an agent that has done no turn yet."""

    name: str
    given: tuple[str, bytes] | None


class HostedRun(Protocol):
    """A simulation that a node has built for itself, to host agents of it."""

    @property
    def plan(self) -> Plan:
        """Its plan."""
        ...

    @property
    def names(self) -> ModuleNames:
        """The names of its module, here and in the program."""
        ...

    def close(self) -> None:
        """End what it has opened."""
        ...


class HostedCount:
    """The number of agents of simulations on one node, for the choice of nodes. Safe from any thread: `_lock` guards it."""

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self.agents = 0

    def add(self, agents: int) -> None:
        """Count more agents, or fewer."""
        with self._lock:
            self.agents += agents


class MadeParticipant(Participant):
    """An agent that is made by its class and arguments, each time that it is begun anew."""

    def __init__(self, name: str, given: tuple[str, bytes]) -> None:
        super().__init__(name, None)
        self.kind = load(given[0])
        self._packed = given[1]
        self.keeps_state = hasattr(self.kind, "snapshot") and hasattr(self.kind, "restore")
        self.is_stateless = False

    def make(self) -> Any:
        """Return a new object."""
        args, _ = arguments.unpack(arguments.PLAIN, self.kind, self._packed)
        return self.kind(*args)


class HostedLife(msgspec.Struct, eq=False):
    """An agent on the node, from its first turn until it is not needed any more. For the worker's thread."""

    token: Token
    sent: bytes = b""
    """Its state that the program knows."""


class MemberHost(Agent):
    """Has the agents of one simulation that are on its node, and has their turns done. Ends when the program does.

    The handlers run on its own thread, and give what they have decoded to the thread of the worker, which tells the ends.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._heard = self._told = 0
        self._receiver: AgentRef | None = None
        self._run: HostedRun | None = None
        self._names = SAME
        self._worker: TurnWorker | None = None
        self._view: View | None = None
        self._roster: Roster = NOBODY
        self._lives: dict[int, HostedLife] = {}
        self._stages: dict[str, Stage] = {}
        self._decoder = msgspec.msgpack.Decoder(list[HostedTurn])

    def on_start(self) -> None:
        """Know the number of agents on the node."""
        self._count = self.context.use(HostedCount)

    async def on_stop(self) -> None:
        """Let the turns that run end, and close what was built."""
        await self.context.run_blocking(self._close)

    def _close(self) -> None:
        if self._worker is not None:
            self._worker.close(_PATIENCE)
        self._count.add(-len(self._lives))
        if self._run is not None:
            self._run.close()

    @on
    async def open_members(self, message: OpenMembers) -> str:
        """Load the classes, and build the simulation."""
        self._receiver = message.receiver
        self.context.watch(message.receiver)
        try:
            await self.context.run_blocking(lambda: self._open(message))
        except Exception as error:  # noqa: BLE001 - the program gets it
            return str(error) if isinstance(error, CoterieError) else describe(error)
        return ""

    def _open(self, message: OpenMembers) -> None:
        for name in message.classes:
            load(name)
        if message.opener:
            run: HostedRun = load(message.opener)(message.home)
            self._run, self._names = run, run.names

    @on
    def agent_down(self, message: AgentDown) -> None:  # noqa: ARG002 - it watches the program alone
        """End with the program."""
        self._end()

    @on
    async def get_first_state(self, message: GetFirstState) -> bytes:
        """Return the state of an agent that has done no turn yet."""

        def state() -> bytes:
            return state_as_bytes(message.name, self._participant(message.name, message.given).make().snapshot())

        return await self.context.run_blocking(state)

    @on
    def do_turns(self, message: DoTurns) -> None:
        """Begin turns."""
        if message.over:
            self._end()
            return
        if message.number != self._heard + 1:
            # It has lost messages, or has failed and begun anew: the program has the turns done by another host.
            self._heard = -1
            self._send(TurnsEnded(self._number, 0, b"", f"message {message.number} came instead of {self._heard + 1}"))
            return
        self._heard = message.number
        if message.scene:
            scene = msgspec.msgpack.decode(message.scene, type=RemoteScene)
            self._view, self._roster = scene.view(), scene.roster()
        if self._worker is None:
            self._worker = TurnWorker(f"{self.context.self_ref.name}-turns", message.timeout, self._ended)
        worker, view, roster = self._worker, self._view, self._roster
        turns, dropped = self._decoder.decode(message.turns), message.dropped
        # The turns have the context of the message, but are none of this agent.
        context = copy_context()
        context.run(CURRENT.set, None)
        worker.call(lambda: context.run(self._begin_all, worker, turns, dropped, view, roster))

    def _end(self) -> None:
        worker = self._worker
        if worker is not None:
            worker.call(lambda: self._drop_all(worker))
        if self._receiver is not None:
            self.context.unwatch(self._receiver)
        self.context.self_ref.stop(drain=False)

    # On the worker's thread.

    def _begin_all(
        self, worker: TurnWorker, turns: list[HostedTurn], dropped: tuple[int, ...], view: View | None, roster: Roster
    ) -> None:
        for number in dropped:
            life = self._lives.pop(number, None)
            if life is not None:
                self._count.add(-1)
                worker.drop(life.token)
        failed: list[HostedTurnEnd] = []
        for each in turns:
            try:
                self._begin(worker, each, view, roster)
            except Exception as error:  # noqa: BLE001 - the simulation gets it
                failed.append(HostedTurnEnd(each.number, RemoteTurnEnd(error=CarriedError.of(error, self._names))))
        if failed or not (turns or dropped):
            self._tell(failed)

    def _begin(self, worker: TurnWorker, order: HostedTurn, view: View | None, roster: Roster) -> None:
        assert view is not None
        life = self._lives.get(order.life)
        if life is None:
            token = worker.add(self._participant(order.turn.name, order.given), order.life, order.state or None)
            life = self._lives[order.life] = HostedLife(token, order.state)
            self._count.add(1)
        stage = self._stage(order.turn.stage)
        turn = order.turn.open(view, roster, stage, self._names)

        def begin() -> None:
            worker.begin(life.token, turn, stage, (order.number, life))

        if order.trace:
            context = copy_context()
            enter_trace(context, order.trace)
            context.run(begin)
        else:
            begin()

    def _drop_all(self, worker: TurnWorker) -> None:
        for life in self._lives.values():
            worker.drop(life.token)

    def _participant(self, name: str, given: tuple[str, bytes] | None) -> Participant:
        if given is not None:
            return MadeParticipant(name, given)
        assert self._run is not None
        return participant_of(self._run.plan, name)

    def _stage(self, name: str) -> Stage:
        stage = self._stages.get(name)
        if stage is None:
            stage = self._run.plan.graph.stage(name) if self._run is not None else Stage(name, None, together=False)
            self._stages[name] = stage
        return stage

    def _ended(self, ends: Ends) -> None:
        self._tell([HostedTurnEnd(number, self._end_of(life, turn, report)) for (number, life), turn, report in ends])

    def _end_of(self, life: HostedLife, turn: Turn, report: Report) -> RemoteTurnEnd:
        if report.late:
            return RemoteTurnEnd(late=True)
        if report.error is not None:
            return RemoteTurnEnd.failed(turn, report.error, self._names)
        try:
            state = report.state or b""
            end = RemoteTurnEnd.of(turn, report.value, b"" if state == life.sent else state, self._names)
        except Exception as error:  # noqa: BLE001 - the simulation gets it
            return RemoteTurnEnd.failed(turn, error, self._names)
        life.sent = state
        return end

    def _tell(self, ends: list[HostedTurnEnd]) -> None:
        """Tell the program of ends, in several messages if they are large."""
        data = _encode(ends)
        if len(data) > BYTES_AT_ONCE and len(ends) > 1:
            half = len(ends) // 2
            self._tell(ends[:half])
            self._tell(ends[half:])
            return
        try:
            self._send(TurnsEnded(self._number, self._told + 1, data))
        except CodecError as error:
            # What has become of it is short.
            self._tell([HostedTurnEnd(each.number, RemoteTurnEnd(error=CarriedError.of(error))) for each in ends])
            return
        self._told += 1

    def _send(self, message: TurnsEnded) -> None:
        # A host that has failed and begun anew does not know the program, which hears of that.
        if self._receiver is not None:
            self._receiver.tell(message)
