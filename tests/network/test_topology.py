"""Topologies and files of keys: what they read, and one clear error for each fault."""

import os
import socket
import stat
from pathlib import Path
from threading import Event

import pytest

from coterie.errors import InvalidSetting, TopologyError
from coterie.network import KeyPair, NodeEntry, Topology
from coterie.network.sockets import probe

KEY = KeyPair.new().public


def load(folder: Path, text: str) -> Topology:
    path = folder / "network.toml"
    path.write_text(text)
    return Topology.load(path)


def test_a_file_lists_nodes_and_limits(tmp_path: Path) -> None:
    topology = load(
        tmp_path,
        '[limits]\nmax_message = 20_000\n[nodes.one]\naddress = "127.0.0.1:7700"\nsecret_key = "one.key"\n'
        '[nodes.one.agents]\nada = "people:Ada"\n[nodes.two]\naddress = "[::1]:7701"\n',
    )
    assert topology.max_message == 20_000
    assert topology.nodes["one"] == NodeEntry("127.0.0.1:7700", secret_key=tmp_path / "one.key", agents={"ada": "people:Ada"})
    assert topology.is_local
    assert not topology.secure


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("nodes = 3", "they are no tables"),
        ("", "nodes: there is none; add a table"),
        ("[nodes.one]", "nodes.one.address: missing"),
        ('[nodes.one]\naddress = "here"', r"nodes.one.address: 'here' is not possible; write a host and a port"),
        ('[nodes.one]\naddress = "h:99999"', "nodes.one.address"),
        ('[nodes.one]\naddress = "h:1"\nadress = "h:1"', "nodes.one.adress: no such key; did you mean address"),
        ("[limit]", "limit: no such key"),
        ('[limits]\nmax_mesage = 1\n[nodes.one]\naddress = "localhost:1"', "max_mesage: no such key; did you mean max_message"),
        ('[limits]\nkeep_alive = -1\n[nodes.one]\naddress = "localhost:1"', "limits.keep_alive: -1 is not possible"),
        ('[limits]\nmax_message = 1\n[nodes.one]\naddress = "localhost:1"', "at least 10,000"),
        ('[nodes.one]\naddress = "localhost:1"\n[nodes.two]\naddress = "localhost:1"', "nodes.one has the same"),
        ('[nodes.one]\naddress = "localhost:1"\npublic_key = "x"', "public_key: it is not a key of 40 characters"),
        (
            '[nodes.one]\naddress = "localhost:1"\n[nodes.one.agents]\na = 3',
            r"agents.a: 3 is not possible; write \"module:Class\"",
        ),
        ('[nodes.one]\naddress = "10.0.0.1:1"', r"public_key: not all addresses are loopback .* coterie keys one.key"),
        ('[nodes.one]\naddress = "localhost:1"\nlisten = "0.0.0.0:1"', "public_key: not all addresses are loopback"),
        (
            f'[nodes.a]\naddress = "[::1]:1"\npublic_key = \'{KEY}\'\n[nodes.b]\naddress = "[::1]:2"',
            "b.public_key: it has none",
        ),
        ("[nodes", "it is not TOML"),
    ],
)
def test_a_fault_is_named_with_its_place_and_remedy(text: str, error: str, tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match=error) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "network.toml"))


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match=r"none\.toml: it cannot be read"):
        Topology.load(tmp_path / "none.toml")


def test_an_unknown_node_is_named_with_those_that_there_are() -> None:
    with pytest.raises(TopologyError, match=r"there is no node 'on'; did you mean 'one'\? it has one, two"):
        Topology({"one": NodeEntry("localhost:1"), "two": NodeEntry("localhost:2")}).node("on")


def test_other_machines_are_reached_only_with_keys_unless_encryption_is_off() -> None:
    far = {
        "one": NodeEntry("10.0.0.1:7700", public_key=KEY),
        "two": NodeEntry("10.0.0.2:7700", public_key=KeyPair.new().public),
    }
    assert Topology(far).secure
    assert not Topology({"one": NodeEntry("10.0.0.1:7700")}, encrypt=False).secure


