"""What becomes of a gateway that is never closed."""

import gc
import threading
import weakref

import pytest

from coterie.concurrency import start_thread
from coterie.models import ModelGateway
from coterie.models.gateway import requests
from coterie.testing import ManualClock, ScriptedModel, eventually
from tests.models.asking import question


def test_requests_in_flight_are_awaited_at_the_end_of_the_program() -> None:
    clock = ManualClock()
    model = ScriptedModel(["yes"], delay=1.0, clock=clock)
    gateway = ModelGateway(model)
    reply = gateway.submit(question())
    eventually(lambda: model.running == 1)
    told: list[str | None] = []
    ending = start_thread(lambda: told.append(gateway._running.finish_at_exit()), "ending")
    # The delay may begin after the first advance.
    eventually(lambda: clock.advance(1.0) is None and reply.done)
    ending.join(10)
    assert (reply.result(10).text, told) == ("yes", [None])
    gateway.close()


def test_requests_that_were_lost_at_the_end_of_the_program_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_EXIT_WITHIN", 0.05)
    model = ScriptedModel(["yes"], delay=1.0, clock=ManualClock())
    gateway = ModelGateway(model)
    gateway.submit(question())
    eventually(lambda: model.running == 1)
    assert gateway._running.finish_at_exit() == "models: 1 requests to models, not answered within 0.05 s"
    assert gateway._running.finish_at_exit() is None
    gateway.close()


def test_a_dropped_gateway_warns_answers_and_ends_its_thread() -> None:
    before = set(threading.enumerate())
    clock = ManualClock()
    model = ScriptedModel(["yes"], delay=1.0, clock=clock)
    gateways = [ModelGateway(model, name="dropped")]
    reply = gateways[0].submit(question())
    eventually(lambda: model.running == 1)
    gone = weakref.ref(gateways[0])

    def drop(caught: pytest.WarningsRecorder) -> None:
        gateways.clear()
        eventually(lambda: gc.collect() is not None and gone() is None and len(caught) > 0)

    with pytest.warns(ResourceWarning, match="the model gateway dropped was dropped") as caught:
        drop(caught)
    # The delay may begin after the first advance.
    eventually(lambda: clock.advance(1.0) is None and reply.done)
    assert reply.result(10).text == "yes"
    eventually(lambda: not set(threading.enumerate()) - before)
