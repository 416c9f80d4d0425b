"""What people get wrong, and what fails around a cluster: one clear error each, without Ray. Others are in the files beside."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.exceptions import AuthenticationError

from coterie.cli.connecting import connected
from coterie.cli.run import run
from coterie.cluster import Cluster, machine, probing, rays
from coterie.cluster.keys import KeyPlacement
from coterie.cluster.security import MODE, PATH, make_token
from coterie.concurrency import start_thread
from coterie.durable import Claims, Identity
from coterie.errors import InvalidSetting, StorageUnavailable
from coterie.errors.cluster import ClusterUnavailable, LeaseLost
from coterie.interop import ServingOptions
from coterie.kernel import SystemClock
from coterie.orchestrator.assistants.opening import load_assistant
from coterie.orchestrator.assistants.spreading import spread
from coterie.storage import open_database
from coterie.testing import ManualClock
from coterie.testing.waiting import eventually
from tests.servers import Postgres

FLOCK = Path(__file__).parent / "flock" / "flock.toml"
DESK = Path(__file__).parent / "desk" / "desk.toml"

COMMAND = """
import sys
sys.modules["ray"] = None
from coterie.cli import main
sys.argv = ["coterie", *sys.argv[1:]]
main()
"""


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Give the address of a server that has one answer for all."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection:
                    connection.sendall(answer)
                    connection.recv(1_000)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = start_thread(serve, "server")
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


AS_RAY = b"\0\0\0\4\0\0\0\0\0"


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that greets as Ray does, and lets every program in."""
    monkeypatch.setattr(rays, "check_admission", lambda address: None)
    with answering(AS_RAY) as address:
        yield address


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-ERR unknown command 'PRI'\r\n", AS_RAY[:5]])
def test_a_server_that_is_not_ray_is_told_from_ray_at_once(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    monkeypatch.setattr(probing, "_PROBE", 0.2)
    with answering(answer) as address:
        for begin in (lambda: rays.connect(address, None), lambda: machine.join(address)):
            with pytest.raises(
                ClusterUnavailable, match=f"{address}: a process listens there, but it is not Ray; give the port"
            ):
                begin()


def test_a_wrong_token_is_one_error_before_ray_is_asked_to_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def __init__(self, address: str) -> None:
            raise AuthenticationError(f"InvalidAuthToken at {address}")

    monkeypatch.setattr("ray._raylet.GcsClient", Refusing)
    monkeypatch.setattr(rays, "ray", SimpleNamespace(is_initialized=lambda: False))
    refused = "which has another token than the cluster, or none; copy ~/.coterie/cluster-token"
    with answering(AS_RAY) as address, pytest.raises(ClusterUnavailable, match=refused):
        rays.connect(address, None)


@pytest.mark.parametrize("command", ["start", "join"])
def test_a_named_token_is_the_one_that_ray_gets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str) -> None:
    given: list[str] = []

    def run(whole: list[str], *, env: dict[str, str] | None = None, **_: Any) -> Any:
        given.append((env if env is not None else os.environ)["RAY_AUTH_TOKEN_PATH"])
        return subprocess.CompletedProcess(whole, 0, "", "")

    for name in (MODE, PATH):
        monkeypatch.setenv(name, "of another cluster")
    token = make_token(tmp_path / "token")
    monkeypatch.setattr(machine, "subprocess", SimpleNamespace(run=run, TimeoutExpired=subprocess.TimeoutExpired))
    with answering(AS_RAY) as address:
        if command == "join":
            machine.join(address, token=token)
        else:
            machine.start_head(port=free_port(), host="127.0.0.1", token=token)
    assert set(given) == {str(token)}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_without_ray_a_command_names_the_extra(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", COMMAND, "run", str(FLOCK), "--out", str(tmp_path), "--cluster", "127.0.0.1:1"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - of a test
    assert done.returncode == 1
    assert "the cluster needs the extra 'cluster': pip install" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (
            "Version mismatch: The cluster was started with Ray 2.60 and Python 3.12.1, this process with Python 3.11.7",
            "install the same versions of Python and of Ray on all machines",
        ),
        ("Failed to connect to GCS", "if it has a token, copy ~/.coterie/cluster-token"),
    ],
)
def test_a_program_that_ray_does_not_let_in_hears_why(
    listening: str, monkeypatch: pytest.MonkeyPatch, text: str, remedy: str
) -> None:
    def init(**_: Any) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr(rays, "ray", SimpleNamespace(init=init, is_initialized=lambda: False))
    with pytest.raises(ClusterUnavailable, match="Ray does not let this program in") as caught:
        rays.connect(listening, None)
    assert remedy in str(caught.value)


