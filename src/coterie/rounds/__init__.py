"""Rounds: agents walk a graph of stages, act on a world, and the same seed gives the same outcome.

There is one engine with four modes, which differ in where agents wait. It collects the intents and proposals of agents,
has one pure and seeded resolver decide on them, and records the outcome; each round can be checkpointed, resumed and
replayed. Agents decide by themselves, and `coterie.world` stores the outcome.
"""

from coterie.rounds.collecting import Reporter, by_agent, by_round, by_stage, by_type
from coterie.rounds.exposition import RoundsCollector
from coterie.rounds.gathering import Closing, Gathering
from coterie.rounds.graph import END, Edge, Graph, Stage, commit, for_all, per_agent, together
from coterie.rounds.groups import AgentGroup, ColumnTurn
from coterie.rounds.member import Member
from coterie.rounds.observing import RoundsMetrics
from coterie.rounds.plan import Activation, Change, Mode
from coterie.rounds.proposals import Proposal, Verdict
from coterie.rounds.results import Result, RoundResult
from coterie.rounds.selection import Selection
from coterie.rounds.simulation import Simulation
from coterie.rounds.turn import Turn

__all__ = [
    "END",
    "Activation",
    "AgentGroup",
    "Change",
    "Closing",
    "ColumnTurn",
    "Edge",
    "Gathering",
    "Graph",
    "Member",
    "Mode",
    "Proposal",
    "Reporter",
    "Result",
    "RoundResult",
    "RoundsCollector",
    "RoundsMetrics",
    "Selection",
    "Simulation",
    "Stage",
    "Turn",
    "Verdict",
    "by_agent",
    "by_round",
    "by_stage",
    "by_type",
    "commit",
    "for_all",
    "per_agent",
    "together",
]
