"""An assistant whose conversations are spread over the nodes of a cluster, and stored in PostgreSQL.

A new conversation goes to a node by rendezvous hashing, and stays there as long as the node lives: its place is in the database. When
the node dies the next message takes it to another, which takes the conversation over with a new epoch, so the earlier owner
can write nothing any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from coterie.cluster import Cluster, ClusterMember
from coterie.cluster.placement import rendezvous
from coterie.cluster.services import SERVICES, OpenService, ServiceOpened
from coterie.errors import DeliveryError, StorageError, describe
from coterie.errors.cluster import ClusterError, ClusterUnavailable, RefusedByNode
from coterie.interop import AccessToken, ServingOptions, create_application
from coterie.interop.relay import HTTPAgent, RelayedApplication
from coterie.kernel import Address
from coterie.orchestrator.assistants.opening import LoadedAssistant, load_assistant, open_assistant
from coterie.orchestrator.code import file_of
from coterie.orchestrator.packages import PackageHome, check_size, fetch, files_of_module, write_code
from coterie.runtime import AgentRef
from coterie.storage import Database, Schema, Transaction, open_database

OPENER = f"{__name__}:open_on_node"
_OPENING = 120.0
"""Seconds that a node may take to open an assistant."""
_RESTED = 3_600.0
"""Seconds without a request after which a conversation may move to a node that is its home since."""
_NOTED = 60.0

_SCHEMA = Schema(
    "serving_places",
    ("CREATE TABLE serving_places (key TEXT PRIMARY KEY, runtime TEXT NOT NULL, at DOUBLE PRECISION NOT NULL);",),
)
_NOW = "SELECT CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"

_log = logging.getLogger(__name__)


class AssistantPackage(msgspec.Struct, frozen=True):
    """An assistant with its files and its settings: what a node needs to open it."""

    scenario: str
    """The name of the scenario file among the files."""
    files: dict[str, bytes]
    store: str
    model: str | None
    base_url: str | None
    options: ServingOptions


@contextmanager
def spread(
    cluster: Cluster,
    loaded: LoadedAssistant,
    store: str,
    *,
    model: str | None = None,
    base_url: str | None = None,
    options: ServingOptions,
) -> Iterator[NodePlaces]:
    """Open an assistant on all nodes, and yield the places of its conversations, for `create_front`.

    Programs that serve the same files with the same settings share what is open on the nodes; it is closed a minute after the last of
    them has ended. `store` is an address of PostgreSQL. Raises `StorageError`, `ScenarioError` for too many files, and `RefusedByNode` if a node
    cannot open the assistant.
    """
    package = _encode_package(loaded, store, model, base_url, options)
    with open_database(store) as database:
        database.migrate(_SCHEMA)
        home = cluster.runtime.spawn(PackageHome, package)
        try:
            places = NodePlaces(cluster, hashlib.sha256(package).hexdigest()[:32], home, database)
            places.open_all()
            yield places
        finally:
            home.stop(drain=False)


class NodePlaces:
    """The nodes of conversations, as one front sees them. Used on the loop of its server, and before it runs."""

    def __init__(self, cluster: Cluster, key: str, home: AgentRef, database: Database) -> None:
        self._cluster = cluster
        self._order = OpenService(key, OPENER, home)
        self._database = database
        self._agents: dict[str, AgentRef] = {}
        """The agents by the runtimes of their nodes."""

    def open_all(self) -> None:
        """Open the assistant on all nodes. Raises `RefusedByNode`, and `ClusterUnavailable` without a node."""
        asked = [(member, self._ask(member)) for member in self._nodes()]
        for member, reply in asked:
            with contextlib.suppress(DeliveryError):  # It has ended just now, and the others go on.
                self._take(member, reply.result())
        if not self._agents:
            raise ClusterUnavailable("this address", "it has no node that answers; look at `coterie cluster status`")

    async def of(self, key: str) -> AgentRef | None:
        """Return the agent on the node of a conversation; None while there is none."""
        # A node that is stopping ends its conversations in an orderly way, before another one gets them.
        nodes, ready = self._cluster.nodes(), self._nodes()
        if not ready:
            return None
        home = rendezvous(ready, key)
        try:
            runtime = await asyncio.to_thread(self._claim, key, home.runtime, {each.runtime for each in nodes})
        except StorageError as error:
            _log.warning("the place of a conversation cannot be read: %s", describe(error))
            return None
        chosen = next((each for each in nodes if each.runtime == runtime), None)
        return await self._agent(chosen) if chosen is not None else None

    async def all(self) -> Mapping[str, AgentRef]:
        """Return the agents of all nodes, by the names of the nodes."""
        found = {each.name: await self._agent(each) for each in self._nodes()}
        return {name: agent for name, agent in found.items() if agent is not None}

    def _nodes(self) -> list[ClusterMember]:
        return [each for each in self._cluster.nodes() if each.ready]

    async def _agent(self, member: ClusterMember) -> AgentRef | None:
        agent = self._agents.get(member.runtime)
        if agent is not None and agent.is_alive:
            return agent
        try:
            return self._take(member, await self._ask(member))
        except (DeliveryError, ClusterError) as error:
            _log.warning("node %s does not open the assistant: %s", member.name, describe(error))
            return None

    def _ask(self, member: ClusterMember) -> Any:
        keeper = self._cluster.runtime.reference(Address(member.runtime, SERVICES))
        return keeper.ask(self._order, timeout=_OPENING)

    def _take(self, member: ClusterMember, opened: ServiceOpened) -> AgentRef:
        if opened.agent is None:
            raise RefusedByNode(member.name, opened.problem)
        self._agents[member.runtime] = opened.agent
        return opened.agent

    def _claim(self, key: str, home: str, living: set[str]) -> str:
        """Return the runtime that has a conversation; if none that lives, or for long, it is the home from now on."""
        digest = f"{self._order.key}/{hashlib.sha256(key.encode()).hexdigest()[:32]}"

        def work(write: Transaction) -> str:
            now = write.row(_NOW)
            assert now is not None
            row = write.row("SELECT runtime, at FROM serving_places WHERE key = ?", (digest,))
            age = now[0] - row[1] if row is not None else _RESTED
            runtime = str(row[0]) if row is not None and row[0] in living and age < _RESTED else home
            if row is None or row[0] != runtime or age > _NOTED:
                write.execute(
                    "INSERT INTO serving_places VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET runtime = excluded.runtime,"
                    " at = excluded.at",
                    (digest, runtime, now[0]),
                )
            return runtime

        return self._database.write(work).result()


class OpenedAssistant:
    """An assistant that is open on a node."""

    def __init__(self, application: Any, token: AccessToken, ending: contextlib.ExitStack) -> None:
        self._state = application.state.server
        self._ending = ending
        self.agent = HTTPAgent, (RelayedApplication(application, token),)

    def close(self) -> None:
        """Drain the conversations, so that no outcome stays unknown, and close the assistant."""
        self._state.conversations.close()
        self._ending.close()


def open_on_node(home: AgentRef, node: str) -> OpenedAssistant:
    """Open the assistant of a program on this node. Raises its errors."""
    package = fetch(home, AssistantPackage)
    loaded = load_assistant(write_code(package.files) / package.scenario)
    name = loaded.scenario.name.replace(" ", "-")
    folder = Path(tempfile.gettempdir(), "coterie-serving", name, node)
    with contextlib.ExitStack() as stack:
        assistant = stack.enter_context(
            open_assistant(
                loaded, folder, model=package.model, base_url=package.base_url, store=package.store, notice=_log.info
            )
        )
        store = stack.enter_context(open_database(package.store))
        token = AccessToken.of({})
        application = create_application(assistant.conversations, token, store=store, name=name, options=package.options)
        return OpenedAssistant(application, token, stack.pop_all())
    raise AssertionError("unreachable")


def _encode_package(
    loaded: LoadedAssistant, store: str, model: str | None, base_url: str | None, options: ServingOptions
) -> bytes:
    folder = loaded.path.resolve().parent
    module = file_of(loaded.scenario.assistant.module, folder)
    assert module is not None
    files = files_of_module(module, folder)
    files[loaded.path.name] = loaded.path.read_bytes()
    check_size(loaded.path, files)
    own = msgspec.structs.replace(options, host="127.0.0.1", port=0, expose=False, origins=(), origin_headers=())
    return msgspec.msgpack.encode(AssistantPackage(loaded.path.name, files, store, model, base_url, own))
