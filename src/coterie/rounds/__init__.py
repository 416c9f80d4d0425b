"""Rounds: agents walk a graph of stages, act on a world, and the same seed gives the same outcome.

One engine, four modes, which differ in where agents wait. What agents intend and propose is collected, decided by one
pure and seeded resolver, and recorded; each round can be checkpointed, resumed and replayed. How agents decide is
theirs, and how the world keeps what was decided is the world's.
"""

from coterie.rounds.agents.member import Keep, Member, TakeTurn, TakeUp
from coterie.rounds.engine.timeline import Span
from coterie.rounds.graph.graph import END, Edge, Graph
from coterie.rounds.graph.stage import Stage, per_agent, together
from coterie.rounds.mode import Mode
from coterie.rounds.plan import Change, Membership, Settle
from coterie.rounds.simulation import Result, RoundResult, Simulation
from coterie.rounds.turns.gathering import Closing, Gathering
from coterie.rounds.turns.proposals import Binding, Proposal, Verdict
from coterie.rounds.turns.turn import Turn

__all__ = [
    "END",
    "Binding",
    "Change",
    "Closing",
    "Edge",
    "Gathering",
    "Graph",
    "Keep",
    "Member",
    "Membership",
    "Mode",
    "Proposal",
    "Result",
    "RoundResult",
    "Settle",
    "Simulation",
    "Span",
    "Stage",
    "TakeTurn",
    "TakeUp",
    "Turn",
    "Verdict",
    "per_agent",
    "together",
]
