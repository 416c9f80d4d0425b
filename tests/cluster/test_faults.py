"""What a cluster survives, over three machines of this machine: namespaces with Ray's processes, which are killed, frozen and cut off.

`make test` runs the bank for 40 seconds; `make stress` runs it for ten minutes, and the other faults one by one.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from coterie import AgentRef
from coterie.cluster import Cluster
from coterie.errors import DeliveryError
from coterie.testing.waiting import eventually
from tests.cluster import bank, chaos
from tests.cluster.chaos import BankProgram, Chaos
from tests.cluster.fleet import PLAIN, ROOT, Fleet
from tests.cluster.people import Add, Copy, Counter, Finish, Outcomes, Sleep, Talk, Talker
from tests.cluster.probe import Probe
from tests.network.people import Call
from tests.runs import LONG
from tests.servers import Missing, Redis

pytestmark = [
    pytest.mark.ray,
    pytest.mark.stress,
    pytest.mark.timeout(1_800),
    # Python leaves the closing to its garbage collector when a connection is lost while it is being encrypted.
    pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning"),
]

long = pytest.mark.skipif(not LONG, reason="it takes minutes: make stress")
NAMES = ("a", "b", "c")


def start_fleet(**options: Any) -> Fleet:
    """Start a head and PostgreSQL, and three machines; skip the test where that cannot be."""
    os.environ.update(PLAIN)
    try:
        fleet = Fleet(**options)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the machine's
        pytest.skip(f"Ray cannot start on this machine: {error}")
    try:
        fleet.start_postgres()
        for name in NAMES:
            fleet.add(name).wait()
    except Missing as error:
        fleet.close()
        pytest.skip(str(error))
    except BaseException:
        fleet.close()
        raise
    return fleet


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """Three machines, which each test leaves as it has found them."""
    fleet = start_fleet()
    yield fleet
    fleet.close()


@pytest.fixture(scope="module")
def cluster(fleet: Fleet) -> Iterator[Cluster]:
    """A program that is connected to all three."""
    settings = {**chaos.SETTINGS, "store": fleet.store}
    with Cluster.connect(fleet.address, nodes=3, settings=settings, timeout=120.0, name="tests") as cluster:
        cluster.entity(bank.BankAccount, "0")
        with psycopg.connect(fleet.store, autocommit=True) as connection:
            connection.execute(chaos.AUDIT)
        yield cluster


def settled(cluster: Cluster, *names: str) -> None:
    """Wait until these are the nodes, and ready."""
    eventually(lambda: [each.name for each in cluster.nodes() if each.ready] == sorted(names), timeout=90.0)


def made_whole(fleet: Fleet, cluster: Cluster) -> None:
    """Let the machines join again that a test before has left without Ray."""
    for name in NAMES:
        if not fleet.machines[name].has_raylet:
            fleet.machines[name].kill()
            fleet.add(name).wait()
    settled(cluster, *NAMES)


def test_a_bank_over_three_machines_loses_nothing_whatever_happens(fleet: Fleet, cluster: Cluster) -> None:
    seed = random.randrange(1_000_000) if LONG else 1
    program = BankProgram(fleet.address, seed)
    program.start()
    program.goes_on()
    faults = Chaos(fleet, cluster, program, seed)
    try:
        faults.run(chaos.SECONDS)
        program.goes_on()
    finally:
        print(f"seed {seed}: {', '.join(faults.done)}")  # noqa: T201 - shown if the test fails
        program.end()
    answered = chaos.check(cluster, fleet.store, program)
    chaos.tell(answered, faults.done)
    # In ten minutes each kind of fault has happened, several times.
    assert len(faults.done) >= (40 if LONG else 1)
    assert {each.split("(")[0] for each in faults.done} == faults.kinds or not LONG
    assert len(answered) >= (1_000 if LONG else 10)


def test_agents_go_on_without_their_program_and_another_finds_them(fleet: Fleet, cluster: Cluster) -> None:
    text = (
        "import os, sys, time\n"
        "from coterie.cluster import Cluster\n"
        "from tests.cluster.people import Add, Counter\n"
        "cluster = Cluster.connect(sys.argv[1], timeout=60.0, name='short')\n"
        "agents = [cluster.spawn(Counter, name=f'kept-{node}', node=node) for node in 'abc']\n"
        "assert [each.ask(Add(5)).result(20) for each in agents] == [5, 5, 5]\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", text, fleet.address], cwd=ROOT, env={**os.environ, **PLAIN}, check=False)  # noqa: S603 - our own
    assert done.returncode == -signal.SIGKILL
    for node in NAMES:
        found = cluster.find(f"kept-{node}")
        assert found is not None
        assert found.ask(Add(1)).result(20) == 6
        found.stop().result(20)
    eventually(lambda: "short" not in str(cluster.status()["programs"]), timeout=30)


@long
def test_asks_to_others_are_quick_when_a_machine_is_killed(fleet: Fleet, cluster: Cluster) -> None:
    made_whole(fleet, cluster)
    homes: dict[str, AgentRef] = {}
    for number in range(50):
        account = cluster.entity(bank.BankAccount, f"probe-{number}")
        homes.setdefault(account.ask(bank.Where()).result(20), account)
    others = [cluster.spawn(Counter, node=node) for node in ("a", "b")]
    doomed = cluster.spawn(Counter, node="c")
    with Probe([*[(each, Add(1)) for each in others], (homes["a"], bank.Balance()), (homes["b"], bank.Balance())]) as probe:
        probe.settle(3.0)
        before = probe.during(5.0)
        waiting = doomed.ask(Sleep(30.0), timeout=40.0)
        fleet.machines["c"].kill()
        killed = time.monotonic()  # noqa: TID251 - of a test
        eventually(lambda: [each.name for each in cluster.nodes()] == ["a", "b"], timeout=30.0)
        detected = time.monotonic() - killed  # noqa: TID251 - as above
        after = probe.during(8.0)
        with pytest.raises(DeliveryError):
            waiting.result(20)
    moved = chaos.ask(homes["c"], bank.Balance())
    assert moved == bank.START
    print(  # noqa: T201 - figures
        f"p99 of asks to others: {before.p99 * 1e3:.1f} ms before, {after.p99 * 1e3:.1f} ms from the detection on, which took {detected:.1f} s"
    )
    fleet.add("c").wait()
    settled(cluster, *NAMES)
    # Where the processors are busy with other things, it is slow before as well.
    assert after.p99 < max(0.1, 3 * before.p99)
    assert not after.failed


@long
def test_a_machine_that_is_cut_off_stores_and_answers_nothing_once_its_keys_are_elsewhere(
    fleet: Fleet, cluster: Cluster
) -> None:
    if fleet.network is None:
        pytest.skip(f"no network namespaces on this machine: {fleet.no_network}")
    made_whole(fleet, cluster)
    program = BankProgram(fleet.address, 77)
    program.start()
    program.goes_on()
    there = next(
        each
        for each in (cluster.entity(bank.BankAccount, f"cut-{number}") for number in range(50))
        if each.ask(bank.Where()).result(20) == "c"
    )
    before = cluster.node("c").runtime
    fleet.cut("c")
    began = time.monotonic()  # noqa: TID251 - of a test
    settled(cluster, "a", "b")
    assert chaos.ask(there, bank.Note()) == 1
    assert there.ask(bank.Where()).result(20) != "c"
    program.goes_on(40)
    time.sleep(max(0.0, 20.0 - (time.monotonic() - began)))  # noqa: TID251 - as above
    fleet.heal("c")
    program.goes_on(40)
    faults = Chaos(fleet, cluster, program, 77)
    faults.repair("c", before)
    settled(cluster, *NAMES)
    program.end()
    chaos.check(cluster, fleet.store, program)


@long
def test_a_meeting_goes_on_when_a_machine_is_cut_off_and_nothing_of_its_member_comes_late(
    fleet: Fleet, cluster: Cluster
) -> None:
    if fleet.network is None:
        pytest.skip(f"no network namespaces on this machine: {fleet.no_network}")
    made_whole(fleet, cluster)
    members = {name: cluster.spawn(Talker, name=f"talker-{name}", node=name) for name in NAMES}
    meeting = members["a"].ask(Call([members["b"], members["c"]]), timeout=60).result(60)

    def texts(name: str) -> list[str]:
        return members[name].ask(Copy(meeting), timeout=20).result(30)[:-1]

    for each in members.values():
        each.tell(Talk(meeting))
    for name in NAMES:
        eventually(lambda name=name: all(any(each in text for text in texts(name)) for each in members), timeout=30)  # type: ignore[misc]
    before = cluster.node("c").runtime
    fleet.cut("c")
    began = time.monotonic()  # noqa: TID251 - of a test
    settled(cluster, "a", "b")
    # From here on nothing is heard of the member that is cut off, though it goes on talking.
    known = [text for text in texts("a") if text.startswith("talker-c")]
    then = len(texts("a"))
    time.sleep(max(0.0, 20.0 - (time.monotonic() - began)))  # noqa: TID251 - as above
    assert len(texts("a")) > then
    fleet.heal("c")
    Chaos(fleet, cluster, BankProgram(fleet.address, 0), 0).repair("c", before)
    settled(cluster, *NAMES)
    then = len(texts("a"))
    eventually(lambda: len(texts("a")) > then + 10, timeout=30)
    members["a"].ask(Finish(meeting, "fine"), timeout=30).result(40)
    left = [members[name] for name in ("a", "b")]
    eventually(lambda: all(each.ask(Outcomes()).result(20) for each in left), timeout=30)
    assert [each.ask(Outcomes()).result(20) for each in left] == [["fine"]] * 2
    one, other = (each.ask(Copy(meeting)).result(20) for each in left)
    assert one == other
    assert len(one) == len(set(one))
    assert [text for text in one if text.startswith("talker-c")] == known
    # The copy of the member that was cut off has ended with its process.
    with pytest.raises(DeliveryError):
        members["c"].ask(Outcomes()).result(20)
    assert cluster.find("talker-c") is None


@long
def test_durable_agents_wait_for_the_database_and_others_go_on(fleet: Fleet, cluster: Cluster) -> None:
    made_whole(fleet, cluster)
    server = fleet.postgres
    assert server is not None
    ordinary = [cluster.spawn(Counter, node=node) for node in NAMES]
    account = cluster.entity(bank.BankAccount, "waits")
    assert account.ask(bank.Note(), idempotency_key="first").result(20) == 1
    server.kill()
    try:
        time.sleep(chaos.SETTINGS["lease"] + 1.0)
        assert [each.ask(Add(1)).result(20) for each in ordinary] == [1, 1, 1]
        with pytest.raises(DeliveryError, match=r"does not hold its lease|none has a lease in the store"):
            account.ask(bank.Balance(), timeout=20).result(30)
    finally:
        eventually(lambda: chaos.starts(server), timeout=60)
    eventually(lambda: _noted(account) == 2, timeout=60)
    assert [each.ask(Add(1)).result(20) for each in ordinary] == [2, 2, 2]
    assert account.ask(bank.Note(), idempotency_key="first").result(20) == 1
    for each in ordinary:
        each.stop()


def _noted(account: AgentRef) -> int:
    try:
        return account.ask(bank.Note(), idempotency_key="second", timeout=5).result(10)
    except DeliveryError:
        return 0


@long
def test_each_machine_is_restarted_in_turn_under_load(fleet: Fleet, cluster: Cluster) -> None:
    made_whole(fleet, cluster)
    program = BankProgram(fleet.address, 78)
    program.start()
    program.goes_on()
    for name in NAMES:
        cluster.drain(name)
        others = [each for each in NAMES if each != name]
        settled(cluster, *others)
        fleet.machines[name].stop()
        fleet.add(name).wait()
        settled(cluster, *NAMES)
        program.goes_on()
    program.end()
    answered = chaos.check(cluster, fleet.store, program)
    print(f"rolling restart: {chaos.figures(answered)}")  # noqa: T201 - figures


# The head. The programs are on another machine: those of the head's own machine end with it.


@long
def test_without_its_head_a_cluster_ends_no_ask_hangs_and_another_has_what_was_stored() -> None:
    fleet = start_fleet()
    try:
        with connected_elsewhere(fleet, 79) as program:
            fleet.head.kill()
            killed = time.monotonic()  # noqa: TID251 - of a test
            # Messages and leases need no head, so durable agents go on until Ray ends the machines.
            program.goes_on(5)
            for name in NAMES:
                machine = fleet.machines[name]
                # Small parts of Ray may stay, which do not see that their parent has ended.
                eventually(lambda machine=machine: not machine.has_raylet and not machine.parts("_NodeActor"), timeout=180.0)  # type: ignore[misc]
            print(f"without the head the machines have ended after {time.monotonic() - killed:.0f} s")  # noqa: T201, TID251 - a figure
            program.kill()
            bank.read(program.lines)
        fleet.start_head()
        fleet.head.wait()
        for name in NAMES:
            fleet.machines[name].kill()
            fleet.add(name).wait()
        with connected_elsewhere(fleet, 79, program) as program:
            pass
    finally:
        fleet.close()


@long
def test_with_redis_a_cluster_goes_on_when_its_head_is_killed_and_started_again() -> None:
    try:
        redis = Redis()
        redis.start()
    except Missing as error:
        pytest.skip(str(error))
    fleet = start_fleet(head_environment={"RAY_REDIS_ADDRESS": f"127.0.0.1:{redis.port}"})
    try:
        with connected_elsewhere(fleet, 80) as program:
            fleet.head.kill()
            program.goes_on()
            time.sleep(5.0)
            fleet.start_head()
            fleet.head.wait()
            program.goes_on()
            assert all(fleet.machines[name].has_raylet for name in NAMES)
            # The directory has come back too: the loss of a machine is noticed.
            fleet.machines["c"].kill()
            program.goes_on(60)
            assert fleet.machines["a"].has_raylet
    finally:
        fleet.close()
        redis.remove()


@contextmanager
def connected_elsewhere(fleet: Fleet, seed: int, before: BankProgram | None = None) -> Iterator[BankProgram]:
    """Run the bank from the machine `a`, with its checks at the end if it has not been killed."""
    settings = {**chaos.SETTINGS, "store": fleet.store}
    text = (
        "import json, sys\n"
        "from coterie.cluster import Cluster\n"
        "from tests.cluster.bank import BankAccount\n"
        "from tests.cluster.fleet import connect_ray\n"
        "connect_ray(sys.argv[1])\n"
        "with Cluster.connect(sys.argv[1], nodes=3, timeout=120.0, settings=json.loads(sys.argv[2])) as cluster:\n"
        "    cluster.entity(BankAccount, '0')\n"
    )
    command = [*fleet.inside("a"), sys.executable, "-c", text, fleet.address, json.dumps(settings)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **PLAIN}, check=True)  # noqa: S603 - our own
    program = BankProgram(fleet.address, seed, fleet.inside("a"))
    if before is not None:
        program.lines = before.lines
    else:
        with psycopg.connect(fleet.store, autocommit=True) as connection:
            connection.execute(chaos.AUDIT)
    program.start(settings)
    program.goes_on()
    yield program
    if program.running:
        program.end()
        chaos.check_store(fleet.store, program)


# Versions of the program's own modules.

OLDER = """
from coterie import Agent, AgentRef, Request, on

