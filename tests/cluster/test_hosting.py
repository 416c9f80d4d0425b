"""Hosted simulations over nodes in this process, connected by a transport that can lose frames."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from coterie.cluster.hosted import TurnsEnded
from coterie.cluster.hosting import HostedAgents, HostedSimulation
from coterie.cluster.placement import Placement
from coterie.cluster.turn_dispatcher import TurnDispatcher
from coterie.errors import StageFailed
from coterie.errors.cluster import NoNodeFits, RefusedByNode, UnknownNode
from coterie.rounds import Graph, Result, RoundResult, Simulation, together
from coterie.telemetry import Tracing
from coterie.world import EventLog, World, resolvers
from tests.cluster.hosted_people import GOES_ON, MEETING, Counting, Heavy, Home, Idle, Meeter, Quick, Slow, Wrong, herd
from tests.cluster.hosting_cluster import NearbyCluster
from tests.rounds.fishing import NAMES, Fisher, Quota, judge, settle
from tests.telemetry.collector import read_file

SPREAD = Placement(strategy="spread")


@pytest.fixture
def cluster() -> Iterator[NearbyCluster]:
    cluster = NearbyCluster("a", "b")
    yield cluster
    cluster.close()


@pytest.fixture
def hosted(cluster: NearbyCluster) -> Iterator[Callable[..., dict[str, Any]]]:
    """Host agents, and return them for a simulation."""
    every: list[HostedAgents] = []

    def host(agents: Mapping[str, Any], placement: Placement = SPREAD) -> dict[str, Any]:
        every.append(HostedAgents(cluster, agents, placement))  # type: ignore[arg-type] # as far as it needs one
        return every[-1].agents

    yield host
    for each in every:
        each.close()


def fishery(agents: Mapping[str, Any], on_round: Callable[[RoundResult], None] | None = None) -> Result:
    simulation = Simulation(
        World({"lake": 100}), agents, Graph.chain("look", together(judge), "fish"),
        resolver=resolvers.Rationing("lake", into="basket/{agent}"), settle=settle, mechanisms={"quota": Quota}, seed=3,
    )  # fmt: skip
    return simulation.run(8, on_round)


def counted(agents: Mapping[str, Any], rounds: int = 3, **options: Any) -> Result:
    return Simulation(World({"idle": 0}), agents, Graph.chain("count"), **options).run(rounds)


def test_the_outcome_is_that_of_one_process_also_when_nodes_die_and_come(cluster: NearbyCluster, hosted: Any) -> None:
    alone = fishery({name: Fisher() for name in NAMES})
    agents = hosted(dict.fromkeys(NAMES, (Fisher,)))
    assert fishery(agents).digests == alone.digests

    def happen(result: RoundResult) -> None:
        if result.number == 2:
            cluster.kill("b")
        if result.number == 4:
            cluster.add("c")
            cluster.kill("a")

    assert fishery(agents, happen).digests == alone.digests
    assert fishery(agents).digests == alone.digests


def test_a_message_that_is_lost_has_the_turns_done_again(cluster: NearbyCluster, hosted: Any) -> None:
    alone = fishery({name: Fisher() for name in NAMES})
    agents = hosted(dict.fromkeys(NAMES, (Fisher,)))
    lost: list[tuple[str, str]] = []

    def lose(target: str, frame: bytes) -> bool:
        # The first turns for each node, and the first ends.
        kind = "DoTurns" if b":DoTurns" in frame else "TurnsEnded" if b":TurnsEnded" in frame else ""
        if not kind or (kind, target) in lost or (kind == "TurnsEnded" and len(lost) < 2):
            return False
        lost.append((kind, target))
        return True

    cluster.transport.loses = lose
    assert fishery(agents).digests == alone.digests
    assert len(lost) >= 3


def test_turns_that_block_their_threads_are_done_side_by_side(hosted: Any) -> None:
    MEETING.reset()
    agents = hosted({f"agent-{number}": (Meeter,) for number in range(4)}, Placement(node="a"))
    result = Simulation(World({}), agents, Graph.chain("meet")).run(2)
    assert result.forfeits == 0
    assert sum(key.startswith("met/") for key in result.view) == 4


def test_a_slow_turn_holds_back_no_end_of_a_quick_one(hosted: Any) -> None:
    GOES_ON.clear()
    agents = hosted({"slow": (Slow,), "quick": (Quick,)}, Placement(node="a"))
    result = Simulation(World({}), agents, Graph.chain("first", "second"), turn_timeout=20.0).run(1)
    assert (result.forfeits, result.view["went on"]) == (0, True)


def test_a_turn_that_takes_too_long_is_forfeited_and_its_agent_made_anew(hosted: Any) -> None:
    options: dict[str, Any] = {"turn_timeout": 1.5}
    alone = counted({name: Counting(2, "ada") for name in ("ada", "ben")}, **options)
    result = counted(hosted(dict.fromkeys(("ada", "ben"), (Counting, 2, "ada"))), **options)
    assert (result.digest, result.forfeits) == (alone.digest, 1)
    assert dict(result.view) == dict(alone.view)
    # As of its last turn before.
    assert result.view["turns/ada"] == 2


def test_births_deaths_errors_and_functions_have_the_outcome_of_one_process(cluster: NearbyCluster) -> None:
    alone = herd().run(8)
    simulation = herd()
    home = cluster.runtime.spawn(Home)
    with HostedSimulation(cluster, simulation, "tests.cluster.hosted_people:opened", home, SPREAD):  # type: ignore[arg-type]
        result = simulation.run(8)
    assert result.digests == alone.digests
    assert (result.forfeits, result.errors) == (alone.forfeits, alone.errors)
    assert alone.forfeits > 3
    assert len(alone.view) > 7


def test_turns_travel_together_and_the_view_once_for_each_node(cluster: NearbyCluster, hosted: Any) -> None:
    agents = hosted({f"agent-{number}": (Idle,) for number in range(200)})
    frames: list[int] = []

    def count(target: str, frame: bytes) -> bool:
        if b":DoTurns" in frame and len(frame) > 1_000:
            frames.append(len(frame))
        return False

    cluster.transport.loses = count
    world = World({"idle": 0, "text": "x" * 500_000})
    Simulation(world, agents, Graph.chain("count")).run(3)
    assert len(frames) <= 3 * 2 * 3
    assert 6 * 500_000 < sum(frames) < 7 * 500_000


def test_large_turns_and_ends_travel_in_several_messages(cluster: NearbyCluster, hosted: Any) -> None:
    agents = hosted({f"agent-{number}": (Heavy,) for number in range(6)}, Placement(node="a"))
    sizes: list[int] = []

    def measure(_: str, frame: bytes) -> bool:
        sizes.append(len(frame))
        return False

    cluster.transport.loses = measure
    result = Simulation(World({}), agents, Graph.chain("first", "second")).run(1)
    assert dict(result.view) == {f"agent-{number}": 400_000 for number in range(6)}
    assert max(sizes) < 1_100_000
    assert sum(sizes) > 2 * 6 * 400_000


def test_a_state_travels_only_when_it_has_changed(hosted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    take = TurnDispatcher.take

    def seen(dispatcher: TurnDispatcher, message: TurnsEnded) -> None:
        sizes.append(len(message.ends))
        take(dispatcher, message)

    monkeypatch.setattr(TurnDispatcher, "take", seen)
    agents = hosted({"ada": (Idle, 0, "x" * 50)})
    counted(agents, 1)
    first, sizes[:] = max(sizes), []
    result = counted(agents, 4)
    # The state is in the first of them.
    largest, second, *_ = sorted(sizes, reverse=True)
    assert largest == first > second
    assert result.view["idle"] == 4


def test_a_simulation_goes_on_from_a_checkpoint_of_one_process(hosted: Any, tmp_path: Any) -> None:
    alone = counted({"ada": Counting()}, 5)
    with World({"idle": 0}, log=EventLog(tmp_path / "run.db")) as world:
        Simulation(world, {"ada": Counting()}, Graph.chain("count")).run(2)
    with World(log=EventLog(tmp_path / "run.db")) as world:
        result = Simulation(world, hosted({"ada": (Counting,)}), Graph.chain("count")).resume(5)
    assert result.digest == alone.digest


def test_an_agent_that_has_done_no_turn_has_a_snapshot(hosted: Any) -> None:
    assert hosted({"ada": (Counting,)})["ada"].snapshot() == {"turns": 0}


def test_agents_that_are_closed_forfeit_their_turns(cluster: NearbyCluster) -> None:
    hosted = HostedAgents(cluster, {"ada": (Counting,)})  # type: ignore[arg-type] # as above

    def close(_: RoundResult) -> None:
        hosted.close()

    result = Simulation(World({}), hosted.agents, Graph.chain("count")).run(2, close)
    assert result.forfeits == 1


def test_a_turn_on_a_node_is_within_the_turn_of_the_program(hosted: Any, tmp_path: Path) -> None:
    agents = hosted({"ada": (Counting,)})
    with Tracing(tmp_path / "trace.json"):
        counted(agents, 1)
    read = read_file(tmp_path / "trace.json")
    (there,) = [each for each in read.named("turn count") if read.path(each)[1] == "turn count"]
    assert read.path(there)[:3] == ["turn count", "turn count", "round 1"]


def test_what_cannot_be_hosted_is_one_clear_error(cluster: NearbyCluster, hosted: Any) -> None:
    gone = type("Gone", (Counting,), {"__module__": "no_such_module"})
    with pytest.raises(RefusedByNode, match=r"node a: ModuleNotFoundError: No module named 'no_such_module'"):
        hosted({"ada": (gone,)}, Placement(node="a"))
    with pytest.raises(UnknownNode, match="no living node 'z'"):
        hosted({"ada": (Counting,)}, Placement(node="z"))
    with pytest.raises(NoNodeFits, match="zone=x"):
        hosted({"ada": (Counting,)}, Placement(labels={"zone": "x"}))
    with pytest.raises(StageFailed, match="it cannot be made"):
        counted(hosted({"ada": (Wrong,)}))
    assert not [agent for runtime in cluster.hosts.values() for agent in runtime.agents() if "turnreceiver" in agent.name]
