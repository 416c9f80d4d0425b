"""The queue of writes and the pool of readers, under every interleaving that there is time for."""

from random import Random
from typing import Any, cast

import pytest

from coterie.errors.storage import StorageBusy, StorageClosed
from coterie.storage.engine.contract import ReadingConnection
from coterie.storage.engine.shared import ReaderPool
from coterie.storage.engine.writer import Write, WriteQueue
from coterie.storage.pending import Pending
from coterie.testing import Interleaver
from tests.runs import runs

pytestmark = pytest.mark.stress

INTAKE = Interleaver([WriteQueue.put, WriteQueue.take, WriteQueue._pop, WriteQueue._await, WriteQueue.close])
POOL = Interleaver([ReaderPool.take, ReaderPool.give, ReaderPool._wake, ReaderPool._leave, ReaderPool.close, ReaderPool.clear])


def write() -> Write:
    return Write(lambda _: None, Pending("here"), durable=True)


@pytest.mark.parametrize("closes", [False, True])
def test_a_write_is_taken_once_or_refused(closes: bool) -> None:
    for seed in runs(150):
        with INTAKE.locks():
            intake = WriteQueue("here", 1)
        writes = [write() for _ in range(4)]
        accepted: list[int] = []
        taken: list[Write] = []

        def put(number: int) -> None:
            try:
                intake.put(writes[number], timeout=0)
            except (StorageBusy, StorageClosed):
                return
            accepted.append(number)

        def take() -> None:
            for _ in range(3):
                taken.extend(intake.take(2, idle=0) or [])

        others = [intake.close] if closes else []
        INTAKE.run([lambda: put(0), lambda: put(1), lambda: (put(2), put(3)), take, *others], Random(seed))
        while rest := intake.take(10, idle=0):
            taken += rest
        assert sorted(map(id, taken)) == sorted(id(writes[number]) for number in accepted)
        assert [writes.index(each) for each in taken if each in writes[2:]] == sorted({2, 3} & set(accepted))


class Connection:
    """Counts how many are lent at once."""

    usable = True

    def __init__(self) -> None:
        self.lent = 0

    def close(self) -> None:
        assert self.lent == 0


@pytest.mark.parametrize("closes", [False, True])
def test_a_connection_is_lent_to_one_at_a_time_and_none_is_lost(closes: bool) -> None:
    for seed in runs(150):
        made: list[Connection] = []

        def connect() -> ReadingConnection:
            made.append(Connection())
            return cast("ReadingConnection", made[-1])

        with POOL.locks():
            pool = ReaderPool("here", connect, 2, patience=0)
        served: list[int] = []

        def use() -> None:
            try:
                connection: Any = pool.take()
            except (StorageBusy, StorageClosed):
                return
            connection.lent += 1
            assert connection.lent == 1
            served.append(1)
            connection.lent -= 1
            pool.give(connection)

        others = [lambda: pool.close(0)] if closes else []
        POOL.run([use, use, use, *others], Random(seed))
        assert len(made) <= 2 or closes
        if closes:
            assert pool.close(0)
            assert pool.open == 0
        else:
            assert pool.open == len(made) >= 1
            assert served
            first, second = (pool.take() for _ in range(2))
            assert first is not second
