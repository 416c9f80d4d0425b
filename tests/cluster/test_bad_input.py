"""What people get wrong, and what fails around a cluster: one clear error each, without Ray. Others are in the files beside."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from coterie.cluster import Cluster, rays
from coterie.cluster.keys import KeyPlacement
from coterie.durable import Claims, Identity
from coterie.errors import StorageUnavailable
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


@pytest.fixture
def listening() -> Iterator[str]:
    """The address of a server that says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


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
    with socket.create_server(("127.0.0.1", 0)) as server:
        elsewhere = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ClusterUnavailable, match=f"{elsewhere}: this process is connected to Ray at {listening} already"):
            rays.connect(elsewhere, None)
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
