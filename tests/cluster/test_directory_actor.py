"""The actor of the directory, with a Ray that is played: which machines get a node."""

from types import SimpleNamespace
from typing import Any

import pytest

from coterie.cluster import actors, rays
from coterie.cluster.actors import _DirectoryActor
from coterie.cluster.wire import ClusterMember, ClusterSettings, MemberReport, encode


def machine(number: str, name: str) -> dict[str, Any]:
    return {"NodeID": number, "Alive": True, "Labels": {rays.NODE_LABEL: name}, "Resources": {"CPU": 1.0}}


class Nodes:
    """The actors of nodes, as Ray would start them."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.ready: set[str] = set()
        self.existing: list[dict[str, str]] = []
        self.played: Any = None

    def options(self, name: str, **_: Any) -> Any:
        self.started.append(name)
        call = SimpleNamespace(remote=lambda *_: name)
        return SimpleNamespace(remote=lambda *_: SimpleNamespace(call=call))

    def wait(self, pending: list[str], timeout: float) -> tuple[list[str], list[str]]:
        return [each for each in pending if each in self.ready], []


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    made = Nodes()
    listed = SimpleNamespace(list_named_actors=lambda **_: made.existing)
    errors = SimpleNamespace(ActorUnavailableError=KeyError)
    played = SimpleNamespace(util=listed, wait=made.wait, get=lambda _: b"", exceptions=errors)
    made.played = played
    monkeypatch.setattr(actors, "ray", played)
    monkeypatch.setattr(actors, "NodeActor", made)
    monkeypatch.setattr(actors, "start_thread", lambda *_: None)
    monkeypatch.setattr(rays, "on_machine", lambda number: number)
    return made


@pytest.fixture
def directory(nodes: Nodes) -> _DirectoryActor:
    return _DirectoryActor(encode(ClusterSettings()))


def report(directory: _DirectoryActor, name: str, number: str) -> None:
    member = ClusterMember(name, f"{name}-{number}", actor=f"coterie-node-{number}", machine=number)
    directory.report(encode(MemberReport(member, names={})))


def test_two_machines_with_one_name_are_an_error_and_not_a_fight(directory: _DirectoryActor, nodes: Nodes) -> None:
    both = {"m1": machine("m1", "right"), "m2": machine("m2", "right")}
    directory._start_nodes(both)
    assert nodes.started == ["coterie-node-m1"]
    assert "the machine m1 has the name 'right' as well; give each its own" in directory._problems_of(None)["m2"]
    nodes.ready.add("coterie-node-m1")
    report(directory, "right", "m1")
    directory._start_nodes(both)
    directory._start_nodes(both)
    assert nodes.started == ["coterie-node-m1"]
    # Once the first is lost, the second is its replacement, also while Ray still thinks that the first machine lives.
    directory._directory._remove("right-m1", "it has been silent")
    directory._start_nodes(both)
    assert nodes.started == ["coterie-node-m1", "coterie-node-m2"]
    nodes.ready.add("coterie-node-m2")
    directory._start_nodes({"m2": both["m2"]})
    assert directory._problems_of(None) == {}


def test_a_new_directory_does_not_start_a_namesake_of_a_node_that_has_not_reported_yet(
    nodes: Nodes,
) -> None:
    nodes.existing.append({"name": "coterie-node-m2"})
    directory = _DirectoryActor(encode(ClusterSettings()))
    directory._start_nodes({"m1": machine("m1", "right"), "m2": machine("m2", "right")})
    assert nodes.started == ["coterie-node-m2"]


def test_a_node_that_cannot_start_is_one_line(
    directory: _DirectoryActor, nodes: Nodes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> Any:
        raise OSError(
            "the actor died:\n  File host.py, line 1\n"
            + "x" * 5_000
            + "\nClusterError: the setup 'nope:fn' of the nodes raised"
        )

    monkeypatch.setattr(nodes.played, "get", fail)
    nodes.ready.add("coterie-node-m1")
    for _ in range(2):
        directory._start_nodes({"m1": machine("m1", "right")})
    assert directory._problems_of(None) == {"m1": "ClusterError: the setup 'nope:fn' of the nodes raised"}
    assert "File host.py" in caplog.text
    # It is tried again after a while only.
    directory._start_nodes({"m1": machine("m1", "right")})
    assert nodes.started == ["coterie-node-m1"]


def test_the_problems_of_machines_that_have_gone_are_forgotten(directory: _DirectoryActor, nodes: Nodes) -> None:
    def fail(**_: Any) -> Any:
        raise OSError("no memory")

    nodes.options = fail  # type: ignore[assignment]
    directory._start_nodes({"m1": machine("m1", "right")})
    assert directory._problems_of(None) == {"m1": "OSError: no memory"}
    directory._start_nodes({})
    assert directory._problems_of(None) == {}
