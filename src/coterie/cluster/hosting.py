"""Simulations whose agents are hosted on the nodes of a cluster. The world, its log and the engine stay with the program."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import msgspec

from coterie.cluster import arguments
from coterie.cluster.cluster import Cluster
from coterie.cluster.loading import load
from coterie.cluster.placement import Placement
from coterie.concurrency import Rank, new_lock
from coterie.errors import DefinitionError, DeliveryError, HandlerFailed, describe
from coterie.errors.cluster import ClusterError
from coterie.kernel import Address, Checkpointable
from coterie.messaging import Message, Request
from coterie.rounds import Turn
from coterie.rounds.remote import RemoteScene, RemoteTurn, RemoteTurnEnd
from coterie.runtime import Agent, AgentRef, on
from coterie.world import View

KEEPER = "cluster-scenes"
"""The name of the agent of each node that remembers the scenes of simulations."""
_SCENES = 64
"""Scenes that a node remembers."""
_ATTEMPTS = 20
_LOOK, _PATIENCE = 0.002, 5.0

_encode = msgspec.msgpack.encode
_decode_end = msgspec.msgpack.Decoder(RemoteTurnEnd).decode
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

    def add(self, simulation: str, number: int, scene: RemoteScene) -> None:
        """Remember a scene."""
        made = scene, scene.view()
        with self._lock:
            self._scenes[simulation, number] = made
            if len(self._scenes) > _SCENES:
                self._scenes.popitem(last=False)

    def get(self, simulation: str, number: int) -> tuple[RemoteScene, View] | None:
        """Return a scene and its view, or None."""
        return self._scenes.get((simulation, number))


class SceneKeeper(Agent):
    """Puts the scenes that programs send into the cache of the node."""

    @on
    def set_scene(self, message: SetScene) -> None:
        """Remember a scene."""
        scene = msgspec.msgpack.decode(message.scene, type=RemoteScene)
        self.context.use(SceneCache).add(message.simulation, message.number, scene)


class Hosted(Agent):
    """Has one agent of a simulation, an object of a user's class, and does its stages."""

    def __init__(self, kind: str, packed: bytes) -> None:
        made = load(kind)
        args, _ = arguments.unpack(arguments.PLAIN, made, packed)
        self._agent: Any = made(*args)

    @on
    async def do_turn(self, message: DoTurn) -> bytes:
        """Do a turn."""
        if message.state:
            self._agent.restore(msgspec.msgpack.decode(message.state))
        cache, waited = self.context.use(SceneCache), 0.0
        while (found := cache.get(message.simulation, message.scene)) is None:
            if waited > _PATIENCE:
                return _encode(RemoteTurnEnd(missing=True))
            await asyncio.sleep(_LOOK)
            waited += _LOOK
        turn = _decode_turn(message.turn).open(*found)
        turn.agent = self._agent
        method = getattr(self._agent, turn.stage, None)
        value = method(turn) if method is not None else self._agent(turn)
        if hasattr(value, "__await__"):
            value = await value
        return _encode(RemoteTurnEnd.of(turn, value, self._state()))

    @on
    def get_state(self, message: GetHostedState) -> bytes:  # noqa: ARG002 - its type says everything
        """Return the state."""
        return _encode(self._state())

    def _state(self) -> Any:
        return self._agent.snapshot() if isinstance(self._agent, Checkpointable) else None