class Gift(Request[str]):
    amount: int

class Receiver(Agent):
    @on
    def take(self, message: Gift) -> str:
        return f"older {message.amount}"

class SendGift(Request[str]):
    to: AgentRef

class Sender(Agent):
    @on
    async def send(self, message: SendGift) -> str:
        return await message.to.ask(Gift(amount=1))
"""
NEWER = """
from coterie import Agent, AgentRef, Request, on

class Gift(Request[str]):
    amount: int
    note: str = "no note"

class Parcel(Request[str]):
    weight: int

class Receiver(Agent):
    @on
    def take(self, message: Gift) -> str:
        return f"newer {message.amount} {message.note}"

class SendGift(Request[str]):
    to: AgentRef

class Sender(Agent):
    @on
    async def send(self, message: SendGift) -> str:
        return await message.to.ask(Gift(amount=2, note="for you"))

class SendParcel(Request[str]):
    to: AgentRef

class ParcelSender(Agent):
    @on
    async def send(self, message: SendParcel) -> str:
        return await message.to.ask(Parcel(weight=3))
"""


def test_nodes_with_an_older_and_a_newer_version_of_a_module_work_together(
    fleet: Fleet, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("older", OLDER), ("newer", NEWER)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gifts_of_a_test.py").write_text(text)
        fleet.add(name, path=str(tmp_path / name))
    for name in ("older", "newer"):
        fleet.machines[name].wait()
    try:
        settled(cluster, *NAMES, "newer", "older")
        monkeypatch.syspath_prepend(tmp_path / "newer")
        gifts: Any = __import__("gifts_of_a_test")
        receivers = {name: cluster.spawn(gifts.Receiver, node=name) for name in ("older", "newer")}
        senders = {name: cluster.spawn(gifts.Sender, node=name) for name in ("older", "newer")}
        assert senders["older"].ask(gifts.SendGift(to=receivers["newer"])).result(20) == "newer 1 no note"
        assert senders["newer"].ask(gifts.SendGift(to=receivers["older"])).result(20) == "older 2"
        assert receivers["older"].ask(gifts.Gift(amount=3, note="x")).result(20) == "older 3"
        with pytest.raises(DeliveryError, match=r"gifts_of_a_test[.:]Parcel"):
            receivers["older"].ask(gifts.Parcel(weight=1)).result(20)
        parcels = cluster.spawn(gifts.ParcelSender, node="newer")
        with pytest.raises(DeliveryError, match=r"gifts_of_a_test[.:]Parcel"):
            parcels.ask(gifts.SendParcel(to=receivers["older"])).result(20)
    finally:
        for name in ("older", "newer"):
            fleet.machines[name].kill()
    settled(cluster, *NAMES)
