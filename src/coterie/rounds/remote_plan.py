"""The plan of a simulation whose agents do their stages on other nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from coterie.rounds.groups import AgentGroup
from coterie.rounds.participant import Participant
from coterie.rounds.plan import Plan
from coterie.rounds.remote import RemoteAgent
from coterie.runtime import AgentRef


def elsewhere(plan: Plan, stand_in: Callable[[str, Any], RemoteAgent]) -> Plan:
    """Return a plan whose agents do their stages elsewhere: `stand_in` returns the remote agent for a name and its agent.

    Groups, and runtime agents, stay as they are, and so do stages for all agents together.
    """
    agents = {name: stand_in(name, agent) if can_move(agent) else agent for name, agent in plan.agents.items()}
    born, methods = plan.born, any(stage.work is None and not stage.commits for stage in plan.graph.stages)

    def born_elsewhere(name: str) -> Any:
        agent = born(name) if born is not None else None
        return stand_in(name, agent) if can_move(agent) else agent

    # Without it a simulation whose stages are methods refuses a birth, as it must.
    return msgspec.structs.replace(plan, agents=agents, born=None if born is None and methods else born_elsewhere)


def can_move(agent: Any) -> bool:
    """Return whether an agent of a simulation can do its stages elsewhere: not a group, and not a runtime agent."""
    return not isinstance(agent, AgentGroup | AgentRef)


def participant_of(plan: Plan, name: str) -> Participant:
    """Return an agent of a plan as a participant, also one that was born."""
    return Participant(name, plan.agents.get(name) if name in plan.agents or plan.born is None else plan.born(name))
