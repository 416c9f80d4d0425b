"""A bank that is killed: no money appears or vanishes, and each acknowledged transfer is there once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from coterie import Runtime
from coterie.concurrency import start_thread
from coterie.durable import Identity
from coterie.testing.waiting import eventually
from tests.durable import bank
from tests.runs import LONG
from tests.servers import Missing, Postgres

pytestmark = pytest.mark.stress

KEYS = 20


def run_and_kill(store: str, seed: int, pause: float, *disturbances: Callable[[], object]) -> list[list[str]]:
    """Let the bank transfer for a while, kill it, and return its acknowledged transfers: account, key, and whether it moved.

    `disturbances` are called meanwhile; after each of them the bank must go on.
    """
    command = [sys.executable, "-m", "tests.durable.bank", store, str(seed), str(KEYS), "8"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        output = process.stdout
        assert output is not None
        said: list[str] = []
        reader = start_thread(lambda: [said.append(line) for line in output], "reader")
        eventually(lambda: said, timeout=60)
        time.sleep(pause)
        for disturb in disturbances:
            disturb()
            before = len(said)
            eventually(lambda before=before: len(said) > before + 40, timeout=60)  # type: ignore[misc] # bound at once
        process.send_signal(signal.SIGKILL)
        reader.join()
    assert process.returncode == -signal.SIGKILL
    lines = [line.split() for line in said]
    return [line for line in lines if len(line) == 3]  # the last may be half a line


def check(store: str, acknowledged: list[list[str]]) -> None:
    """Deliver what is stored, and check the sum of all money and the answers of all acknowledged transfers."""
    with Runtime(store=store) as runtime:
        runtime.durable.register(bank.Account)
        eventually(lambda: not runtime.durable.undelivered, timeout=30)
        balances = [runtime.entity(bank.Account, str(key)).ask(bank.Balance()).result() for key in range(KEYS)]
        assert sum(balances) == KEYS * bank.START
        for account, key, _ in acknowledged:
            assert runtime.durable.store.answer(Identity("Account", account), key) is not None


@pytest.mark.timeout(1_800)
def test_a_killed_bank_loses_no_money(tmp_path: Path) -> None:
    draw = random.Random(0)
    store = str(tmp_path / "bank.db")
    for seed in range(300 if LONG else 20):
        acknowledged = run_and_kill(store, seed, draw.random() * 0.3)
        assert acknowledged
        check(store, acknowledged)


@pytest.mark.timeout(1_800)
def test_a_bank_over_postgresql_loses_no_money_when_it_or_its_server_is_killed(
    postgres_server: Postgres, postgres_url: str
) -> None:
    draw = random.Random(1)

    def crash() -> None:
        """Kill the server, each second time as `kill -9` does, and start it again."""
        if draw.random() < 0.5:
            assert postgres_server.process is not None
            postgres_server.process.kill()
        postgres_server.kill()
        eventually(starts, timeout=30)

    def starts() -> bool:
        try:
            postgres_server.start()
        except Missing:
            # Its orphans have not ended yet.
            return False
        return True

    # Under `make stress` 300 kills: in each of 50 rounds the server five times, and then the bank.
    for seed in range(50 if LONG else 1):
        acknowledged = run_and_kill(postgres_url, seed, draw.random() * 0.3, *[crash] * (5 if LONG else 1))
        assert acknowledged
        check(postgres_url, acknowledged)