class HostedAgents:
    """The agents of a simulation, each on a node of a cluster, as a context manager. Their classes are found as those of `spawn`.

    ::

        with HostedAgents(cluster, {"ada": (Fisher, 0.1), "ben": (Fisher, 0.2)}) as hosted:
            Simulation(world, hosted.agents, Graph.chain("look", "fish"), seed=7).run(rounds=12)

    A stage that is a method of the agents runs on their nodes, on a view of the world that is sent there once a commit; what it
    intends, proposes and returns comes back. So the outcome is that of one process. A stage that is a function runs in the
    program. If a node is lost, its agents are made again on others, with their states as of their last turns (by `snapshot` and
    `restore`; without them as they were first), and do the turns again that had not ended. Arguments are plain data.

    Safe from any thread; `_lock` guards the scenes. Raises the errors of `Cluster.spawn`.
    """

    def __init__(self, cluster: Cluster, agents: Mapping[str, tuple[Any, ...]], placement: Placement | None = None) -> None:
        self.cluster = cluster
        self.id = secrets.token_hex(8)
        self._placement = placement
        self._lock = new_lock(Rank.RECORDS)
        self._numbers = itertools.count(1)
        self._scene: tuple[Any, Any, int, bytes] = (None, None, 0, b"")
        self._sent: dict[str, int] = {}
        self._spawned: list[AgentRef] = []
        packed = {name: _packed(given) for name, given in agents.items()}
        references = cluster.spawn_many(Hosted, list(packed.values()), placement=placement)
        self._spawned += references
        self.agents: dict[str, Any] = {
            name: _proxy(agents[name][0])(self, *packed[name], reference)
            for name, reference in zip(agents, references, strict=True)
        }
        """The agents for `Simulation`, by name."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop the agents."""
        for reference in self._spawned:
            if reference.is_alive:
                reference.stop(drain=False)

    def spawn(self, kind: str, packed: bytes) -> AgentRef:
        """Host an agent anew. Raises the errors of `Cluster.spawn`."""
        reference = self.cluster.spawn(Hosted, kind, packed, placement=self._placement)
        self._spawned.append(reference)
        return reference

    def show(self, turn: Turn, node: str) -> int:
        """Send the scene of a turn to a node, unless that has it; return its number."""
        with self._lock:
            view, roster, number, scene = self._scene
            if view is not turn.view or roster is not turn.roster:
                number, scene = next(self._numbers), _encode(RemoteScene.of(turn.view, turn.roster))
                self._scene = turn.view, turn.roster, number, scene
            sent = self._sent.get(node) == number
            self._sent[node] = number
        if not sent:
            # Before the turn on the same link, and to another agent: a turn waits for its scene.
            self.cluster.runtime.reference(Address(node, KEEPER)).post(SetScene(self.id, number, scene))
        return number

    def forget(self, node: str) -> None:
        """Send the scene to a node again."""
        with self._lock:
            self._sent.pop(node, None)


class HostedProxy:
    """One hosted agent, as the engine sees it. Only its executor's thread uses it."""

    __slots__ = ("__weakref__", "_hosting", "_kind", "_packed", "_reference", "_restores", "_state")

    def __init__(self, hosting: HostedAgents, kind: str, packed: bytes, reference: AgentRef | None = None) -> None:
        self._hosting = hosting
        self._kind = kind
        self._packed = packed
        self._reference = reference
        self._state: Any = None
        self._restores = False

    def __deepcopy__(self, memo: object) -> Any:
        copy = type(self)(self._hosting, self._kind, self._packed, self._reference)
        # The first copy takes the agent that was spawned with it; later ones begin with agents of their own.
        self._reference = None
        return copy

    async def __call__(self, turn: Turn) -> Any:
        """Have a turn done on the node of the agent, and carry its intents out here."""
        problem: Exception | None = None
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(min(0.05 * attempt, 0.5))
            try:
                end = await self._try(turn)
            except HandlerFailed:
                raise
            except (DeliveryError, ClusterError) as error:
                problem = error
                self._lose()
                continue
            if not end.missing:
                self._state, self._restores = end.state, False
                return end.apply(turn)
            self._hosting.forget(self._node())
        assert problem is not None
        raise problem

    async def _try(self, turn: Turn) -> RemoteTurnEnd:
        if self._reference is None or not self._reference.is_alive:
            self._lose()
            self._reference = self._hosting.spawn(self._kind, self._packed)
        state = _encode(self._state) if self._restores and self._state is not None else b""
        order = DoTurn(self._hosting.id, self._hosting.show(turn, self._node()), _encode(RemoteTurn.of(turn)), state)
        end: RemoteTurnEnd = _decode_end(await self._reference.ask(order, timeout=None))
        return end

    def _node(self) -> str:
        assert self._reference is not None
        return self._reference.address.node

    def _lose(self) -> None:
        self._reference, self._restores = None, True


class KeepingProxy(HostedProxy):
    """A hosted agent with `snapshot` and `restore`."""

    __slots__ = ()

    def snapshot(self) -> Any:
        """Return the state of the agent after its last turn."""
        if self._state is None and self._reference is not None:
            self._state = msgspec.msgpack.decode(self._reference.ask(GetHostedState()).result())
        return self._state

    def restore(self, state: Any) -> None:
        """Have the agent restored before its next turn."""
        self._state, self._restores = state, state is not None


def _packed(given: Any) -> tuple[str, bytes]:
    kind, *args = given if isinstance(given, tuple) else (given,)
    if not isinstance(kind, type):
        raise DefinitionError(
            describe(TypeError(repr(kind))), "it is not a class", "give (Class, argument, ...) for each agent"
        )
    name = f"{kind.__module__}:{kind.__qualname__}"
    if kind.__module__ == "__main__" or "<" in kind.__qualname__:
        raise DefinitionError(name, "other nodes cannot import it", "define it at the top of a module of its own")
    return name, arguments.pack(arguments.PLAIN, kind, tuple(args), {})


def _proxy(kind: type) -> type[HostedProxy]:
    # Selections by the type of agents go by the name of their class.
    base = KeepingProxy if hasattr(kind, "snapshot") and hasattr(kind, "restore") else HostedProxy
    return type(kind.__name__, (base,), {"__slots__": ()})
