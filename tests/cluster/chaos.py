"""Faults at random for the bank over three machines, and the checks of what the bank has done.

Processes, raylets and whole machines are killed, frozen and cut off; the directory, the database and the program that asks are
killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import psutil
import psycopg

from coterie.cluster import Cluster
from coterie.concurrency import start_thread
from coterie.errors import DeliveryError
from coterie.testing.waiting import eventually
from tests.cluster import bank
from tests.cluster.fleet import PLAIN, ROOT, Fleet
from tests.runs import LONG, SOAK
from tests.servers import Missing, Postgres

KEYS, CLIENTS = 12, 4
NAMES = ("a", "b", "c")
SECONDS = SOAK if LONG else 40.0
STILL = 30.0 if LONG else 8.0
CUT = 20.0 if LONG else 8.0
SETTINGS = {"beat": 0.25, "lost_after": 5.0, "lease": 5.0, "idle": 30.0}
"""Frozen and cut machines are away for longer than a lease."""

AUDIT = """
CREATE TABLE audit (key TEXT, commits BIGINT, state BYTEA, owner TEXT, epoch BIGINT);
CREATE FUNCTION note_commit() RETURNS trigger AS $$ BEGIN
    INSERT INTO audit SELECT NEW.key, NEW.commits, NEW.state, c.owner, c.epoch
        FROM durable_claims c WHERE c.kind = NEW.kind AND c.key = NEW.key;
    RETURN NEW;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER note_commit AFTER INSERT OR UPDATE ON durable_agents FOR EACH ROW EXECUTE FUNCTION note_commit();
"""
"""Notes each commit with the claim that is valid when it is made."""


class BankProgram:
    """The program that asks for transfers, as a process that a test may kill and start again."""

    def __init__(self, address: str, seed: int, prefix: Sequence[str] = ()) -> None:
        self.address, self.seed, self._prefix = address, seed, prefix
        self.lines: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader: Any = None
        self._killed = False

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def _failed(self) -> bool:
        """Whether it has ended by itself. Another thread may kill it and start it again meanwhile."""
        return not self._killed and not self.running

    def start(self, settings: dict[str, Any] | None = None) -> None:
        """Start it, from where it was. The first program of a cluster gives the settings."""
        counts = [0] * CLIENTS
        for each in bank.read(self.lines):
            counts[each.client] = each.number + 1
        begin = ",".join(map(str, counts))
        command = [*self._prefix, sys.executable, "-m", "tests.cluster.bank", self.address, str(self.seed), str(KEYS), begin]
        command.append(json.dumps(settings or {}))
        process = self._process = subprocess.Popen(  # noqa: S603 - our own
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **PLAIN},
        )
        self._killed = False
        assert process.stdout is not None
        output = process.stdout
        self._reader = start_thread(lambda: [self.lines.append(line) for line in output], "reader")

    def kill(self) -> None:
        """Kill it."""
        assert self._process is not None
        self._killed = True
        self._process.kill()
        self._ended()

    def end(self) -> None:
        """Let each client end with an answer."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._ended()

    def _ended(self) -> None:
        process = self._process
        assert process is not None
        process.wait(120)
        self._reader.join()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()

    def goes_on(self, count: int = 10, timeout: float = 90.0) -> None:
        """Wait until it has so many more answers."""
        then = len(bank.read(list(self.lines)))
        eventually(lambda: len(bank.read(list(self.lines))) >= then + count or self._failed, timeout=timeout)
        assert not self._failed