def test_the_environment_describes_a_topology(tmp_path: Path) -> None:
    keys = {name: KeyPair.new() for name in ("one", "two")}
    keys["one"].save(tmp_path / "one.key")
    environment = {
        "COTERIE_NETWORK_NODES": "one=10.0.0.1:7700, two=10.0.0.2:7700",
        "COTERIE_NETWORK_KEYS": ",".join(f"{name}={pair.public}" for name, pair in keys.items()),
        "COTERIE_SECRET_KEY": str(tmp_path / "one.key"),
        "COTERIE_NODE": "one",
    }
    topology = Topology.from_environment(environment)
    assert topology.nodes["one"] == NodeEntry("10.0.0.1:7700", "", keys["one"].public, tmp_path / "one.key")
    assert topology.nodes["two"].secret_key is None
    (tmp_path / "network.toml").write_text('[nodes.one]\naddress = "localhost:7700"')
    named = Topology.from_environment({"COTERIE_NETWORK": str(tmp_path / "network.toml")})
    assert named.nodes["one"].address == "localhost:7700"


@pytest.mark.parametrize(
    ("environment", "error"),
    [
        ({}, "neither COTERIE_NETWORK nor COTERIE_NETWORK_NODES is set"),
        ({"COTERIE_NETWORK_NODES": "one"}, "'one' has no '='"),
        ({"COTERIE_NETWORK_NODES": "a=localhost:1,a=localhost:2"}, "named twice"),
        ({"COTERIE_NETWORK_NODES": "a=localhost:1", "COTERIE_NETWORK_KEYS": f"b={KEY}"}, "b has a key and no address"),
        ({"COTERIE_NETWORK_NODES": "a=localhost:1", "COTERIE_SECRET_KEY": "x"}, "COTERIE_NODE is not; set it"),
    ],
)
def test_a_faulty_environment_is_named(environment: dict[str, str], error: str) -> None:
    with pytest.raises(TopologyError, match=error):
        Topology.from_environment(environment)


def test_keys_are_kept_in_a_file_that_only_its_owner_may_read(tmp_path: Path) -> None:
    path, pair = tmp_path / "one.key", KeyPair.new()
    pair.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KeyPair.load(path) == pair
    assert pair.secret not in repr(pair)
    with pytest.raises(TopologyError, match="the file exists"):
        KeyPair.new().save(path)
    path.chmod(0o640)
    with pytest.raises(TopologyError, match=r"other accounts may use this secret key; run: chmod 600"):
        KeyPair.load(path)


def test_a_file_without_a_pair_of_keys_is_refused_without_its_contents(tmp_path: Path) -> None:
    path, one, two = tmp_path / "one.key", KeyPair.new(), KeyPair.new()
    for text, error in (
        (f"public_key = '{one.public}'\nsecret_key = '{two.secret}'", "its keys are not a pair"),
        (f"secret_key = {two.secret}", "this is no file of keys"),
        ("", "its keys are not a pair"),
    ):
        path.unlink(missing_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        path.write_text(text)
        with pytest.raises(TopologyError, match=error) as caught:
            KeyPair.load(path)
        assert two.secret not in str(caught.value)
    with pytest.raises(TopologyError, match=r"it cannot be read|cannot be read: .*coterie keys"):
        KeyPair.load(tmp_path / "none.key")
    assert issubclass(TopologyError, ValueError)
    assert not issubclass(TopologyError, InvalidSetting)


def test_the_problem_of_an_address_is_told_within_its_time_whatever_the_dns_does(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ended.wait(60))
    try:
        problem = probe("head.example:80", 0.05)
    finally:
        ended.set()
    assert problem == "the name head.example has no address; mend it in the topology, or in the DNS"
