"""Threads are started at once, or soon where the caller has interrupted the bookkeeping."""

from collections.abc import Callable

import pytest

from coterie.concurrency import start_thread, threads


def test_a_thread_whose_start_is_deferred_can_be_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[Callable[[], object]] = []
    monkeypatch.setattr(threads, "interrupted", lambda: True)
    monkeypatch.setattr(threads, "defer", starts.append)
    done: list[int] = []
    thread = start_thread(lambda: done.append(1), "later")
    assert thread.is_alive()
    thread.join(0.001)
    assert done == []
    starts[0]()
    thread.join(10)
    assert (done, thread.is_alive()) == ([1], False)
