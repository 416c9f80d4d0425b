"""Services of a node that stops: none stays open."""

from __future__ import annotations

import threading
from typing import Any

from coterie import Agent, AgentRef, Runtime
from coterie.cluster.services import OpenService, ServiceKeeper, ServiceTable
from coterie.testing.waiting import eventually
from tests.cluster.people import Counter


class Desk:
    """A service, which notes that it was closed."""

    opening = threading.Event()
    go_on = threading.Event()
    closed = threading.Event()

    def __init__(self) -> None:
        self.agent: tuple[type[Agent], tuple[Any, ...]] = (Counter, ())

    def close(self) -> None:
        self.closed.set()


def open_slowly(home: AgentRef, node: str) -> Desk:
    """Open a service once the test says so."""
    Desk.opening.set()
    assert Desk.go_on.wait(20)
    return Desk()


def test_a_service_that_opens_while_its_node_stops_is_closed() -> None:
    with Runtime() as runtime:
        services = runtime.provide(ServiceTable("left"))
        keeper, home = runtime.spawn(ServiceKeeper), runtime.spawn(Counter)
        before = len(runtime.agents())
        order = OpenService("desk", f"{__name__}:open_slowly", home)
        opened = keeper.ask(order, timeout=20)
        assert Desk.opening.wait(20)
        services.close_all()
        Desk.go_on.set()
        assert opened.result(20).problem == "node left is stopping"
        assert Desk.closed.is_set()
        assert services.get("desk") is None
        assert keeper.ask(order, timeout=20).result(20).problem == "node left is stopping"
        eventually(lambda: len(runtime.agents()) == before, timeout=20)
