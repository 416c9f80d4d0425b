"""`coterie keys` and `coterie doctor --network`. `coterie node` itself is in `tests/network/test_processes.py`."""

import json
import stat
from contextlib import ExitStack
from pathlib import Path

import pytest
import typer

from coterie import Runtime
from coterie.cli.network import diagnose_network
from coterie.cli.node import keys, node
from coterie.errors import TopologyError
from coterie.network import KeyPair, NetworkTransport
from tests.network.nodes import topology, write


def test_keys_are_made_in_a_file_and_the_public_one_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.key"
    keys(path)
    out = capsys.readouterr().out
    pair = KeyPair.load(path)
    assert out == f"public_key = '{pair.public}'\n"
    assert pair.secret not in out
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_doctor_tells_which_node_reaches_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = topology("one", "two", "three")
    path = write(tmp_path / "network.toml", nodes)
    with ExitStack() as stack:
        networks = {name: NetworkTransport(nodes, name) for name in ("one", "two")}
        for name, network in networks.items():
            stack.enter_context(Runtime(name, transport=network))
        networks["one"].address("two", "agent", timeout=20.0)
        networks["two"].address("one", "agent", timeout=20.0)
        with pytest.raises(typer.Exit):
            diagnose_network(path, None, as_json=True)
        found = {(each["source"], each["target"]): each for each in json.loads(capsys.readouterr().out)}
        assert found["one", "two"]["reached"]
        assert "refused" in found["two", "three"]["detail"]
        with pytest.raises(typer.Exit):
            diagnose_network(path, "one", as_json=False)
        out = capsys.readouterr().out
        assert "who reaches whom" in out
        assert "not reached" in out


def test_a_node_without_a_name_is_one_error(tmp_path: Path) -> None:
    path = write(tmp_path / "network.toml", topology("one"))
    with pytest.raises(TopologyError, match="which node runs here is not said; add --name, or set COTERIE_NODE"):
        node(path)
