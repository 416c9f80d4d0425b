"""Who takes part, what they propose, and what they are given."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coterie import Agent, Dedicated, Leased, Runtime
from coterie.errors import CheckpointRefused, InvalidSetting, UnknownAgent
from coterie.rounds import Change, Closing, Gathering, Graph, Member, Mode, Simulation, Turn, per_agent, together
from coterie.runtime import Dispatcher
from coterie.world import EventLog, View, World, resolvers
from tests.rounds.fishing import Quota, simulation


class Fisher(Member):
    def __init__(self) -> None:
        self.months = 0

    async def fish(self, turn: Turn) -> int:
        self.months += 1
        await asyncio.sleep(0)
        turn.intend(
            "set", key=f"months/{turn.name}", value=[self.months, threading.current_thread() is threading.main_thread()]
        )
        return self.months

    def snapshot(self) -> int:
        return self.months

    def restore(self, state: int) -> None:
        self.months = state


class Plain:
    def fish(self, turn: Turn) -> None:
        turn.intend("set", key=f"months/{turn.name}", value=turn.round)


async def coroutine(turn: Turn) -> None:
    await asyncio.sleep(0)
    turn.intend("set", key=f"months/{turn.name}", value=turn.round)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])
def test_agents_are_runtime_agents_objects_or_coroutines(mode: Mode, dispatcher: Dispatcher) -> None:
    with Runtime("harbour", dispatcher=dispatcher) as runtime:
        agents = {"ada": runtime.spawn(Fisher), "ben": Plain(), "cleo": coroutine}
        result = Simulation(World(), agents, Graph.chain("fish"), mode=mode, dispatcher=dispatcher).run(3)
    assert dict(result.view) == {"months/ada": (3, False), "months/ben": 3, "months/cleo": 3}


def test_a_runtime_agent_takes_up_its_state_after_a_resume(tmp_path: Path) -> None:
    for rounds in (2, 5):
        with Runtime() as runtime, World(log=EventLog(tmp_path / "run.db")) as world:
            result = Simulation(world, {"ada": runtime.spawn(Fisher)}, Graph.chain("fish")).resume(rounds)
    assert result.view["months/ada"][0] == 5


def test_agents_are_copied_and_the_given_objects_stay_unchanged() -> None:
    class Counter:
        count = 0

        def act(self, turn: Turn) -> None:
            self.count += 1
            turn.intend("set", key="count", value=self.count)

    counter = Counter()
    for _ in range(2):
        assert Simulation(World(), {"a": counter}, Graph.chain("act")).run(3).view["count"] == 3
    assert counter.count == 0


@pytest.mark.parametrize(
    ("agents", "problem"),
    [
        ({"a#b": None}, "without '#'"),
        ({"": None}, "without '#'"),
        ({"a/b": None}, "without '#'"),
        ({"a": Fisher}, "an object, a function"),
        ({"a": object.__new__(Fisher)}, "an object, a function"),
    ],
)
def test_a_value_that_cannot_take_part_is_named(agents: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidSetting, match=problem):
        Simulation(World(), agents, Graph.chain("fish"))


def test_options_are_checked() -> None:
    graph = Graph.chain("fish")
    for options in (
        {"mode": "fast"},
        {"turn_timeout": 0},
        {"max_lead": -1},
        {"round_seconds": 0},
        {"seed": 1.5},
        {"checkpoints": True},
        {"members": ["zoe"]},
        {"resolver": 3},
        {"settle": "now"},
    ):
        with pytest.raises(InvalidSetting):
            Simulation(World(), ["a"], graph, **options)
    with pytest.raises(InvalidSetting, match="a mapping of names to agents"):
        Simulation(World(), "abc", graph)
    with pytest.raises(InvalidSetting, match="a World"):
        Simulation({}, ["a"], graph)  # type: ignore[arg-type]
    with pytest.raises(InvalidSetting):
        Simulation(World(), ["a"], graph).run(-1)


@pytest.mark.parametrize("mode", [Mode.LOCKSTEP, Mode.SYNC_POINTS, Mode.TOKENS])
def test_an_accepted_mechanism_binds_from_the_next_stage_on(mode: Mode) -> None:
    result, world = proposing(mode)
    assert [event.kind for event in world.history() if event.round == 1 and event.action == "take"] == ["refused"] * 2
    assert dict(result.view["mechanism/quota"]["parameters"]) == {"most": 5}


def test_in_pipelines_it_binds_from_the_next_round_on() -> None:
    result, world = proposing(Mode.PIPELINES)
    takes = {(event.round, event.kind) for event in world.history() if event.action == "take"}
    assert takes == {(1, "granted"), (2, "refused")}
    assert result.view["lake"] == 84


def proposing(mode: Mode) -> tuple[Any, World]:
    def propose(turn: Turn) -> None:
        if turn.round == 1 and turn.name == "ada":
            turn.propose("quota", most=5)
            turn.propose("quota", most="none")
            turn.propose("magic")

    def judge(gathering: Gathering) -> None:
        for proposal in gathering.proposals:
            gathering.accept(proposal, "fair")

    def fish(turn: Turn) -> None:
        turn.intend("take", amount=8)

    class Checked(Quota):
        def __init__(self, resolver: resolvers.Resolver, parameters: Any) -> None:
            super().__init__(resolver, parameters)
            if not isinstance(self.most, int):
                raise TypeError("most is no number")

    world = World({"lake": 100})
    made = Simulation(
        world,
        ["ada", "ben"] if mode is not Mode.TOKENS else ["ada", "ada2"],
        Graph.chain(propose, together(judge), fish),
        mode=mode,
        resolver=resolvers.Rationing("lake"),
        mechanisms={"quota": Checked},
        max_lead=0,
    )
    result = made.run(2)
    verdicts = {(event.kind, event.reason) for event in world.history() if event.kind in ("accepted", "rejected")}
    assert verdicts == {
        ("accepted", "fair"),
        ("rejected", "its parameters are invalid: most is no number"),
        ("rejected", "no such mechanism: magic; there are quota"),
    }
    return result, world


def test_a_proposal_without_a_verdict_is_rejected_with_that_reason() -> None:
    world = World()

    def propose(turn: Turn) -> None:
        turn.propose("quota", most=1)

    def silent(gathering: Gathering) -> None: ...

    Simulation(world, ["a"], Graph.chain(propose, together(silent)), mechanisms={"quota": Quota}).run(1)
    Simulation(world, ["a"], Graph.chain(propose), mechanisms={"quota": Quota}).run(1)
    reasons = [event.reason for event in world.history() if event.kind == "rejected"]
    assert reasons == ["silent gave no verdict", "no stage judged it"]


@pytest.mark.parametrize("mode", list(Mode))
def test_joins_and_leaves_are_events_and_are_replayed(mode: Mode, tmp_path: Path) -> None:
    def membership(number: int, view: View) -> Change | None:
        return {2: Change(join=("cleo",)), 3: Change(leave=("ada",)), 4: Change(join=("ada",))}.get(number)

    def act(turn: Turn) -> None:
        turn.intend("add", key=f"rounds/{turn.name}", amount=1)

    graph, members = Graph.chain(act), ["ada", "ben"]
    options: dict[str, Any] = {"membership": membership, "members": members, "mode": mode}
    with World(log=EventLog(tmp_path / "run.db", durable=False)) as world:
        result = Simulation(world, ["ada", "ben", "cleo"], graph, **options).run(5)
        assert dict(result.view) == {"rounds/ada": 4, "rounds/ben": 5, "rounds/cleo": 4}
        told = [(event.round, event.kind, event.agent) for event in world.history() if event.kind in ("joined", "left")]
        assert told == [
            (1, "joined", "ada"),
            (1, "joined", "ben"),
            (2, "joined", "cleo"),
            (3, "left", "ada"),
            (4, "joined", "ada"),
        ]
        assert world.log is not None
        silent = Simulation(World(), ["ada", "ben", "cleo"], graph, mode=mode, members=members)
        assert silent.replay(world.log).digests == result.digests
    with pytest.raises(UnknownAgent, match="zoe"):
        Simulation(World(), ["ada"], graph, membership=lambda number, view: Change(join=("zoe",)), mode=mode).run(1)


def test_others_may_join_leave_and_stop_while_it_runs() -> None:
    def act(turn: Turn) -> None:
        turn.intend("add", key=turn.name, amount=1)

    made = Simulation(World(), ["a", "b"], Graph.chain(act), members=["a"])

    def look(result: Any) -> None:
        if result.number == 2:
            made.join("b")
        if result.number == 4:
            made.leave("a")
        if result.number == 6:
            made.stop("enough")

    result = made.run(100, look)
    assert (dict(result.view), result.rounds, result.stopped) == ({"a": 4, "b": 5}, 7, "enough")
    with pytest.raises(InvalidSetting):
        made.join("zoe")


def test_settle_may_stop_the_run_and_let_keys_expire_on_simulation_time() -> None:
    def settle(closing: Closing) -> None:
        if closing.round == 1:
            closing.set("news", "fresh", ttl=25)
        if closing.round == 6:
            closing.stop("winter")

    seen: list[bool] = []

    def act(turn: Turn) -> None:
        seen.append("news" in turn.view)

    world = World()
    result = Simulation(world, ["a"], Graph.chain(act), settle=settle, round_seconds=10).run(100)
    assert seen == [False, True, True, False, False, False]
    assert (result.rounds, result.stopped) == (6, "winter")
    assert [event.time for event in world.history() if event.kind == "expired"] == [40]


@pytest.mark.parametrize("mode", list(Mode))
def test_random_streams_belong_to_agent_round_and_stage(mode: Mode) -> None:
    drawn: dict[tuple[str, int, str], float] = {}

    def one(turn: Turn) -> None:
        drawn[turn.name, turn.round, turn.stage] = turn.random.random()

    def two(turn: Turn) -> None:
        if turn.name == "a":
            turn.random.random()
        drawn[turn.name, turn.round, turn.stage] = turn.random.random()

    Simulation(World(), ["b", "a"], Graph.chain(one, two), mode=mode, seed=5).run(2)
    alone = dict(drawn)
    drawn.clear()
    Simulation(World(), ["a", "b", "c"], Graph.chain(one, two), mode=mode, seed=5).run(2)
    assert {key: value for key, value in drawn.items() if key[0] != "c"} == alone
    assert len(set(drawn.values())) == 12


def test_an_agent_with_state_and_without_a_snapshot_is_refused_for_checkpoints(tmp_path: Path) -> None:
    class Frozen(msgspec.Struct, frozen=True):
        amount: int

    with World(log=EventLog(tmp_path / "run.db")) as world:
        with pytest.raises(CheckpointRefused, match="ben cannot be kept in a checkpoint: a Plain has no snapshot"):
            Simulation(world, {"ada": Frozen(1), "ben": Plain()}, Graph.chain("fish")).run(1)

        class Odd:
            def fish(self, turn: Turn) -> None: ...
            def snapshot(self) -> Any:
                return {1, 2}

            def restore(self, state: Any) -> None: ...

        idle = per_agent(lambda turn: None)
        assert Simulation(world, {"a": Frozen(1), "b": coroutine, "c": "text"}, Graph.chain(idle)).run(1).forfeits == 0
    with World(log=EventLog(tmp_path / "other.db")) as world:
        made = Simulation(world, {"odd": Odd()}, Graph.chain("fish"))
        with pytest.raises(CheckpointRefused, match=r"odd cannot be kept in a checkpoint: .*not plain data"):
            made.run(1)


def test_a_simulation_without_agents_is_not_an_error() -> None:
    for mode in Mode:
        assert simulation(mode, members=[]).run(2).rounds in (0, 2)


def test_a_plain_agent_is_not_a_member_and_forfeits() -> None:
    class Deaf(Agent):
        pass

    with Runtime() as runtime:
        result = Simulation(World(), {"a": runtime.spawn(Deaf)}, Graph.chain("fish"), on_error="forfeit").run(1)
    assert result.forfeits == 1
