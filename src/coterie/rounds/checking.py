"""Checks of the settings of a simulation."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from coterie.errors import InvalidSetting
from coterie.kernel import Address, Checkpointable, check_instance, choice
from coterie.rounds.graph import Graph
from coterie.rounds.groups import AgentGroup
from coterie.rounds.plan import Activation, Mode
from coterie.runtime import Agent


def agents_of(agents: Any) -> dict[str, Any]:
    """Return agents by name. Raises `InvalidSetting`."""
    if isinstance(agents, str) or not isinstance(agents, Iterable):
        raise InvalidSetting("Simulation.agents", agents, "names, or a mapping of names to agents")
    given = [each.name if isinstance(each, AgentGroup) else each for each in agents]
    for name in given:
        if not Address.is_name(name) or "/" in name:
            raise InvalidSetting("Simulation.agents", name, "names that are text without '#' and '/'")
    for name, count in Counter(given).items():
        if count > 1:
            raise InvalidSetting("Simulation.agents", name, f"each name once; this one is given {count} times")
    groups = {} if isinstance(agents, Mapping) else {each.name: each for each in agents if isinstance(each, AgentGroup)}
    made = dict(agents) if isinstance(agents, Mapping) else {**dict.fromkeys(given), **groups}
    _check_groups({name: agent for name, agent in made.items() if isinstance(agent, AgentGroup)}, made)
    for name, agent in made.items():
        if isinstance(agent, Agent) or inspect.isclass(agent):
            raise InvalidSetting(f"Simulation.agents[{name!r}]", agent, "an object, a function, or an agent's reference")
    return made


def _check_groups(groups: Mapping[str, AgentGroup], agents: Mapping[str, Any]) -> None:
    for name, group in groups.items():
        if name != group.name:
            raise InvalidSetting(f"Simulation.agents[{name!r}]", group, f"the group under its own name, {group.name!r}")
        others = [*agents, *(each for other in groups.values() if other is not group for each in other.names)]
        if both := next((other for other in others if other in group.rows.places), None):
            raise InvalidSetting("Simulation.agents", both, f"a name that no agent of the group {name} has")


def members_of(members: Any, agents: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the initial members; None for all. Raises `InvalidSetting`."""
    if members is None:
        return None
    if isinstance(members, str) or not isinstance(members, Iterable):
        raise InvalidSetting("Simulation.members", members, "names: [...]")
    chosen = tuple(members)
    for name in chosen:
        if name not in agents:
            raise InvalidSetting("Simulation.members", name, f"one of {', '.join(agents)}")
    return chosen


def check_functions(**functions: Any) -> None:
    """Check that settings are functions or None. Raises `InvalidSetting`."""
    for what, function in functions.items():
        if function is not None and not callable(function):
            raise InvalidSetting(f"Simulation.{what}", function, "a function")


def check_errors(what: str, kinds: Any) -> tuple[type[Exception], ...]:
    """Return a tuple of exception classes. Raises `InvalidSetting` for anything else."""
    given = kinds if isinstance(kinds, tuple) else (kinds,)
    if not all(inspect.isclass(kind) and issubclass(kind, Exception) for kind in given):
        raise InvalidSetting(f"Simulation.{what}", kinds, "a tuple of exception classes")
    return given


def check_mappings(mechanisms: Any, keep: Any, dispatcher: Any) -> None:
    """Check `mechanisms`, `keep` and `dispatcher`. Raises `InvalidSetting`."""
    check_instance("Simulation.mechanisms", mechanisms, (Mapping, type(None)), "a mapping of kinds to functions")
    for kind, binding in (mechanisms or {}).items():
        if not isinstance(kind, str) or not callable(binding):
            raise InvalidSetting(f"Simulation.mechanisms[{kind!r}]", binding, "a function of a resolver and parameters")
    check_instance("Simulation.keep", keep, (Mapping, type(None)), "a mapping of names to objects with snapshot and restore")
    for name, each in (keep or {}).items():
        check_instance(f"Simulation.keep[{name!r}]", each, Checkpointable, "an object with snapshot and restore")
    if dispatcher is not None and (inspect.isclass(dispatcher) or not callable(getattr(dispatcher, "open", None))):
        raise InvalidSetting("Simulation.dispatcher", dispatcher, "an instance of a dispatcher: Leased() or Dedicated()")


def check_mode(graph: Graph, mode: Any, activation: Any) -> tuple[Mode, Activation]:
    """Return the mode and the order of activation, if the mode has that order and the commits of the graph. Raises `InvalidSetting`."""
    mode, activation = choice("Simulation.mode", mode, Mode), choice("Simulation.activation", activation, Activation)
    commits = [stage.name for stage in graph.stages if stage.commits]
    if commits and mode is Mode.TOKENS:
        need = f"lockstep, sync-points or pipelines: in tokens no agent waits for others, so {commits[0]!r} has no moment"
        raise InvalidSetting("Simulation.mode", mode.value, need)
    if activation is not Activation.AT_ONCE and mode not in (Mode.LOCKSTEP, Mode.SYNC_POINTS):
        need = (
            f"lockstep or sync-points with activation={activation.value!r}: in {mode.value} agents do not wait for each other"
        )
        raise InvalidSetting("Simulation.mode", mode.value, need)
    return mode, activation


def check_stages(graph: Graph, agents: Mapping[str, Any], activation: Activation) -> None:
    """Check that stages which are methods have agents that are objects, and that groups act at once. Raises `InvalidSetting`."""
    groups = [agent for agent in agents.values() if isinstance(agent, AgentGroup)]
    if groups and activation is not Activation.AT_ONCE:
        need = f"at-once for the group {groups[0].name!r}, or its agents one by one: Simulation(world, group.names, ...)"
        raise InvalidSetting("Simulation.activation", activation.value, need)
    named = [stage.name for stage in graph.stages if stage.work is None and not stage.commits and not stage.of]
    alone = [name for name, agent in agents.items() if agent is None or isinstance(agent, AgentGroup)]
    if named and alone:
        need = f"an object with the method {named[0]!r}, or a graph whose stages are functions"
        raise InvalidSetting(f"Simulation.agents[{alone[0]!r}]", None, need)
