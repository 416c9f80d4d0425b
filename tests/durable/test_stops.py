"""Real activations, held at a gate while they start, handle, or end: messages wait, and the runtime stops at each point."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from coterie import Agent, Request, Runtime, RuntimeStopped, on
from coterie.testing.conformance.base import Gate
from coterie.testing.waiting import Together, eventually

POINTS = ["start", "message", "end"]


class Add(Request[int]):
    """Add one, and answer the count."""


class Count(Request[int]):
    """Ask for the count."""


class Stages:
    """Holds an agent at one point, once, and counts how many activations run at once."""

    def __init__(self, point: str) -> None:
        self.gate = Gate()
        self.point = point
        self.running = 0
        self.most = 0
        self.activations = 0

    def reach(self, point: str) -> None:
        if point == self.point:
            self.point = ""
            self.gate.wait()


class Staged(Agent):
    stored_name = "staged"

    def __init__(self) -> None:
        self.count = 0

    def snapshot(self) -> int:
        return self.count

    def restore(self, state: int) -> None:
        self.count = state

    def on_start(self) -> None:
        stages = self.context.use(Stages)
        stages.activations += 1
        stages.running += 1
        stages.most = max(stages.most, stages.running)
        stages.reach("start")

    def on_stop(self) -> None:
        stages = self.context.use(Stages)
        stages.reach("end")
        stages.running -= 1

    @on
    def tell(self, message: Count) -> int:
        return self.count

    @on
    def add(self, message: Add) -> int:
        self.context.use(Stages).reach("message")
        self.count += 1
        return self.count


def held(runtime: Runtime, point: str) -> tuple[Stages, list[Callable[[], int]]]:
    """Bring an agent to a point, and return its stages, and what waits for the answers that are due."""
    stages = runtime.provide(Stages(point))
    agent = runtime.entity(Staged, "a")
    first = agent.ask(Add())
    if point == "end":
        first.result(10)
        agent.stop()
    stages.gate.wait_for_entry()
    return stages, [] if point == "end" else [lambda: first.result(10)]


@pytest.mark.parametrize("drain", [True, False])
@pytest.mark.parametrize("point", POINTS)
def test_messages_that_come_at_any_point_are_handled_once_and_by_one_activation(
    tmp_path: Path, point: str, drain: bool
) -> None:
    with Runtime(store=str(tmp_path / "agents.db")) as runtime:
        stages, due = held(runtime, point)
        agent = runtime.entity(Staged, "a")
        before = agent.ask(Add())
        agent.stop(drain=drain)
        after = agent.ask(Add())
        stages.gate.open()
        answers = [*(wait() for wait in due), before.result(10), after.result(10)]
        assert sorted(answers) == list(range(4 - len(answers), 4))
        assert agent.ask(Add()).result(10) == 4
        assert stages.most == 1
        assert stages.activations >= 2


@pytest.mark.parametrize("drain", [True, False])
@pytest.mark.parametrize("point", POINTS)
def test_the_runtime_stops_at_any_point_and_what_was_answered_is_stored(tmp_path: Path, point: str, drain: bool) -> None:
    store = str(tmp_path / "agents.db")
    runtime = Runtime(store=store)
    stages, _ = held(runtime, point)
    agent = runtime.entity(Staged, "a")
    replies = [agent.ask(Add()) for _ in range(3)]
    stopper = Together(lambda: runtime.stop(drain=drain))
    eventually(lambda: isinstance(agent.ask(Count()).exception(), RuntimeStopped))
    stages.gate.open()
    stopper.join()
    answered = [reply.result() for reply in replies if reply.wait(10) and reply.exception() is None]
    assert all(reply.done for reply in replies)
    with Runtime(store=store) as again:
        again.provide(Stages(""))
        count = again.entity(Staged, "a").ask(Add()).result(10) - 1
    assert count >= max(answered, default=0)
    assert count <= 4
