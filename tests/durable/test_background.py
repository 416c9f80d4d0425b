"""Changes that are written in the background: together, in order, and each alone if they cannot be stored together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coterie.durable import BackgroundWrites, DurableChange, DurableStore, Identity
from coterie.errors.durable import Superseded
from coterie.storage import SqliteDatabase

A, B = Identity("kind", "a"), Identity("kind", "b")


class Scene:
    """A store, its background writes, and the errors of lost changes."""

    def __init__(self, database: SqliteDatabase) -> None:
        self.store = DurableStore(database)
        self.planned: list[Callable[[], None]] = []
        self.lost: list[BaseException] = []
        self.background = BackgroundWrites(self.store, self.planned.append)

    def add(self, change: DurableChange) -> bool:
        return self.background.add(change, self.lost.append)[1]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with SqliteDatabase(tmp_path / "agents.db") as database:
        yield Scene(database)


def test_changes_of_one_agent_become_one_commit(scene: Scene) -> None:
    assert not scene.add(DurableChange(A, 0, state=b"1", events=[("x", b"1")]))
    assert scene.add(DurableChange(A, 1, state=b"2", event_count=1))
    assert scene.add(DurableChange(A, 1, events=[("x", b"2")], event_count=1))
    written, _ = scene.background.add(DurableChange(B, 0, state=b"9"), scene.lost.append)
    assert len(scene.planned) == 1
    scene.planned.pop()()
    assert written.wait(10)
    stored = scene.store.load(A)
    assert (stored.commits, stored.state, stored.events) == (1, b"2", 2)
    assert [event.body for event in stored.later] == [b"2"]
    assert scene.store.load(B).state == b"9"
    assert scene.lost == []


def test_a_change_after_the_flush_follows_the_earlier_ones(scene: Scene) -> None:
    scene.add(DurableChange(A, 0, state=b"1"))
    scene.background.flush()
    assert not scene.add(DurableChange(A, 1, state=b"2"))
    scene.background.flush()
    scene.store.commit(DurableChange(A, 2, state=b"3")).result()
    assert scene.store.load(A).state == b"3"
    scene.background.flush()
    assert scene.lost == []


def test_one_change_that_cannot_be_stored_loses_no_other(scene: Scene) -> None:
    scene.store.commit(DurableChange(A, 0, state=b"1")).result()
    scene.store.commit(DurableChange(B, 0, state=b"1")).result()
    written, _ = scene.background.add(DurableChange(A, 7, state=b"2"), scene.lost.append)
    scene.add(DurableChange(B, 1, state=b"2"))
    scene.background.flush()
    assert written.wait(10)
    assert [type(error) for error in scene.lost] == [Superseded]
    assert (scene.store.load(A).state, scene.store.load(B).state) == (b"1", b"2")


def test_changes_that_cannot_be_queued_are_lost_and_said(scene: Scene) -> None:
    written, _ = scene.background.add(DurableChange(A, 0, state=b"1"), scene.lost.append)
    scene.store.database.close()
    scene.background.flush()
    assert written.done
    assert len(scene.lost) == 1
