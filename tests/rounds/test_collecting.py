"""Collected tables have what the rounds had, follow from the log alone, and never change an outcome."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from coterie.errors import CollectFailed, InvalidSetting
from coterie.errors.tables import NoTable
from coterie.rounds import (
    Change,
    Graph,
    Mode,
    Reporter,
    Result,
    Simulation,
    by_agent,
    by_round,
    by_stage,
    by_type,
    commit,
    per_agent,
)
from coterie.world import EventLog, View, World, resolvers


@per_agent
def fish(turn: Any) -> None:
    turn.intend("take", amount=turn.random.randrange(9))


@per_agent
def rest(turn: Any) -> None:
    turn.intend("set", key=f"mood/{turn.name}", value=turn.random.random())


class Heron:
    pass


COLLECT: Mapping[str, Any] = {
    "lake": "lake",
    "moods": lambda view: len(view.under("mood/")),
    "events": by_round(lambda view, events: len(events)),
    "catch": by_agent("basket/{agent}"),
    "size": by_type(lambda view, names: len(names)),
    "left": by_stage(lambda view, events: view["lake"]),
    "known": by_stage(lambda view, events: len(view.under("mood/"))),
    "taken": by_stage(lambda view, events: sum(each.details.get("amount", 0) for each in events)),
}


def leave(number: int, view: View) -> Change | None:
    return Change(leave=("ben",)) if number == 3 else None


def simulation(world: World, mode: Mode = Mode.SYNC_POINTS, collect: Mapping[str, Any] | None = COLLECT) -> Simulation:
    lake = resolvers.Rationing("lake", into="basket/{agent}")
    agents = {"ada": Heron(), "ben": Heron(), "cleo": None}
    graph = Graph.chain(fish, rest)
    return Simulation(
        world, agents, graph, seed=3, mode=mode, resolver=lake, collect=collect, membership=leave, checkpoints=False
    )


def rows(result: Result) -> dict[str, list[dict[str, Any]]]:
    return {by: table.to_list() for by, table in result.data.items()}


@pytest.mark.parametrize("mode", list(Mode))
def test_collecting_changes_no_digest_and_follows_from_the_log(mode: Mode, tmp_path: Path) -> None:
    bare = simulation(World({"lake": 100}), mode, None).run(4)
    with World({"lake": 100}, log=EventLog(tmp_path / "run.db")) as world:
        run = simulation(world, mode)
        run.run(2)
        result = run.run(2)
        assert result.digest == bare.digest
        assert {by: table.to_list() for by, table in run.collected(world.log).items()} == rows(result)  # type: ignore[arg-type]
        assert rows(simulation(World(), mode).replay(world.log)) == rows(result)  # type: ignore[arg-type]
    assert bare.data == {}


def test_tables_have_a_row_for_each_round_agent_type_and_stage() -> None:
    result = simulation(World({"lake": 100})).run(4)
    data = rows(result)
    assert [row["round"] for row in data["round"]] == [1, 2, 3, 4]
    assert data["round"][-1]["lake"] == result.view["lake"]
    assert [row["agent"] for row in data["agent"]] == ["ada", "ben", "cleo"] * 2 + ["ada", "cleo"] * 2
    assert data["agent"][-1] == {"round": 4, "agent": "cleo", "type": "agent", "catch": result.view["basket/cleo"]}
    assert data["type"][1] == {"round": 1, "type": "agent", "agents": 1, "size": 1}
    assert data["type"][0] == {"round": 1, "type": "Heron", "agents": 2, "size": 2}
    first, second = data["stage"][:2]
    assert (first["stage"], first["known"], second["stage"], second["known"]) == ("fish", 0, "rest", 3)
    assert first["left"] == 100 - first["taken"]


def test_a_missing_value_is_missing_and_values_are_copies() -> None:
    seen: list[Any] = []

    def keep(view: View) -> Any:
        seen.append([view["lake"]])
        return seen[-1]

    result = simulation(World({"lake": 9}), collect={"none": "no such key", "kept": keep}).run(2)
    seen[0].append("changed")
    assert [row["none"] for row in rows(result)["round"]] == [None, None]
    assert rows(result)["round"][0]["kept"] != seen[0]
    assert result.frame()["none"].to_list() == [None, None]


def kept(world: World, collect: Mapping[str, Any]) -> Simulation:
    return Simulation(world, ["ada", "ben"], Graph.chain(rest), seed=1, collect=collect)


def test_a_reporter_that_raises_is_named_and_a_corrected_one_collects_all_rounds(tmp_path: Path) -> None:
    def broken(view: View, name: str) -> float:
        if name == "ben" and view["mood/ada"] < 0.5:
            raise ZeroDivisionError("no mood")
        return 1.0

    with World(log=EventLog(tmp_path / "run.db")) as world, pytest.raises(CollectFailed) as caught:
        kept(world, {"mood": by_agent(broken)}).run(20)
    assert f"collect['mood'] failed for round {caught.value.round}, the agent ben: ZeroDivisionError: no mood" in str(
        caught.value
    )
    with World(log=EventLog(tmp_path / "run.db")) as world:
        result = kept(world, {"mood": by_agent("mood/{agent}")}).resume(20)
        assert result.table("agent").rows == 40
        assert result.digest == kept(World(), {}).run(20).digest


def test_without_a_log_a_run_goes_on_after_a_reporter_failed_once() -> None:
    calls: list[int] = []

    def once(view: View) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("not now")
        return len(calls)

    run = kept(World(), {"calls": once})
    with pytest.raises(CollectFailed, match="round 2: ValueError: not now"):
        run.run(5)
    assert [row["round"] for row in rows(run.run(3))["round"]] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("collect", "problem"),
    [
        ({"x": 3}, r"collect\['x'\]=3: need a function of a view"),
        ({"round": "x"}, "none of round, agent"),
        (["x"], "a mapping of names to functions"),
        ({"x": Reporter("round", None)}, "a function"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_reporter_is_refused_at_once(collect: Any, problem: str) -> None:
    with pytest.raises(InvalidSetting, match=problem):
        kept(World(), collect)


def test_a_value_that_is_not_plain_and_a_table_that_is_not_there_are_named() -> None:
    with pytest.raises(CollectFailed, match="object is not plain data"):
        kept(World(), {"x": lambda view: object()}).run(1)
    with pytest.raises(NoTable, match=r"no collected table 'agent' .there is: 'round'"):
        kept(World(), {"x": "x"}).run(1).frame("agent")


def test_stages_around_a_commit_are_collected_alike_in_each_mode_and_after_a_resumption(tmp_path: Path) -> None:
    def made(world: World, mode: str) -> Simulation:
        lake = resolvers.Rationing("lake", into="basket/{agent}")
        graph = Graph.chain(rest, fish, commit, rest.named("afterwards"))
        collect = {"left": by_stage(lambda view, events: view["lake"]), "events": by_stage(lambda view, events: len(events))}
        return Simulation(world, ["ada", "ben"], graph, seed=3, mode=mode, resolver=lake, collect=collect)

    whole = made(World({"lake": 100}), "sync-points").run(3).table("stage").to_list()
    assert [(row["stage"], row["events"]) for row in whole[:4]] == [("rest", 2), ("fish", 2), ("commit", 0), ("afterwards", 2)]
    assert 100 > whole[1]["left"] == whole[2]["left"] == whole[3]["left"]
    for mode in ("lockstep", "pipelines"):
        assert made(World({"lake": 100}), mode).run(3).table("stage").to_list() == whole
    with World({"lake": 100}, log=EventLog(tmp_path / "run.db")) as world:
        made(world, "sync-points").run(1)
    with World(log=EventLog(tmp_path / "run.db")) as world:
        assert made(world, "sync-points").resume(3).table("stage").to_list() == whole