class Chaos:
    """Does harm to a cluster, and repairs it. Each fault runs on a thread; one machine at least is left alone at a time."""

    def __init__(self, fleet: Fleet, cluster: Cluster, program: BankProgram, seed: int) -> None:
        self.fleet, self.cluster, self.program = fleet, cluster, program
        self.done: list[str] = []
        self.problems: list[str] = []
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._busy: set[str] = set()
        machine_faults: list[Callable[[str], None]] = [self.worker, self.raylet, self.machine, self.freeze]
        if fleet.network is not None:
            machine_faults.append(self.cut)
        self._machine_faults = machine_faults
        self._other_faults: list[Callable[[str], None]] = [self.postgres, self.driver, self.directory]

    @property
    def kinds(self) -> set[str]:
        """The names of all faults."""
        return {each.__name__ for each in (*self._machine_faults, *self._other_faults)}

    def run(self, seconds: float) -> None:
        """Do faults in a random order for so long, and return when all is repaired."""
        end = time.monotonic() + seconds  # noqa: TID251 - of a test
        bag: list[Callable[[str], None]] = []
        threads = []
        while time.monotonic() < end and not self.problems:  # noqa: TID251 - as above
            if not bag:
                bag = [*self._machine_faults, *self._other_faults]
                self._chance.shuffle(bag)
            fault = bag[-1]
            target = self._target(fault)
            if target:
                bag.pop()
                threads.append(start_thread(lambda fault=fault, target=target: self._do(fault, target), "fault"))  # type: ignore[misc]
            time.sleep(self._chance.uniform(0.5, 2.0))
        for thread in threads:
            thread.join()
        for name in NAMES:
            self.repair(name, "")
        assert not self.problems, self.problems

    def _target(self, fault: Callable[[str], None]) -> str:
        """Return what a fault is done to; "" if it is not the time for it."""
        with self._lock:
            if fault in self._other_faults:
                name = fault.__name__
                target = "" if name in self._busy else name
            else:
                well = [each.name for each in self.cluster.nodes() if each.ready and each.name not in self._busy]
                target = self._chance.choice(well) if len(well) > 1 else ""
            if target:
                self._busy.add(target)
            return target

    def _do(self, fault: Callable[[str], None], target: str) -> None:
        began = time.monotonic()  # noqa: TID251 - of a test
        try:
            fault(target)
        except BaseException as error:  # noqa: BLE001 - the test shows it
            self.problems.append(f"{fault.__name__} {target}: {error!r}")
        finally:
            with self._lock:
                self._busy.discard(target)
            took = time.monotonic() - began  # noqa: TID251 - as above
            self.done.append(f"{fault.__name__}({target}) {took:.0f} s")

    # Faults of machines.

    def worker(self, name: str) -> None:
        node = self.cluster.node(name)
        with suppress(ProcessLookupError):
            os.kill(node.pid, signal.SIGKILL)
        self.repair(name, node.runtime)

    def raylet(self, name: str) -> None:
        machine = self.fleet.machines[name]
        machine.kill_raylet()
        machine.ends(10.0)
        self._join_again(name)

    def machine(self, name: str) -> None:
        self._join_again(name)

    def freeze(self, name: str) -> None:
        machine = self.fleet.machines[name]
        machine.signal(signal.SIGSTOP)
        time.sleep(STILL)
        machine.signal(signal.SIGCONT)
        # If the directory was killed meanwhile, the new one may have begun to wait for the node anew, and it was not lost.
        self.repair(name, "")

    def cut(self, name: str) -> None:
        self.fleet.cut(name)
        time.sleep(CUT)
        self.fleet.heal(name)
        self.repair(name, "")  # As above.

    def _runtime(self, name: str) -> str:
        return next((each.runtime for each in self.cluster.nodes() if each.name == name), "")

    def _join_again(self, name: str) -> None:
        runtime = self._runtime(name)
        self.fleet.machines[name].kill()
        self.fleet.add(name).wait()
        self.repair(name, runtime)

    def repair(self, name: str, before: str) -> None:
        """Wait until a machine has a node, another than before; let it join again if Ray has given it up."""
        end = time.monotonic() + 120.0  # noqa: TID251 - of a test
        while not any(each.name == name and each.ready and each.runtime != before for each in self.cluster.nodes()):
            assert time.monotonic() < end, f"node {name} does not come back: {self.cluster.status()}"  # noqa: TID251 - as above
            if not self.fleet.machines[name].has_raylet:
                time.sleep(2.0)  # What is left of it may act on for a while.
                self.fleet.machines[name].kill()
                self.fleet.add(name).wait()
            time.sleep(0.1)

    # Other faults.

    def postgres(self, _: str) -> None:
        server = self.fleet.postgres
        assert server is not None
        assert server.process is not None
        if self._chance.random() < 0.5:
            server.process.kill()
        server.kill()
        time.sleep(self._chance.uniform(0.0, 8.0 if LONG else 2.0))
        eventually(lambda: starts(server), timeout=60)
        self.program.goes_on()

    def driver(self, _: str) -> None:
        self.program.kill()
        self.program.start()
        self.program.goes_on()

    def directory(self, _: str) -> None:
        for process in self.fleet.head.parts("_DirectoryActor"):
            with suppress(psutil.Error):
                process.kill()
        self.program.goes_on()