class OneRay:
    """Ray, as far as the connection of a process is concerned."""

    def __init__(self, address: str = "") -> None:
        self.address = address

    def init(self, address: str, **_: Any) -> None:
        self.address = address

    def is_initialized(self) -> bool:
        return bool(self.address)

    def shutdown(self) -> None:
        self.address = ""

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(gcs_address=self.address)


def test_two_programs_of_one_process_share_its_connection_and_the_last_one_ends_it(
    listening: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = OneRay()
    monkeypatch.setattr(rays, "ray", ray)
    monkeypatch.setattr(rays, "_uses", rays._Uses())
    assert rays.connect(listening, None)
    assert not rays.connect(listening, None)
    with answering(AS_RAY) as elsewhere, pytest.raises(ClusterUnavailable) as caught:
        rays.connect(elsewhere, None)
    assert f"{elsewhere}: this process is connected to Ray at {listening} already" in str(caught.value)
    rays.disconnect()
    assert ray.is_initialized()
    rays.disconnect()
    assert not ray.is_initialized()


def test_a_connection_that_a_program_has_made_for_itself_stays(listening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = OneRay(listening)
    monkeypatch.setattr(rays, "ray", ray)
    monkeypatch.setattr(rays, "_uses", rays._Uses())
    assert not rays.connect(listening, None)
    rays.disconnect()
    assert ray.is_initialized()


def test_a_clock_that_is_an_hour_off_changes_no_lease(postgres_process: Postgres) -> None:
    address, identity = postgres_process.fresh(), Identity("account", "42")
    late = ManualClock(wall=1_000_000_000.0 + 3_600.0)
    with open_database(address) as here, open_database(address, clock=late) as there:
        one, two = Claims(here), Claims(there)
        one.begin_lease("one", 30.0)
        two.begin_lease("two", 30.0)
        assert one.claim(identity, "one", "one").epoch == 1
        # The lease of the first is alive, whatever the second thinks that the time is.
        assert two.claim(identity, "two", "two") == (0, "one")
        assert two.renew_lease("two", 30.0)
        one.end_lease("one")
        assert two.claim(identity, "two", "two").epoch == 2


def test_a_node_that_cannot_renew_its_lease_handles_nothing(postgres_process: Postgres) -> None:
    address = postgres_process.fresh()
    with open_database(address) as data, open_database(address) as leases:
        keys = KeyPlacement("left", data, leases, 0.3, lambda _: None)
        fence = keys.claim(Identity("account", "42"))
        keys.check(fence)
        # Nothing renews it, as without PostgreSQL.
        eventually(lambda: keys.seconds_left == 0.0)
        with pytest.raises(LeaseLost, match="node left does not hold its lease"):
            keys.check(fence)


def test_a_machine_that_was_suspended_for_longer_than_its_lease_handles_nothing(
    postgres_process: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Suspended(SystemClock):
        @staticmethod
        def elapsed() -> float:
            return SystemClock.elapsed() + 60.0

    address = postgres_process.fresh()
    with open_database(address) as data, open_database(address) as leases:
        keys = KeyPlacement("left", data, leases, 30.0, lambda _: None)
        fence = keys.claim(Identity("account", "42"))
        keys.check(fence)
        # The monotonic clock stands still while a machine is suspended.
        monkeypatch.setattr("coterie.cluster.keys._clock", Suspended())
        with pytest.raises(LeaseLost):
            keys.check(fence)


def test_conversations_without_their_database_are_one_clear_error() -> None:
    with (
        pytest.raises(StorageUnavailable, match="cannot be reached"),
        spread(cast("Cluster", None), load_assistant(DESK), "postgresql://127.0.0.1:1/none", options=ServingOptions()),
    ):
        pass


@pytest.mark.parametrize("address", ["10.0.0.1", "ray://10.0.0.1:10001", "10.0.0.1:none", ":6379", "10.0.0.1:70000"])
def test_what_is_no_address_is_told_before_anything_is_asked(address: str) -> None:
    with pytest.raises(ClusterUnavailable, match="it is no address; write a host and a port"):
        Cluster.connect(address)


def test_a_command_waits_for_as_many_nodes_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []

    def connect(address: str, **options: Any) -> Any:
        given.append({"address": address, **options})
        return nullcontext("cluster")

    monkeypatch.setattr(Cluster, "connect", connect)
    with connected("10.0.0.1:6379", None, "run", nodes=3, wait=90.0) as found:
        assert found == "cluster"
    assert given == [{"address": "10.0.0.1:6379", "name": "run", "nodes": 3, "timeout": 90.0}]


def test_nodes_without_a_cluster_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"--nodes.* they are"):
        run(FLOCK, out=tmp_path, nodes=3)
    assert not list(tmp_path.iterdir())
