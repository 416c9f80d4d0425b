import math

import pytest

from coterie.errors import JobExited, JobTimeout, WorkerDied
from coterie.testing import Fault, FaultyCalls, InjectedFault
from coterie.work import Bounds, ProcessingEngine


def test_a_script_sets_the_fault_of_each_call() -> None:
    calls = FaultyCalls(abs, script=[Fault.RAISE, Fault.LEAVE, Fault.HANG])
    with ProcessingEngine(threads=Bounds(1, 1)) as engine:
        for kind in (InjectedFault, JobExited):
            with pytest.raises(kind):
                engine.submit(calls, -1).result(10)
        with pytest.raises(JobTimeout):
            engine.submit(calls, -1, timeout=0.01).result(10)
        assert engine.submit(calls, -1).result(10) == 1
        calls.release()
    assert calls.calls == 4


def test_chances_follow_their_seed() -> None:
    def outcomes(seed: int) -> list[bool]:
        calls = FaultyCalls(abs, chances={Fault.RAISE: 0.5}, seed=seed)
        found = []
        for _ in range(100):
            try:
                found.append(calls(-1) == 1)
            except InjectedFault:
                found.append(False)
        return found

    assert outcomes(1) == outcomes(1) != outcomes(2)
    assert 30 < sum(outcomes(1)) < 70


def test_a_process_can_be_made_to_die() -> None:
    with ProcessingEngine(processes=Bounds(1, 1)) as engine:
        with pytest.raises(WorkerDied):
            engine.submit(FaultyCalls(math.isqrt, script=[Fault.DIE]), 4, cpu_bound=True).result(30)
        assert engine.submit(FaultyCalls(math.isqrt), 4, cpu_bound=True).result(30) == 2
