"""Whatever happens to agents, every message ends once and every ask ends."""

import sys
from collections.abc import Iterator

import pytest

from coterie import Dedicated, Leased, Runtime
from coterie.runtime import Dispatcher
from tests.runs import LONG
from tests.stress.chaos import unleash


@pytest.fixture(autouse=True)
def tiny_switch_interval() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.stress
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(5 if LONG else 1))
@pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])
def test_every_message_is_accounted_for(dispatcher: Dispatcher, seed: int) -> None:
    runtime = Runtime(dispatcher=dispatcher, stop_timeout=60.0, switch_interval=1e-6)
    tally = unleash(runtime, 100_000 if LONG else 20_000, seed)
    report = runtime.stop()
    assert report is not None
    assert report.stuck == ()
    assert [reply for reply in tally.replies if not reply.done] == []
    totals = runtime.metrics().totals
    ends = totals.handled + totals.failed + totals.cancelled + totals.expired + totals.rejected + totals.dead
    assert totals.sent == ends, totals
    assert totals.queued == 0
    assert totals.sent == tally.sent
    for each in ("handled", "failed", "cancelled", "expired", "rejected", "dead", "restarts"):
        assert getattr(totals, each) > 0, each
