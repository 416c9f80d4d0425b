"""The calls of a runtime for durable agents."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Protocol

from coterie.errors import InvalidSetting
from coterie.errors.durable import NoStore
from coterie.kernel import check_instance
from coterie.runtime.definition.agent import Agent
from coterie.runtime.entities.durable_agents import DurableAgents
from coterie.runtime.entities.durable_services import DurableServices
from coterie.runtime.entities.policy import DurablePolicy
from coterie.runtime.references.reference import AgentRef
from coterie.storage import Database


class DurableHolder(Protocol):
    """The parts of a runtime, as far as it may keep durable agents."""

    @property
    def node(self) -> str:
        """The name of the runtime among nodes."""
        ...

    @property
    def durable(self) -> DurableAgents | None:
        """The durable agents, if the runtime has a store."""
        ...


class DurableRuntime:
    """The calls of a `Runtime` for durable agents. Safe from any thread."""

    _services: DurableHolder

    def entity(self, agent: type[Agent], key: str) -> AgentRef:
        """Return a reference to a durable agent, which is addressed by its class and its key.

        The call starts no agent: the first message activates it. Equal keys give the same agent. The agent answers when
        its change is stored. Raises `NoStore`, `InvalidKey`, and `DefinitionError` for a class that keeps no state.
        """
        return self.durable.entity(agent, key)

    def history(self, agent: type[Agent], key: str) -> Iterator[Any]:
        """Yield the recorded events of an event-sourced durable agent, oldest first; see `DurableAgents.history`."""
        return self.durable.history(agent, key)

    @property
    def durable(self) -> DurableAgents:
        """The durable agents: their keys, histories and dead letters. Raises `NoStore` for a runtime without a store."""
        durable = self._services.durable
        if durable is None:
            raise NoStore(self._services.node)
        return durable


def open_durable(
    services: DurableServices, store: str | os.PathLike[str] | Database | None, policy: DurablePolicy | None
) -> DurableAgents | None:
    """Return the durable agents of a runtime with a store, or None. Raises `InvalidSetting`, and the errors of the store."""
    if policy is not None:
        check_instance("Runtime.durable", policy, DurablePolicy, "a policy: DurablePolicy(idle=...)")
        if store is None:
            raise InvalidSetting("Runtime.durable", policy, "no policy without a store, such as store='agents.db'")
    return None if store is None else DurableAgents(services, store, policy or DurablePolicy())
