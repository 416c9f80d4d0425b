import sys
import threading
from random import Random

import pytest

from coterie.concurrency import AutoResetEvent, Rank, SwitchInterval, new_lock, start_thread
from coterie.concurrency.threads import dump_stacks, stack_of
from coterie.testing import Deadlock, Interleaver, LockOrderViolation, checked_locks
from coterie.testing.interleaving import Schedule


def test_a_doorbell_that_was_rung_lets_one_pass() -> None:
    bell = AutoResetEvent()
    assert not bell.wait(0)
    bell.set()
    bell.set()
    assert bell.wait()
    assert not bell.wait(0.001)


def test_the_switch_interval_is_lowered_while_it_is_requested_and_restored_after() -> None:
    before = sys.getswitchinterval()
    try:
        sys.setswitchinterval(0.005)
        one, two = SwitchInterval(0.0005), SwitchInterval(0.001)
        one.hold()
        assert sys.getswitchinterval() == pytest.approx(0.0005, rel=0.05)
        two.hold()
        one.release()
        assert sys.getswitchinterval() == pytest.approx(0.001, rel=0.05)
        one.release()
        two.release()
        assert sys.getswitchinterval() == pytest.approx(0.005, rel=0.05)
        sys.setswitchinterval(0.0001)
        one.hold()
        assert sys.getswitchinterval() == pytest.approx(0.0001, rel=0.05)
        one.release()
    finally:
        sys.setswitchinterval(before)


def test_stacks_show_where_a_thread_is() -> None:
    gate = threading.Event()

    def waits_here() -> None:
        gate.wait(10)

    thread = start_thread(waits_here, "shown")
    try:
        assert "waits_here" in stack_of(thread.ident)
        assert "thread shown" in dump_stacks()
        assert stack_of(None) == ""
    finally:
        gate.set()
        thread.join()
    assert stack_of(thread.ident) == ""


def test_locks_taken_out_of_order_are_caught() -> None:
    with checked_locks() as violations:
        outer, inner, same = new_lock(Rank.LINK), new_lock(Rank.MAILBOX), new_lock(Rank.LINK)
    with outer, inner:
        pass
    with inner, pytest.raises(LockOrderViolation, match="took LINK while it held MAILBOX"):
        outer.acquire()
    with outer, pytest.raises(LockOrderViolation):
        same.acquire()
    assert len(violations) == 2
    assert not inner._is_owned()


class Unsafe:
    """Counts wrongly when two threads count at once."""

    def __init__(self) -> None:
        self.count = 0

    def add(self) -> None:
        count = self.count
        self.count = count + 1


class Careless:
    """Takes two locks in either order."""

    def __init__(self) -> None:
        self.one, self.two = new_lock(Rank.LINK), new_lock(Rank.MAILBOX)

    def forward(self) -> None:
        with self.one, self.two:
            pass

    def backward(self) -> None:
        with self.two, self.one:
            pass


def test_the_interleaver_finds_a_lost_update_and_can_show_it_again() -> None:
    threads = Interleaver([Unsafe.add])
    for seed in range(100):
        unsafe = Unsafe()
        schedule = threads.run([unsafe.add, unsafe.add], Random(seed))
        if unsafe.count == 1:
            break
    assert unsafe.count == 1
    again = Unsafe()
    threads.run([again.add, again.add], schedule)
    assert again.count == 1
    assert str(schedule).startswith("Schedule([")
    one_after_the_other = Unsafe()
    threads.run([one_after_the_other.add, one_after_the_other.add], Schedule([0] * 10 + [1] * 10))
    assert one_after_the_other.count == 2


def test_the_interleaver_finds_a_deadlock() -> None:
    threads = Interleaver([Careless.forward, Careless.backward])

    def try_all() -> None:
        for seed in range(200):
            with threads.locks():
                careless = Careless()
            threads.run([careless.forward, careless.backward], Random(seed))

    with pytest.raises(Deadlock, match="all wait for locks"):
        try_all()


def test_the_interleaver_raises_the_error_of_a_body() -> None:
    def fail() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Interleaver([fail]).run([fail, lambda: None], Schedule())
