"""The liveness of peers, at the moments at which a frame and a loss meet."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coterie.concurrency import Timers
from coterie.messaging.liveness import PeerLiveness
from coterie.testing import ManualClock


class Hooked(dict[str, int | None]):
    """A table that calls a function before it changes."""

    before: Callable[[], None] | None = None

    def __setitem__(self, key: str, value: int | None) -> None:
        self.call()
        super().__setitem__(key, value)

    def pop(self, key: str, default: object = None) -> object:  # type: ignore[override] # as it is used
        self.call()
        return super().pop(key, default)

    def call(self) -> None:
        before, self.before = self.before, None
        if before is not None:
            before()


@pytest.mark.parametrize("table", ["_lost", "_silent"])
def test_a_node_that_is_heard_while_it_is_given_up_does_not_stay_lost(table: str) -> None:
    timers = Timers(ManualClock(), "test")
    losses: list[str] = []
    found: list[str] = []
    liveness = PeerLiveness(timers, 10.0, lambda _: None, lambda node, _: losses.append(node), lambda _: None, found.append)
    liveness.watch("there")
    hooked = Hooked(getattr(liveness, table))
    setattr(liveness, table, hooked)
    for _ in range(10):
        liveness._look()
    hooked.before = lambda: liveness.heard("there")
    liveness._lose("there", "it has been silent")
    assert losses == ["there"]
    liveness.heard("there")
    assert not liveness.is_lost("there")
    assert found == ["there"]
    liveness.close()
    timers.close()
