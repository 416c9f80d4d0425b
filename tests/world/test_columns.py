"""Columns in a world: elements as keys, the log, snapshots, and bad input."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coterie.errors import InvalidValue
from coterie.world import Column, EventLog, Intent, World, thaw
from coterie.world.state.column import Rows

NAMES = ["ada", "ben", "cleo"]


def add(name: str, amount: Any, index: int = 0) -> Intent:
    return Intent("ada", "add", {"key": f"coins/{name}", "amount": amount}, index=index)


def test_an_element_of_a_column_is_a_key() -> None:
    world = World({"coins": Column(NAMES, [1, 2, 3]), "n": 1})
    view = world.view()
    assert view["coins"]["ben"] == view["coins/ben"] == 2
    assert view.get("coins/zoe", 7) == 7
    assert "coins/ada" in view
    assert "coins/zoe" not in view
    assert view.under("coins/") == {"ada": 1, "ben": 2, "cleo": 3}
    assert list(view) == ["coins", "n"]
    with pytest.raises(KeyError):
        view["coins/zoe"]
    world.commit(
        [add("ada", 4), add("ben", -1, 1), Intent("ben", "move", {"source": "coins/ada", "target": "coins/cleo", "amount": 2})]
    )
    assert dict(world.view()["coins"]) == {"ada": 3, "ben": 1, "cleo": 5}
    assert dict(view["coins"]) == {"ada": 1, "ben": 2, "cleo": 3}
    assert thaw(world.view()["coins"]) == {"ada": 3, "ben": 1, "cleo": 5}


def test_changes_element_by_element_and_as_a_whole_give_one_digest_which_the_log_keeps(tmp_path: Path) -> None:
    whole = World({"coins": Column(NAMES, [1, 2, 3])})
    whole.update({"coins": Column(NAMES, [5, 2, 9])})
    for snapshots in (1, 1_000):
        path = tmp_path / f"{snapshots}.db"
        with World({"coins": Column(NAMES, [1, 2, 3])}, log=EventLog(path), snapshot_every=snapshots) as world:
            world.commit([add("ada", 4), add("cleo", 6, 1)])
            world.update({"coins/ben": 8})
            world.update({"coins/ben": 2})
            digest = world.digest()
            assert digest == whole.digest() == world.view().digest()
        with World(log=EventLog(path)) as world:
            assert world.digest() == digest
            assert World.replay(world.log).digest() == digest  # type: ignore[arg-type] # it has one
            assert world.at(3)["coins/cleo"] == 9
            assert [(each.path, each.value) for each in world.differences(3, 4)] == [("/coins~1ben", 8)]


def test_a_column_may_be_replaced_by_a_value_and_the_reverse() -> None:
    world = World({"coins": Column(NAMES, 1)})
    world.update({"coins": 5})
    assert world.view()["coins"] == 5
    assert "coins/ada" not in world.view()
    world.update({"coins": Column(NAMES, True)})
    assert world.view()["coins/ada"] is True
    world.update(remove=["coins"])
    assert dict(world.view()) == {}
    assert world.digest() == World().digest()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([1, 2], "has 2 values, but there are 3 rows"),
        ([[1, 2, 3]], "the shape"),
        ([1.0, math.nan, 2.0], "it is the value of ben"),
        (["a", "b", "c"], "is not one of whole numbers"),
        ([1, None, 2], "is not one of whole numbers"),
        ([1 + 2j, 1, 1], "complex"),
        ([2**64 - 1] * 3, "beyond 63 bits"),
    ],
)
def test_an_array_of_the_wrong_length_or_type_or_with_nan_is_refused(values: Any, problem: str) -> None:
    with pytest.raises(InvalidValue, match=problem):
        Column(NAMES, values)


def test_the_names_of_rows_are_sorted_and_different() -> None:
    for names in (["ben", "ada"], ["ada", "ada"], ["a/b"], [1]):
        with pytest.raises(InvalidValue, match="the names of the rows"):
            Column(names, 0)  # type: ignore[arg-type] # wrong on purpose


def test_an_element_takes_its_type_alone_and_cannot_be_removed_or_expire() -> None:
    world = World({"coins": Column(NAMES, 1), "open": Column(NAMES, False)})
    for changes in ({"coins/ada": 0.5}, {"coins/ada": "x"}, {"coins/zoe": 1}, {"open/ada": 1}, {"coins/ada": True}):
        with pytest.raises(InvalidValue, match="column"):
            world.update(changes)
    with pytest.raises(InvalidValue, match="cannot be removed"):
        world.update(remove=["coins/ada"])
    with pytest.raises(InvalidValue, match="does not expire"):
        world.update({"coins/ada": 2}, ttl=5)
    assert dict(world.view()["coins"]) == dict.fromkeys(NAMES, 1)


def test_an_array_given_to_a_column_is_copied_and_that_of_a_column_is_read_only() -> None:
    array = np.array([1, 2, 3])
    column = Column(NAMES, array)
    array[0] = 99
    assert column["ada"] == 1
    with pytest.raises(ValueError, match="read-only"):
        column.array[0] = 5
    assert column == Column(NAMES, [1, 2, 3]) != Column(NAMES, [1.0, 2.0, 3.0])
    assert column == {"ada": 1, "ben": 2, "cleo": 3}
    assert Rows.numbers("a-", 12).names[8:10] == ("a-09", "a-10")
