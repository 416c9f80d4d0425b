"""The order of locks, watched while everything happens at once."""

import logging

import pytest

from coterie import Dedicated, Leased, Runtime
from coterie.runtime import Dispatcher
from coterie.testing import LossyTransport, checked_locks
from tests.stress.chaos import unleash


@pytest.mark.timeout(300)
@pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])
@pytest.mark.parametrize("far", [False, True], ids=["here", "over a transport"])
def test_no_two_locks_are_ever_taken_out_of_order(dispatcher: Dispatcher, far: bool) -> None:
    logging.disable(logging.CRITICAL)
    try:
        with checked_locks() as violations:
            transport = LossyTransport(seed=1, duplicate=0.1, drop=0.01) if far else None
            runtime = Runtime(dispatcher=dispatcher, transport=transport, strict=far)
            unleash(runtime, 3_000, seed=9)
            runtime.inspect(runtime.agents()[0])
            runtime.health()
            runtime.stop(timeout=20.0)
            runtime.metrics()
        assert violations == []
    finally:
        logging.disable(logging.NOTSET)
