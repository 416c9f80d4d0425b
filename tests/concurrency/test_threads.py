"""Threads are started at once, or soon where the caller has interrupted the bookkeeping."""

import gc
import sys
import threading
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


def test_stacks_are_read_while_collections_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    # A finalizer would wait for ever for the lock that the interpreter holds meanwhile.
    enabled: list[bool] = []
    read = sys._current_frames

    def frames() -> object:
        enabled.append(gc.isenabled())
        return read()

    monkeypatch.setattr(sys, "_current_frames", frames)
    assert "test_stacks_are_read_while_collections_pause" in threads.stack_of(threading.get_ident())
    assert "test_stacks_are_read_while_collections_pause" in threads.dump_stacks()
    assert (enabled, gc.isenabled()) == ([False, False], True)
