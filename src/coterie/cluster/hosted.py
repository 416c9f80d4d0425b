"""The side of the nodes of hosted simulations: the agents that do the stages, and what they share on one node."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from typing import Any, Protocol

import msgspec

from coterie.cluster import arguments
from coterie.cluster.loading import load
from coterie.concurrency import Rank, Signal, new_lock
from coterie.errors import CoterieError, describe
from coterie.errors.cluster import ClusterError
from coterie.kernel import Checkpointable
from coterie.messaging import Message, Request
from coterie.rounds.carrying import SAME, ModuleNames
from coterie.rounds.graph import Stage
from coterie.rounds.participant import state_as_bytes, state_from_bytes
from coterie.rounds.plan import Plan
from coterie.rounds.remote import RemoteScene, RemoteTurn, RemoteTurnEnd, own_copy
from coterie.runtime import Agent, AgentDown, AgentRef, on
from coterie.world import View

KEEPER = "cluster-scenes"
"""The name of the agent of each node that remembers the scenes of simulations."""
_SCENES = 64
"""Scenes that a node remembers."""
_PATIENCE = 5.0
"""Seconds that a turn waits for its scene."""

_encode = msgspec.msgpack.encode
_decode_turn = msgspec.msgpack.Decoder(RemoteTurn).decode


class SetScene(Message):
    """The view and the agents of coming turns of a simulation."""

    simulation: str
    number: int
    scene: bytes


class DoTurn(Request[bytes]):
    """Do the stage of a turn. The answer is a `RemoteTurnEnd`, encoded."""

    simulation: str
    scene: int
    turn: bytes
    state: bytes = b""
    """The state to restore first; empty to go on with the own."""


class GetHostedState(Request[bytes]):
    """Asks for the state of a hosted agent."""


class SceneCache:
    """The scenes of the simulations on one node. Safe from any thread: `_lock` guards the table."""

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._scenes: OrderedDict[tuple[str, int], tuple[RemoteScene, View]] = OrderedDict()
        self._awaited: OrderedDict[tuple[str, int], Signal] = OrderedDict()

    def add(self, simulation: str, number: int, scene: RemoteScene) -> None:
        """Remember a scene."""
        made = scene, scene.view()
        with self._lock:
            self._scenes[simulation, number] = made
            if len(self._scenes) > _SCENES:
                self._scenes.popitem(last=False)
            awaited = self._awaited.pop((simulation, number), None)
        if awaited is not None:
            awaited.set()

    async def get(self, simulation: str, number: int) -> tuple[RemoteScene, View] | None:
        """Return a scene and its view; await it for a few seconds, since it may come after its turns. Return None without it."""
        found = self._scenes.get((simulation, number))
        if found is not None:
            return found
        with self._lock:
            if (simulation, number) in self._scenes:
                return self._scenes[simulation, number]
            awaited = self._awaited.setdefault((simulation, number), Signal())
            if len(self._awaited) > _SCENES:
                self._awaited.popitem(last=False)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_set(awaited), _PATIENCE)
        return self._scenes.get((simulation, number))


async def _set(signal: Signal) -> None:
    await signal


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


class OpenRun(Request[str]):
    """Asks a node to build a simulation. The answer is its problem, or an empty text."""

    simulation: str
    opener: str
    """A function, ``module:function``, that takes the reference of `home` and returns a `HostedRun`."""
    home: AgentRef
    """An agent of the program. When it has ended, so do the agents that are hosted for it."""


class HostedRuns:
    """The simulations that one node has built, and the agents that it hosts for them. Safe from any thread: `_lock` guards both."""

    def __init__(self) -> None:
        self._lock = new_lock(Rank.RECORDS)
        self._runs: dict[str, HostedRun] = {}
        self._hosted: dict[str, list[AgentRef]] = {}

    def get(self, simulation: str) -> HostedRun | None:
        """Return what the node has built, or None."""
        return self._runs.get(simulation)

    def add(self, simulation: str, run: HostedRun) -> None:
        """Keep what the node has built."""
        with self._lock:
            self._runs[simulation] = run

    def hosts(self, simulation: str, agent: AgentRef) -> None:
        """Note an agent that ends with the simulation."""
        with self._lock:
            self._hosted.setdefault(simulation, []).append(agent)

    def end(self, simulation: str) -> None:
        """Stop the agents of a simulation, and close what was built for it."""
        with self._lock:
            run, hosted = self._runs.pop(simulation, None), self._hosted.pop(simulation, [])
        for agent in hosted:
            if agent.is_alive:
                agent.stop(drain=False)
        if run is not None:
            run.close()


class SceneKeeper(Agent):
    """Puts the scenes that programs send into the cache of the node, and builds their simulations."""

    def __init__(self) -> None:
        self._homes: dict[AgentRef, str] = {}

    @on
    def set_scene(self, message: SetScene) -> None:
        """Remember a scene."""
        scene = msgspec.msgpack.decode(message.scene, type=RemoteScene)
        self.context.use(SceneCache).add(message.simulation, message.number, scene)

    @on
    async def open_run(self, message: OpenRun) -> str:
        """Build a simulation, unless it is there."""
        runs = self.context.use(HostedRuns)
        if runs.get(message.simulation) is not None:
            return ""
        try:
            runs.add(message.simulation, await self.context.run_blocking(lambda: load(message.opener)(message.home)))
        except Exception as error:  # noqa: BLE001 - the program gets it
            return str(error) if isinstance(error, CoterieError) else describe(error)
        self._homes[message.home] = message.simulation
        self.context.watch(message.home)
        return ""

    @on
    async def agent_down(self, message: AgentDown) -> None:
        """End the agents of a program that has ended."""
        simulation = self._homes.pop(message.agent, "")
        if simulation:
            await self.context.run_blocking(lambda: self.context.use(HostedRuns).end(simulation))


class Hosted(Agent):
    """Has one agent of a simulation, an object of a user's class, and does its stages."""

    _names = SAME

    def __init__(self, kind: str, packed: bytes) -> None:
        made = load(kind)
        args, _ = arguments.unpack(arguments.PLAIN, made, packed)
        self._agent: Any = made(*args)

    @on
    async def do_turn(self, message: DoTurn) -> bytes:
        """Do a turn."""
        await self._open()
        if message.state:
            self._agent.restore(state_from_bytes(message.state))
        found = await self.context.use(SceneCache).get(message.simulation, message.scene)
        if found is None:
            return _encode(RemoteTurnEnd(missing=True))
        asked = _decode_turn(message.turn)
        turn = asked.open(*found, self._stage(asked.stage), self._names)
        turn.agent = self._agent
        try:
            method = turn.work or getattr(self._agent, turn.stage, None)
            value = method(turn) if method is not None else self._agent(turn)
            if hasattr(value, "__await__"):
                value = await value
            return _encode(RemoteTurnEnd.of(turn, value, self._state(), names=self._names))
        except Exception as error:  # noqa: BLE001 - the simulation gets it
            return _encode(RemoteTurnEnd.of(turn, None, b"", error, self._names))

    @on
    async def get_state(self, message: GetHostedState) -> bytes:  # noqa: ARG002 - its type says everything
        """Return the state."""
        await self._open()
        return self._state()

    async def _open(self) -> None:
        """Have the agent ready."""

    def _stage(self, name: str) -> Stage | None:  # noqa: ARG002 - all stages are methods
        """Return a stage that is a function."""
        return None

    def _state(self) -> bytes:
        if not isinstance(self._agent, Checkpointable):
            return b""
        return state_as_bytes(self.context.self_ref.name, self._agent.snapshot())


class HostedMember(Hosted):
    """Has one agent of a simulation that its node builds, and does its stages, which may be functions."""

    def __init__(self, simulation: str, opener: str, home: AgentRef, name: str) -> None:
        self._order = OpenRun(simulation, opener, home)
        self._name = name
        self._agent: Any = None
        self._run: HostedRun | None = None

    def on_start(self) -> None:
        """Have the agent end with its simulation."""
        self.context.use(HostedRuns).hosts(self._order.simulation, self.context.self_ref)

    async def _open(self) -> None:
        if self._run is not None:
            return
        runs = self.context.use(HostedRuns)
        keeper = self.context.runtime.find(KEEPER)
        assert keeper is not None
        problem = await keeper.ask(self._order, timeout=None)
        run = runs.get(self._order.simulation)
        if run is None:
            raise ClusterError(problem or "the program has ended")
        self._agent, self._names, self._run = own_copy(run.plan, self._name), run.names, run

    def _stage(self, name: str) -> Stage | None:
        assert self._run is not None
        return self._run.plan.graph.stage(name)
