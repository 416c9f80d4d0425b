"""A simulation counts its rounds, turns, forfeits and decisions, for any thread and for Prometheus."""

from coterie.rounds import Graph, RoundsCollector, Simulation, Turn, per_agent
from coterie.testing import ManualClock
from coterie.world import World, resolvers


@per_agent
def take(turn: Turn) -> None:
    if turn.name == "dag" and turn.round == 2:
        raise ValueError("the net is torn")
    turn.intend("take", amount=60)


def test_a_simulation_counts_over_its_runs() -> None:
    clock = ManualClock()
    with World({"lake": 100}, clock=clock) as world:
        simulation = Simulation(world, ["ada", "ben", "dag"], Graph.chain(take), resolver=resolvers.Rationing("lake"))
        assert simulation.metrics().rounds == 0
        simulation.run(2, lambda _: clock.advance(2.0))
        simulation.run(1)
        counts = simulation.metrics()
        assert (counts.rounds, counts.turns, counts.forfeits, counts.errors) == (3, 8, 1, 1)
        assert counts.granted + counts.cut + counts.refused == 8
        assert counts.cut == 3
        assert counts.seconds == 2.0
        text = RoundsCollector(simulation, name="pond").text()
        assert 'coterie_rounds_settled_total{simulation="pond"} 3.0' in text
        assert 'coterie_rounds_intents_total{outcome="cut",simulation="pond"} 3.0' in text
