import threading

from coterie.concurrency import Rank, new_lock, start_thread
from coterie.concurrency.locks import acquire_in_turn
from coterie.testing import run_together


def test_a_lock_that_is_held_is_had_once_it_is_released() -> None:
    lock = new_lock(Rank.RECORDS)
    acquire_in_turn(lock)
    had = threading.Event()

    def wait() -> None:
        acquire_in_turn(lock)
        had.set()
        lock.release()

    waiting = start_thread(wait, "waiting")
    assert not had.is_set()
    lock.release()
    waiting.join(10)
    assert had.is_set()


def test_only_one_has_it_at_a_time() -> None:
    lock = new_lock(Rank.RECORDS)
    inside = 0
    seen: list[int] = []

    def take() -> None:
        nonlocal inside
        for _ in range(500):
            acquire_in_turn(lock)
            inside += 1
            seen.append(inside)
            inside -= 1
            lock.release()

    run_together(*(take for _ in range(4)), timeout=30)
    assert set(seen) == {1}
    assert len(seen) == 2000
