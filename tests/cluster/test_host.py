"""The host of a node, without Ray: what its reports say of its durable agents while a directory is new."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from coterie import Agent
from coterie.cluster import host as host_module
from coterie.cluster import rays
from coterie.cluster.arguments import pack
from coterie.cluster.directory import Directory
from coterie.cluster.host import NodeHost
from coterie.cluster.placement import Homes
from coterie.cluster.wire import CallResult, ClusterMember, ClusterSettings, MemberReport, SpawnOrder, decode, encode
from coterie.errors import TransportError
from coterie.errors.cluster import ClusterError, ClusterUnavailable
from coterie.kernel import Codec, SystemClock
from coterie.testing.waiting import eventually
from tests.cluster.people import Account, Counter, Deposit

CLASS = f"{Account.__module__}:{Account.__qualname__}"
OTHER = ClusterMember("other", "other-1", actor="coterie-node-other", machine="other")


class DirectoryHere:
    """The actor of the directory, in this process. It keeps the leases that the node has reported."""

    def __init__(self, settings: ClusterSettings, expected: list[str]) -> None:
        self.directory = Directory(settings, SystemClock().monotonic, expected)
        self.leases: list[float] = []
        self.late = ""
        """The method whose answer does not come in time."""

    def report(self, report: bytes) -> bytes:
        taken = decode(report, MemberReport)
        self.leases.append(taken.member.lease)
        return encode(self.directory.report(taken))

    def view(self) -> bytes:
        return encode(self.directory.view())

    def call(self, method: str, payload: bytes) -> bytes:
        value: Any = None
        asked: Any = decode(payload, object)
        if method == "take_name":
            name, member = asked
            given, holder = self.directory.take_name(name, decode(encode(member), ClusterMember))
            value = [given, holder and [holder.node, holder.runtime, holder.address]]
        elif method == "set_address" and self.late != method:
            self.directory.set_address(*asked)
        if method == self.late:
            raise TimeoutError("it is busy")
        return encode(CallResult(value))

    def homes(self) -> Homes:
        """Return the homes of durable agents, as all members see them."""
        return Homes([each for each in self.directory.view().members if each.is_node])


def no_actor(name: str) -> Any:
    """Fail as the look-up of an actor that has ended does."""
    raise TransportError(f"Ray has no actor {name}: it has died")


@pytest.fixture
def settings(postgres_url: str) -> ClusterSettings:
    # Nothing is lost in these tests; the reports come quickly.
    return ClusterSettings(beat=0.02, lost_after=600.0, lease=600.0, store=postgres_url)


@pytest.fixture
def directory(settings: ClusterSettings, monkeypatch: pytest.MonkeyPatch) -> DirectoryHere:
    """A directory that knows of one node more, which has not reported yet."""
    directory = DirectoryHere(settings, [OTHER.actor])
    entry = {"Labels": {}, "Resources": {}, "NodeManagerAddress": "127.0.0.1"}
    monkeypatch.setattr(rays, "own_machine", lambda: "here")
    monkeypatch.setattr(rays, "machines", lambda: {"here": entry})
    monkeypatch.setattr(rays, "actor", lambda name: directory if name == rays.DIRECTORY else no_actor(name))
    monkeypatch.setattr(rays, "call", lambda actor, method, *arguments, timeout: getattr(actor, method)(*arguments))
    monkeypatch.setattr(host_module, "_write_log", lambda: None)
    return directory


@pytest.fixture
def host(directory: DirectoryHere, settings: ClusterSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[NodeHost]:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    host = NodeHost("here", "coterie-node-here", settings)
    yield host
    assert not decode(host.call("stop", encode(5.0)), CallResult).error
    eventually(lambda: ended == [0], timeout=20.0)


def test_a_node_takes_no_keys_before_a_new_directory_has_told_it_all_classes(
    directory: DirectoryHere, host: NodeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(directory.leases)
    eventually(lambda: len(directory.leases) > before + 3, timeout=20.0)
    assert not any(directory.leases)
    assert directory.homes().home("account/1") is None
    leases_while_learning: list[float] = []
    register = host.runtime.durable.register

    def note_and_register(agent: type[Agent]) -> None:
        leases_while_learning.extend(directory.leases)
        register(agent)

    monkeypatch.setattr(host.runtime.durable, "register", note_and_register)
    # The node that was missing knows a class, and with it all are known.
    directory.directory.report(MemberReport(OTHER, names={}, classes=[CLASS]))
    eventually(lambda: directory.homes().home("account/1") == host.runtime.node, timeout=20.0)
    assert leases_while_learning
    assert not any(leases_while_learning)
    account = host.runtime.entity(Account, "1")
    assert account.ask(Deposit(5)).result(20) == 5


def test_a_setup_that_raises_is_one_error(
    directory: DirectoryHere, settings: ClusterSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = object.__new__(NodeHost)
    monkeypatch.setattr(host, "_settings", msgspec.structs.replace(settings, setup="nope:fn"), raising=False)
    monkeypatch.setattr(host, "runtime", None, raising=False)
    with pytest.raises(ClusterError, match=r"the setup 'nope:fn' of the nodes raised ModuleNotFoundError: .*'nope'; mend it"):
        host._set_up()


def test_a_name_that_the_directory_gave_out_of_time_is_free_again(directory: DirectoryHere, host: NodeHost) -> None:
    # The nodes that are expected have all reported, so that names are given out.
    directory.directory.report(MemberReport(OTHER, names={}))
    order = encode(SpawnOrder(f"{Counter.__module__}:Counter", [pack(Codec(), Counter, (), {})], "late"))
    for fails in ("take_name", "set_address"):
        directory.late = fails
        failed = decode(host.call("spawn", order), CallResult)
        assert failed.kind == "ClusterUnavailable"
        # The directory thinks that it is taken, until a report says that no agent has started.
        eventually(lambda: directory.directory.holder("late") is None, timeout=20.0)
        eventually(lambda: host.runtime.find("late") is None, timeout=20.0)
    directory.late = ""
    assert not decode(host.call("spawn", order), CallResult).error
    held = directory.directory.holder("late")
    assert held is not None
    found = host.runtime.find("late")
    assert found is not None
    assert held.address == str(found.address)
    again = decode(host.call("spawn", order), CallResult)
    assert again.taken == ("late", "here")


def test_a_node_that_has_ended_just_now_is_a_clear_error_and_holds_up_no_other_call(
    directory: DirectoryHere, host: NodeHost
) -> None:
    """The directory lists it still, but its actor is not there any more."""
    directory.directory.report(MemberReport(OTHER, names={}))
    cluster = host._cluster
    eventually(lambda: [each.name for each in cluster.nodes()] == ["here", "other"], timeout=20.0)
    with pytest.raises(ClusterUnavailable, match=r"its node other does not answer: .*Ray has no actor coterie-node-other"):
        cluster.spawn(Counter, node="other")
    assert cluster.find("nowhere") is None
    assert "does not answer" in cluster.status()["nodes"]["other"]["problem"]
    assert cluster.entity(Account, "1").address.name == "account/1"
