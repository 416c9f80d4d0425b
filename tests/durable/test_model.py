"""Durable agents against a model: whatever is sent, fails, is passivated or restarted, the counts are those of the model."""

from __future__ import annotations

import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from coterie import HandlerFailed, Runtime
from coterie.runtime import DurablePolicy
from coterie.testing import ManualClock
from coterie.testing.conformance.durable_agents import Add, Break, Count, Counter, Forward, RemindMe
from coterie.testing.waiting import eventually
from tests.runs import LONG

pytestmark = pytest.mark.stress

KEYS = st.sampled_from(["a", "b", "c"])
AMOUNTS = st.integers(1, 9)


class DurableModel(RuleBasedStateMachine):
    """Three counters, and what they must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.clock = ManualClock()
        self.counts = dict.fromkeys("abc", 0)
        self.due: list[tuple[float, str, int]] = []
        self.answered: dict[str, int] = {}
        self.runtime = self.start()

    def start(self) -> Runtime:
        policy = DurablePolicy(most_active=2)
        runtime = Runtime(store=f"{self.folder}/agents.db", durable=policy, clock=self.clock)
        runtime.durable.register(Counter)
        return runtime

    def teardown(self) -> None:
        self.runtime.stop()
        shutil.rmtree(self.folder)

    @rule(key=KEYS, amount=AMOUNTS)
    def add(self, key: str, amount: int) -> None:
        self.counts[key] += amount
        eventually(lambda: self.runtime.entity(Counter, key).ask(Add(0)).result() == self.counts[key] - amount)
        assert self.runtime.entity(Counter, key).ask(Add(amount)).result() == self.counts[key]

    @rule(key=KEYS, other=KEYS, amount=AMOUNTS)
    def forward(self, key: str, other: str, amount: int) -> None:
        self.counts[key] += amount
        self.counts[other] += amount
        self.runtime.entity(Counter, key).ask(Forward(other, amount)).result()

    @rule(key=KEYS, name=st.sampled_from(["x", "y"]))
    def add_once(self, key: str, name: str) -> None:
        name = f"{key}/{name}"
        if name not in self.answered:
            eventually(lambda: self.runtime.entity(Counter, key).ask(Count()).result() == self.counts[key])
            self.counts[key] += 1
            self.answered[name] = self.counts[key]
        reply = self.runtime.entity(Counter, key).ask(Add(1), idempotency_key=name)
        assert reply.result() == self.answered[name]

    @rule(key=KEYS, declared=st.booleans())
    def fail(self, key: str, declared: bool) -> None:
        with pytest.raises(HandlerFailed):
            self.runtime.entity(Counter, key).ask(Break(declared, to="a")).result()
        # The backoff of the restart.
        eventually(lambda: self.advance(1.0) or self.runtime.entity(Counter, key).ask(Count()).wait(0.05))

    @rule(key=KEYS, after=st.integers(1, 50), amount=AMOUNTS)
    def remind(self, key: str, after: int, amount: int) -> None:
        self.due.append((self.clock.time() + after, key, amount))
        self.runtime.entity(Counter, key).ask(RemindMe(after, amount)).result()

    @rule(seconds=st.integers(1, 30))
    def wait(self, seconds: int) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> bool:
        """Let time pass; return False."""
        self.clock.advance(seconds)
        for reminder in [each for each in self.due if each[0] <= self.clock.time()]:
            self.due.remove(reminder)
            self.counts[reminder[1]] += reminder[2]
        return False

    @rule(key=KEYS)
    def passivate(self, key: str) -> None:
        self.runtime.entity(Counter, key).stop().result()

    @rule(drain=st.booleans())
    def restart(self, drain: bool) -> None:
        self.runtime.stop(drain=drain)
        self.runtime = self.start()

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        for key, count in self.counts.items():
            eventually(lambda key=key, count=count: self.runtime.entity(Counter, key).ask(Count()).result() == count)  # type: ignore[misc] # bound at once


DurableModel.TestCase.settings = settings(
    max_examples=200 if LONG else 6,
    stateful_step_count=30 if LONG else 15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestDurableModel = DurableModel.TestCase
