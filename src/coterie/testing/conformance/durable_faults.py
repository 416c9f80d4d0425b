"""The part of the suite of durable agents that is about failures: poison, stuck handlers, versions, bad input."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from coterie import Agent, AgentStopped, AskCancelled, HandlerFailed, Request, Runtime, Supervision, on
from coterie.errors import DefinitionError, InvalidKey, InvalidSetting, StateRefused, StateUnreadable
from coterie.errors.durable import NoStore
from coterie.runtime import DurablePolicy
from coterie.testing.clock import ManualClock
from coterie.testing.conformance.base import Gate
from coterie.testing.conformance.durable_agents import Add, Break, Bump, Count, Counter, Key, Odd, Poison
from coterie.testing.conformance.supervising import AT_ONCE
from coterie.testing.waiting import eventually, wait_until_idle

_LARGE = 20_000_000


class Unsendable(Request[Any]):
    """Change the count, and answer with something that has no form."""


class Misfit(Request[int]):
    """The same, with an answer of another type than declared."""


class Careless(Counter):
    """A counter whose answers cannot be sent."""

    stored_name = "suite-careless"

    @on
    def unsendable(self, message: Unsendable) -> Any:
        self.count += 1
        return threading.Lock()

    @on
    async def misfit(self, message: Misfit) -> int:
        self.count += 1
        return "text"  # type: ignore[return-value] # on purpose


class Stick(Request[int]):
    """Change the count, and wait at the gate, which `provide` gave, once."""


class Sticky(Counter):
    """A counter that gets stuck."""

    stored_name = "suite-sticky"

    @on
    def stick(self, message: Stick) -> int:
        gate = self.context.use(Gate)
        self.count += 100
        self.context.runtime.entity(Counter, "other").tell(Bump(100))
        gate.wait()
        return self.count


class DurableFaults:
    """The promises of durable agents that fail."""

    def runtime(self, store: str, **options: Any) -> Runtime:
        """Return a runtime with a store."""
        return Runtime(store=store, **options)

    @pytest.fixture
    def store(self, tmp_path: Path) -> str:
        """The address of an empty database."""
        return str(tmp_path / "agents.db")

    # Poison.

    def test_poison_becomes_a_durable_dead_letter_and_is_driven_again(self, store: str) -> None:
        class Sender(Agent):
            stored_name = "suite-sender"

            def snapshot(self) -> None:
                return None

            def restore(self, state: None) -> None: ...

            @on
            def send(self, message: Add) -> int:
                for _ in range(message.amount):
                    self.context.runtime.entity(Fragile, "a").tell(Poison())
                return message.amount

        class Fragile(Counter):
            stored_name = "suite-fragile"
            healthy = False

        with self.runtime(store, durable=DurablePolicy(attempts=2)) as runtime:
            runtime.durable.register(Fragile)
            runtime.entity(Sender, "s").ask(Add(1)).result()
            eventually(lambda: runtime.durable.dead_letters(Fragile))
            (letter,) = runtime.durable.dead_letters()
            assert letter.attempts == 2
            assert "ValueError: poisoned" in (letter.error or "")
            assert runtime.entity(Fragile, "a").ask(Count()).result() == 0
        Fragile.healthy = True
        with self.runtime(store) as runtime:
            runtime.durable.register(Fragile)
            assert not runtime.durable.redrive(letter.number + 1)
            assert runtime.durable.redrive(letter.number)
            eventually(lambda: runtime.entity(Fragile, "a").ask(Count()).result() == 1)
            assert runtime.durable.dead_letters() == []

    # Versions and bad input.

    def test_an_older_state_is_upgraded(self, store: str) -> None:
        class Old(Counter):
            stored_name = "suite-versions"

        class New(Agent):
            stored_name = "suite-versions"
            state_version = 2

            def __init__(self) -> None:
                self.total = 0

            def snapshot(self) -> dict[str, int]:
                return {"total": self.total}

            def restore(self, state: dict[str, int]) -> None:
                self.total = state["total"]

            def upgrade(self, version: int, state: Any) -> Any:
                return {"total": state["count"] * 10 + version}

            @on
            def tell(self, message: Count) -> int:
                return self.total

            @on
            def add(self, message: Add) -> int:
                self.total += message.amount
                return self.total

        class Blind(New):
            upgrade = None  # type: ignore[assignment] # as if it had none
            state_version = 3

        with self.runtime(store) as runtime:
            runtime.entity(Old, "a").ask(Add(4)).result()
        with self.runtime(store) as runtime:
            assert runtime.entity(New, "a").ask(Count()).result() == 41
            assert runtime.entity(New, "a").ask(Add(1)).result() == 42
        for kind in (Old, Blind):
            with self.runtime(store) as runtime, pytest.raises(AgentStopped) as caught:
                runtime.entity(kind, "a").ask(Count()).result()
            assert isinstance(caught.value.__cause__, StateUnreadable)
            assert "suite-versions 'a'" in str(caught.value)
        with self.runtime(store) as runtime:
            assert runtime.entity(New, "a").ask(Count()).result() == 42

    def test_bad_input_is_refused_and_the_state_stays(self, store: str) -> None:
        class Stateless(Agent): ...

        class Needy(Counter):
            def __init__(self, what: int) -> None:
                super().__init__()

        class Twin(Counter): ...

        with self.runtime(store) as runtime:
            agent = runtime.entity(Counter, "a")
            for key in ("", "x" * 10_240, "a\0b", "\ud800", 5):
                with pytest.raises(InvalidKey):
                    runtime.entity(Counter, key)  # type: ignore[arg-type] # one of them
            for kind in (Stateless, Needy, Twin, int):
                with pytest.raises(DefinitionError):
                    runtime.entity(kind, "a")  # type: ignore[arg-type] # one of them
            odd = runtime.entity(Odd, "a")
            assert odd.ask(Add(_LARGE)).result(60) == _LARGE
            with pytest.raises(HandlerFailed) as caught:
                odd.ask(Add(-1)).result()
            assert isinstance(caught.value.__cause__, StateRefused)
            assert odd.ask(Count()).result() == _LARGE
            assert agent.ask(Add()).result() == 1
            with pytest.raises(InvalidSetting):
                runtime.spawn(Counter).ask(Add(), idempotency_key="k")
        with Runtime() as runtime, pytest.raises(NoStore):
            runtime.entity(Counter, "a")

    def test_calls_of_a_durable_agent_are_refused_elsewhere(self, store: str) -> None:
        class Ordinary(Agent):
            @on
            def ask(self, message: Key) -> str:
                try:
                    self.context.remind(1, Bump(1))
                except Exception as error:  # noqa: BLE001 - the test looks at it
                    return type(error).__name__
                return ""

        with self.runtime(store) as runtime:
            assert runtime.spawn(Ordinary).ask(Key()).result() == "OutsideHandler"

    @pytest.mark.parametrize("key", [None, "k"])
    def test_an_answer_that_cannot_be_sent_leaves_the_state_as_it_was(self, store: str, key: str | None) -> None:
        requests = [Unsendable(), Misfit()] if key is not None else [Unsendable()]
        with self.runtime(store) as runtime:
            agent = runtime.entity(Careless, "a")
            agent.ask(Add(1)).result()
            for request in requests:
                with pytest.raises(HandlerFailed, match=r"the answer to .* cannot be") as caught:
                    agent.ask(request, idempotency_key=key).result()
                assert isinstance(caught.value.__cause__, StateRefused)
                assert agent.ask(Count()).result() == 1
        with self.runtime(store) as runtime:
            assert runtime.entity(Careless, "a").ask(Count()).result() == 1

    # Failures for good, and stuck handlers.

    def test_an_agent_that_failed_for_good_is_activated_again(self, store: str) -> None:
        with self.runtime(store, supervision=Supervision(max_restarts=1, backoff=AT_ONCE)) as runtime:
            agent = runtime.entity(Counter, "a")
            agent.ask(Add()).result()
            for _ in range(10):
                broken, counted = agent.ask(Break()), agent.ask(Count())
                assert isinstance(broken.wait(10) and broken.exception(), HandlerFailed)
                assert counted.result(10) == 1

    def test_a_stuck_agent_is_killed_and_what_it_does_later_is_not_stored(self, store: str) -> None:
        gate = Gate()
        with self.runtime(store) as runtime:
            runtime.provide(gate)
            agent = runtime.entity(Sticky, "a")
            agent.ask(Add()).result()
            stuck = agent.ask(Stick())
            gate.wait_for_entry()
            queued = agent.ask(Count())
            agent.kill(timeout=0.01).result(10)
            assert isinstance(stuck.wait(10) and stuck.exception(), AskCancelled)
            assert queued.result(10) == 1
            assert agent.ask(Add()).result(10) == 2
            gate.open()
            agent.stop().result(10)
            assert agent.ask(Count()).result(10) == 2
            assert runtime.entity(Counter, "other").ask(Count()).result(10) == 0

    def test_a_stuck_agent_is_replaced_by_policy(self, store: str) -> None:
        clock, gate = ManualClock(), Gate()
        supervision = Supervision(on_stall="replace", backoff=AT_ONCE)
        with self.runtime(store, clock=clock, stall_after=2.0, supervision=supervision) as runtime:
            runtime.provide(gate)
            agent = runtime.entity(Sticky, "a")
            agent.ask(Add()).result()
            wait_until_idle(runtime)
            stuck = agent.ask(Stick(), timeout=None)
            gate.wait_for_entry()

            def replaced() -> bool:
                clock.advance(1.0)
                return stuck.done

            eventually(replaced)
            assert isinstance(stuck.exception(), AskCancelled)
            counted = agent.ask(Count(), timeout=None)

            def counts() -> bool:
                clock.advance(0.0)
                return counted.done

            eventually(counts)
            assert counted.result() == 1
            assert agent.ask(Add(), timeout=None).result(10) == 2
            gate.open()
            agent.stop().result(10)
            assert agent.ask(Count(), timeout=None).result(10) == 2
