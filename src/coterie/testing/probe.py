"""Probes, which collect the messages that agents send, and a check that no agent has failed."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from coterie.messaging import Message
from coterie.runtime import AGENTS, Agent, AgentFailed, AgentRef, Runtime, on

M = TypeVar("M", bound=Message)


class _Collector(Agent):
    """Hands all messages to its probe."""

    def __init__(self, collected: queue.SimpleQueue[Message], answers: queue.SimpleQueue[Any]) -> None:
        self.collected = collected
        self.answers = answers

    @on
    def collect(self, message: Message) -> Any:
        """Keep a message, and answer with the next of the given answers."""
        self.collected.put(message)
        try:
            answer = self.answers.get_nowait()
        except queue.Empty:
            return None
        if isinstance(answer, Exception):
            raise answer
        return answer


class Probe:
    """Stands for an agent in a test: it collects what it is sent, in order, and answers as it is told.

    ::

        probe = Probe(runtime)
        runtime.spawn(Waiter, kitchen=probe.ref).tell(Order(dish="soup"))
        assert probe.expect(Cook).dish == "soup"

    `ref` is its reference, to be given to the agents under test. Safe from any thread.
    """

    def __init__(self, runtime: Runtime, name: str | None = None) -> None:
        self._collected: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.ref: AgentRef = runtime.spawn(_Collector, self._collected, self._answers, name=name)
        """The reference of the probe."""

    def answer(self, *answers: Any) -> None:
        """Answer the next requests with these, in order, and later ones with None; raise an answer that is an exception."""
        for answer in answers:
            self._answers.put(answer)

    def expect(self, kind: type[M], timeout: float = 5.0) -> M:
        """Return the next message. Raises `AssertionError` if none comes within `timeout` seconds, or one of another type."""
        try:
            message = self._collected.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"{self.ref.name} got no {kind.__qualname__} within {timeout:g} s") from None
        if isinstance(message, kind):
            return message
        raise AssertionError(f"{self.ref.name} expected a {kind.__qualname__}, and got {message!r}")

    def expect_nothing(self, within: float = 0.1) -> None:
        """Return after so many seconds without a message. Raises `AssertionError` at once if one comes."""
        try:
            message = self._collected.get(timeout=within)
        except queue.Empty:
            return
        raise AssertionError(f"{self.ref.name} expected nothing, and got {message!r}")


class _FailureCollector(Agent):
    """Collects the failures of the agents of a runtime."""

    subscribes_to = (AGENTS,)

    def __init__(self, failures: queue.SimpleQueue[str]) -> None:
        self.failures = failures

    @on
    def failed(self, message: AgentFailed) -> None:
        """Keep a failure, as text."""
        over = f" over {message.message}" if message.message else ""
        self.failures.put(f"{message.agent.name} failed{over}: {message.error}")

    @on
    def ignore(self, message: Message) -> None:
        """Ignore other events."""


@contextmanager
def no_failures(runtime: Runtime, *, dead_letters: bool = True) -> Iterator[None]:
    """Raise `AssertionError` at the end of the block if an agent of the runtime failed in it, or a message was not handled.

    Without `dead_letters` only failures count. Agents that are still at work at the end of the block are not waited for: see
    `wait_until_idle`.
    """
    failures: queue.SimpleQueue[str] = queue.SimpleQueue()
    before = runtime.dead_letters.total
    collector = runtime.spawn(_FailureCollector, failures)
    yield
    letters = runtime.dead_letters.total - before
    # It handles its events before it ends.
    collector.stop().result()
    found = [failures.get() for _ in range(failures.qsize())]
    if dead_letters and letters:
        latest = "; ".join(str(letter) for letter in list(runtime.dead_letters)[-letters:])
        found.append(f"{letters} dead letters: {latest}")
    if found:
        raise AssertionError("; ".join(found))
