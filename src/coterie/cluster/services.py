"""Services that programs open on all nodes, such as an assistant: one for each node, shared by all programs that want the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from coterie.cluster.loading import load
from coterie.concurrency import Rank, new_lock
from coterie.errors import CoterieError, describe
from coterie.errors.cluster import ClusterError
from coterie.messaging import Message, Request
from coterie.runtime import Agent, AgentDown, AgentRef, Dedicated, on

SERVICES = "cluster-services"
"""The name of the agent of each node that opens services."""
_LINGER = 60.0
"""Seconds for which a service stays without a program that wants it."""


class ClusterService(Protocol):
    """A service of one node: an agent, and what that uses."""

    @property
    def agent(self) -> tuple[type[Agent], tuple[Any, ...]]:
        """The class of its agent, and the arguments of that."""
        ...

    def close(self) -> None:
        """Close what the agent has used."""
        ...


class ServiceOpened(Message):
    """The agent of a service, or the problem of opening it."""

    agent: AgentRef | None = None
    problem: str = ""


class OpenService(Request[ServiceOpened]):
    """Asks a node to open a service, unless it is open."""

    key: str
    """Programs that give the same key share the service."""
    opener: str
    """A function, ``module:function``, that takes the reference of `home` and the name of the node, and returns a `ClusterService`."""
    home: AgentRef
    """An agent of the program. A service without a living home is closed after a while."""


class ServiceTable:
    """The open services of a node. Safe from any thread: `_lock` guards the table."""

    def __init__(self, node: str) -> None:
        self.node = node
        self._lock = new_lock(Rank.RECORDS)
        self._open: dict[str, tuple[AgentRef, ClusterService]] = {}
        self._closed = False

    def get(self, key: str) -> AgentRef | None:
        """Return the agent of a service, if it is alive."""
        found = self._open.get(key)
        return found[0] if found is not None and found[0].is_alive else None

    def open(self, key: str, open_: Callable[[], ClusterService], spawn: Callable[..., AgentRef]) -> AgentRef:
        """Open a service, start its agent, and keep both. Blocks.

        Raises `ClusterError` if the node stops meanwhile, and the errors of `open_` and `spawn`; nothing stays open then.
        """
        self._check()
        service = open_()
        agent = None
        try:
            kind, arguments = service.agent
            agent = spawn(kind, *arguments, dispatcher=Dedicated())
            with self._lock:
                self._check()
                self._open[key] = agent, service
        except BaseException:
            _end(agent, service)
            raise
        return agent

    def _check(self) -> None:
        if self._closed:
            raise ClusterError(f"node {self.node} is stopping")

    def close(self, key: str) -> None:
        """Close a service: what it uses first, so that its agent still answers what goes on."""
        with self._lock:
            found = self._open.pop(key, None)
        if found is not None:
            _end(*found)

    def close_all(self) -> None:
        """Close all services, and keep no more."""
        with self._lock:
            self._closed = True
            keys = list(self._open)
        for key in keys:
            self.close(key)


def _end(agent: AgentRef | None, service: ClusterService) -> None:
    service.close()
    if agent is not None and agent.is_alive:
        agent.stop(drain=False)


class ServiceKeeper(Agent):
    """Opens services for programs, and closes those that no program wants any more."""

    def __init__(self) -> None:
        self._homes: dict[AgentRef, set[str]] = {}

    @on
    async def open(self, message: OpenService) -> ServiceOpened:
        """Open a service, or return the open one."""
        services, key, home = self.context.use(ServiceTable), message.key, message.home
        agent = services.get(key)
        if agent is None:
            try:
                opener = load(message.opener)
                # All of it on one thread: nothing stays open if this handler is cancelled, because the node stops.
                agent = await self.context.run_blocking(
                    lambda: services.open(key, lambda: opener(home, services.node), self.context.runtime.spawn)
                )
            except Exception as error:  # noqa: BLE001 - the program gets it
                return ServiceOpened(problem=str(error) if isinstance(error, CoterieError) else describe(error))
        if home not in self._homes:
            self.context.watch(home)
        self._homes.setdefault(home, set()).add(key)
        return ServiceOpened(agent)

    @on
    def agent_down(self, message: AgentDown) -> None:
        """Close the services of a program that has ended, after a while."""
        for key in self._homes.pop(message.agent, set()):
            self.context.create_task(self._close_later(key))

    async def _close_later(self, key: str) -> None:
        await asyncio.sleep(_LINGER)
        if not any(key in keys for keys in self._homes.values()):
            services = self.context.use(ServiceTable)
            await self.context.run_blocking(lambda: services.close(key))
