"""A bank that is killed: no money appears or vanishes, and each acknowledged transfer is there once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coterie import Runtime
from coterie.durable import Identity
from coterie.testing.waiting import eventually
from tests.durable import bank
from tests.runs import runs

KEYS = 20


def run_and_kill(store: str, seed: int, pause: float) -> list[list[str]]:
    """Let the bank transfer for a while, kill it, and return its acknowledged transfers: account, key, and whether it moved."""
    command = [sys.executable, "-m", "tests.durable.bank", store, str(seed), str(KEYS), "8"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
    lines = [line.split() for line in (first + rest).splitlines()]
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
    for seed in runs(20):
        acknowledged = run_and_kill(store, seed, draw.random() * 0.3)
        assert acknowledged
        check(store, acknowledged)