def starts(server: Postgres) -> bool:
    try:
        server.start()
    except Missing:
        # Its orphans have not ended yet.
        return False
    return True


def ask(account: Any, request: Any) -> int:
    """Return the answer of an account that may be moving still."""
    found: list[int] = []

    def answers() -> bool:
        try:
            found.append(account.ask(request, timeout=5).result(10))
        except DeliveryError:
            return False
        return True

    eventually(answers, timeout=60)
    return found[0]


def check(cluster: Cluster, store: str, program: BankProgram) -> list[bank.Answered]:
    """See that each answered transfer has taken effect once, and nothing else; return the transfers. The program has ended."""
    answered = check_store(store, program)
    found = [ask(cluster.entity(bank.BankAccount, f"{program.seed}-{key}"), bank.Balance()) for key in range(KEYS)]
    assert sum(found) == KEYS * bank.START
    assert found == bank.balances(program.seed, KEYS, answered)
    assert max(each.longest for each in answered) < bank.BOUND
    return answered


def check_store(store: str, program: BankProgram) -> list[bank.Answered]:
    """See that the store has the answer and the effect of each answered transfer once; return the transfers."""
    answered = bank.read(program.lines)
    with psycopg.connect(store, autocommit=True) as connection:
        waiting = "SELECT count(*) FROM durable_messages WHERE dead = %s"
        eventually(lambda: _number(connection, waiting, 0) == 0, timeout=60)
        assert _number(connection, waiting, 1) == 0
        check_commits(connection)
        # One for the transfer and one for the note.
        mine = "SELECT count(*) FROM durable_answers WHERE idempotency_key LIKE %s"
        assert _number(connection, mine, f"{program.seed}/%") == 2 * len(answered)
        rows = connection.execute("SELECT key, state FROM durable_agents WHERE kind = 'bank-account'").fetchall()
    stored = {key: msgspec.msgpack.decode(bytes(state))["balance"] for key, state in rows}
    assert sum(stored.get(f"{program.seed}-{key}", bank.START) for key in range(KEYS)) == KEYS * bank.START
    return answered


def check_commits(connection: Any) -> None:
    """See that each commit was made by the one process that held the claim, and no claim came back to an earlier one."""
    rows = connection.execute("SELECT key, commits, state, owner, epoch FROM audit ORDER BY key, commits").fetchall()
    makers: dict[tuple[str, int], tuple[str, str]] = {}
    last: dict[str, tuple[int, int]] = {}
    for key, commits, state, owner, epoch in rows:
        by = msgspec.msgpack.decode(bytes(state))["by"]
        maker = makers.setdefault((key, epoch), (owner, by))
        assert maker == (owner, by), f"{key}: two processes under claim {epoch}: {maker}, {owner, by} at commit {commits}"
        before, claimed = last.get(key, (0, 0))
        assert commits == before + 1, f"{key}: commit {commits} after {before}"
        assert epoch >= claimed, f"{key}: a commit under claim {epoch} after one under {claimed}"
        last[key] = commits, epoch
    assert len(rows) > KEYS


def _number(connection: Any, sql: str, *parameters: Any) -> int:
    row = connection.execute(sql, parameters).fetchone()
    assert row is not None
    return int(row[0])


def tell(answered: list[bank.Answered], done: list[str]) -> None:
    """Print the figures, which pytest shows with `-s`."""
    print(f"{len(done)} faults, {figures(answered)}")  # noqa: T201 - figures


def figures(answered: list[bank.Answered]) -> str:
    """Return the figures of transfers."""
    wholes = sorted(each.whole for each in answered)
    tries = sum(each.tries - 3 for each in answered)
    longest = max(each.longest for each in answered)
    return (
        f"{len(answered)} transfers, {tries} asks again; the longest ask {longest:.1f} s; a transfer with its note: median "
        f"{wholes[len(wholes) // 2]:.3f} s, 99% {wholes[len(wholes) * 99 // 100]:.3f} s, longest {wholes[-1]:.1f} s"
    )
