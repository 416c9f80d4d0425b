import threading

import pytest

from coterie.errors import InvalidSetting, QueueFull
from coterie.testing import eventually
from coterie.work import ActionSystem, Bounds, Job, ProcessingEngine, QueueLimits

ONE = Bounds(1, 1)


def test_a_callback_that_submits_to_the_full_pool_is_refused_and_named() -> None:
    refused: list[str] = []
    over = threading.Event()
    with ProcessingEngine(threads=ONE, queue=QueueLimits(capacity=1, patience=None)) as engine:

        def more(_: Job[bool]) -> None:
            try:
                engine.submit(int)
            except QueueFull as error:
                refused.append(str(error))

        engine.submit(over.wait, 30, callback=more)
        eventually(lambda: engine.metrics().busy == 1)
        following = engine.submit(int)
        over.set()
        assert following.result(10) == 0
    assert "a callback of <Job processing-1" in refused[0]


def test_a_callback_may_wait_for_another_job() -> None:
    got: list[int] = []
    over = threading.Event()
    with ProcessingEngine(threads=ONE) as engine:
        engine.submit(over.wait, 30, callback=lambda _: got.append(following.result(10)))
        eventually(lambda: engine.metrics().busy == 1)
        following = engine.submit(int, "7")
        over.set()
        eventually(lambda: got == [7])


def test_an_invalid_callback_is_rejected_before_submission() -> None:
    with ProcessingEngine() as engine, ActionSystem() as system:
        with pytest.raises(InvalidSetting, match="callback=5"):
            engine.submit(int, callback=5)  # type: ignore[arg-type]
        with pytest.raises(InvalidSetting, match="callback=5"):
            system.submit(int, key="k", callback=5)  # type: ignore[arg-type]
        assert (engine.metrics().totals.submitted, system.metrics().totals.submitted) == (0, 0)
        assert system.submit(int, key="k").result(10) == 0
