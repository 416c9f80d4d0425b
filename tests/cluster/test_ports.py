"""The ports at which members of a cluster listen, without Ray."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from coterie.cluster import RayTransport, machine
from coterie.cluster.ports import PORTS, listen, own_ports, parse_ports
from coterie.cluster.program import _settings
from coterie.errors import InvalidSetting
from coterie.errors.cluster import ClusterError
from tests.cluster.members import SharedMembers


@pytest.fixture
def taken() -> Iterator[list[int]]:
    """Two adjacent ports of which the first is taken; the second was free a moment ago."""
    with ExitStack() as stack:
        for _ in range(100):
            first = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = first.getsockname()[1]
            try:
                socket.create_server(("127.0.0.1", port + 1)).close()
            except (OSError, OverflowError):
                continue
            break
        yield [port, port + 1]


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("", range(0)),
        ("20000", range(20_000, 20_001)),
        ("20000-20002", range(20_000, 20_003)),
        (" 1 - 65535 ", range(1, 65_536)),
    ],
)
def test_ports_are_one_or_a_range(text: str, ports: range) -> None:
    assert parse_ports(text, "ports") == ports


@pytest.mark.parametrize(
    "text", ["-", "20000-", "-20000", "20002-20000", "0", "0-5", "1-65536", "many", "1-2-3", "²-3", "-1-5"]
)
def test_other_texts_are_one_clear_error(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    need = "need a port, or the first and the last one: 20000-20100"
    with pytest.raises(InvalidSetting, match=rf"connect\.settings\.ports=.*: {need}"):
        _settings({"ports": text}, None)
    monkeypatch.setattr(machine, "_run", lambda *_: pytest.fail("it was started"))
    with pytest.raises(InvalidSetting, match=rf"--ports=.*: {need}"):
        machine.start_head(ports=text, token=tmp_path / "token")
    monkeypatch.setenv(PORTS, text)
    with pytest.raises(InvalidSetting, match=rf"COTERIE_PORTS=.*: {need}"):
        own_ports("")


def test_a_member_takes_the_first_free_port_and_a_range_that_is_taken_is_one_error(taken: list[int]) -> None:
    first, last = taken
    transport = RayTransport(SharedMembers(), ports=range(first, last + 1))
    transport.bind("a-1", lambda _: None)
    try:
        assert transport.place.port == last
        problem = f"no port of {first}-{last} is free on this machine: .* give more ports by COTERIE_PORTS"
        with pytest.raises(ClusterError, match=problem):
            RayTransport(SharedMembers(), ports=range(first, last + 1))
    finally:
        transport.close("a-1")
    with pytest.raises(ClusterError, match=f"no port of {first} is free"):
        listen("127.0.0.1", range(first, first + 1))


def test_a_machine_that_is_behind_another_address_listens_at_all_of_its_own(taken: list[int]) -> None:
    for ports in (range(0), range(taken[1], taken[1] + 1)):
        listener = listen("192.0.2.1", ports)
        try:
            assert listener.getsockname()[0] in ("0.0.0.0", "::")  # noqa: S104 - it is what is tested
        finally:
            listener.close()


def test_the_ports_of_a_machine_go_before_those_of_the_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(PORTS, raising=False)
    assert own_ports("20000-20001") == range(20_000, 20_002)
    assert own_ports("") == range(0)
    monkeypatch.setenv(PORTS, "30000")
    assert own_ports("20000-20001") == range(30_000, 30_001)
    # The processes of Ray inherit the option.
    started: list[Any] = []

    def run(command: list[str], **options: Any) -> Any:
        started.append((command, options.get("env")))
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(machine, "probe", lambda address: None)
    machine.join("127.0.0.1:6379", ports="21000-21009", token=None, more=["--node-manager-port=21010"])
    command, environment = started[-1]
    assert environment[PORTS] == "21000-21009"
    assert "--node-manager-port=21010" in command
