"""From spawn to stop: constructors, hooks, names, references."""

from __future__ import annotations

import asyncio
import threading

import pytest

from coterie import Agent, AgentRef, AgentStopped, Message, Request, on
from coterie.errors import DefinitionError, NameTaken, StartFailed
from coterie.messaging import Reason
from coterie.testing.conformance.base import Block, Echo, Gate, Gatekeeper, Note, Notes, Recorder, Sleep, Suite
from coterie.testing.waiting import eventually


class Log:
    """A log that many agents write to. It is thread-safe, so they share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: list[str] = []

    def write(self, line: str) -> None:
        with self._lock:
            self._lines.append(line)

    @property
    def lines(self) -> list[str]:
        with self._lock:
            return list(self._lines)


class Living(Recorder):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log = log
        log.write("constructed")

    async def on_start(self) -> None:
        await asyncio.sleep(0)
        self.log.write("started")

    def on_stop(self) -> None:
        self.log.write(f"stopped after {len(self.notes)}")


class Broken(Agent):
    def __init__(self, text: str) -> None:
        raise LookupError(text)

    @on
    def echo(self, message: Echo) -> int:
        return message.n


class StopSelf(Message):
    """Makes an agent stop itself."""


class Suicidal(Recorder):
    @on
    def stop(self, message: StopSelf) -> None:
        self.context.self_ref.stop()
        self.context.self_ref.stop()


class BornDead(Recorder):
    def on_start(self) -> None:
        self.context.self_ref.stop()


class Lister(Agent):
    def __init__(self, numbers: list[int], *, extra: dict[str, int]) -> None:
        numbers.append(len(numbers))
        self.numbers = numbers
        self.extra = extra

    @on
    def read(self, message: Notes) -> list[int]:
        return [*self.numbers, *self.extra.values()]


class Forward(Request[int]):
    """Carries a reference."""

    to: list[AgentRef]


class Carrier(Agent):
    @on
    async def forward(self, message: Forward) -> int:
        return await message.to[0].ask(Echo(5))


class Early(Recorder):
    """Uses its context in its constructor."""

    def __init__(self) -> None:
        super().__init__()
        self.context.self_ref.tell(Note(1))
        self.context.after(0.0, Note(2))
        self.child = self.context.spawn(Recorder)


class AgentLifecycle(Suite):
    """The life of an agent."""

    def test_hooks_bracket_the_messages(self) -> None:
        log = Log()
        with self.runtime() as runtime:
            agent = runtime.spawn(Living, log)
            agent.tell(Note(1))
            agent.ask(Notes()).result(10)
            assert log.lines == ["constructed", "started"]
            agent.stop().result(10)
            assert log.lines == ["constructed", "started", "stopped after 1"]

    def test_the_context_is_there_in_the_constructor(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Early)
            eventually(lambda: sorted(agent.ask(Notes()).result(10)) == [1, 2])

    def test_arguments_are_copied_so_that_nothing_is_shared(self) -> None:
        with self.runtime() as runtime:
            numbers, extra = [7], {"a": 1}
            agent = runtime.spawn(Lister, numbers, extra=extra)
            assert agent.ask(Notes()).result(10) == [7, 1, 1]
            numbers.append(99)
            extra["b"] = 99
            assert agent.ask(Notes()).result(10) == [7, 1, 1]
            assert numbers == [7, 99]

    def test_a_constructor_that_raises_ends_the_agent_with_the_reason(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Broken, "no such thing", name="broken")
            with pytest.raises(AgentStopped, match=r"broken.*LookupError: no such thing") as caught:
                agent.ask(Echo(1)).result(10)
            assert not agent.is_alive
            cause = caught.value.__cause__
            assert cause is None or isinstance(cause, StartFailed)
            assert runtime.health()["broken"].state == "failed"
            assert runtime.spawn(Recorder, name="broken").ask(Echo(1)).result(10) == 1

    def test_wrong_arguments_end_the_agent_and_say_so(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder, 1, 2, name="wrong")
            with pytest.raises(AgentStopped, match=r"wrong.*TypeError"):
                agent.ask(Echo(1)).result(10)

    def test_a_value_that_is_not_an_agent_class_is_refused(self) -> None:
        with self.runtime() as runtime:
            with pytest.raises(DefinitionError, match="not an agent class"):
                runtime.spawn(int)  # type: ignore[arg-type] # on purpose
            with pytest.raises(DefinitionError, match="not an agent class"):
                runtime.spawn(Recorder())  # type: ignore[arg-type] # on purpose

    def test_a_name_belongs_to_one_living_agent(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder, name="one")
            with pytest.raises(NameTaken, match="one"):
                runtime.spawn(Recorder, name="one")
            agent.stop().result(10)
            again = runtime.spawn(Recorder, name="one")
            assert again != agent
            assert again.ask(Echo(1)).result(10) == 1

    def test_agents_without_a_name_get_one_that_is_free(self) -> None:
        with self.runtime() as runtime:
            runtime.spawn(Recorder, name="recorder-2")
            names = [runtime.spawn(Recorder).name for _ in range(3)]
            assert len({*names, "recorder-2"}) == 4
            assert all(name.startswith("recorder-") for name in names)

    def test_names_that_cannot_be_addressed_are_refused(self) -> None:
        with self.runtime() as runtime:
            for name in ("", "a#b", "a\nb"):
                with pytest.raises(DefinitionError, match="name"):
                    runtime.spawn(Recorder, name=name)

    def test_agents_are_found_by_name_and_listed(self) -> None:
        with self.runtime() as runtime:
            agents = [runtime.spawn(Recorder, name=name) for name in "abc"]
            assert runtime.find("b") == agents[1]
            assert runtime.find("d") is None
            assert runtime.agents() == agents
            agents[0].stop().result(10)
            assert runtime.find("a") is None
            assert runtime.agents() == agents[1:]

    def test_references_survive_encoding(self) -> None:
        with self.runtime() as runtime:
            target, carrier = runtime.spawn(Recorder, name="to"), runtime.spawn(Carrier)
            assert carrier.ask(Forward([target])).result(10) == 5
            assert runtime.reference(str(target.address)) == target
            assert runtime.reference(str(target.address)).ask(Echo(3)).result(10) == 3

    def test_a_stopped_agent_handles_queued_messages_and_no_later_ones(self) -> None:
        if not self.arrives_at_once:
            pytest.skip("the stop may arrive after what was sent later")
        gate = Gate()
        with self.runtime() as runtime:
            agent = runtime.spawn(Gatekeeper, gate, name="late")
            agent.tell(Block(0))
            gate.wait_for_entry()
            queued = [agent.ask(Echo(n)) for n in range(3)]
            eventually(lambda: runtime.metrics().agents[agent.name].queued == 3)
            stopped = agent.stop()
            with pytest.raises(AgentStopped, match=r"late cannot handle Echo"):
                agent.ask(Echo(9)).result(10)
            gate.open()
            assert [reply.result(10) for reply in queued] == [0, 1, 2]
            stopped.result(10)
            assert not agent.is_alive

    def test_a_stop_without_draining_makes_dead_letters_of_the_queue(self) -> None:
        if not self.arrives_at_once:
            pytest.skip("the stop may arrive after what was sent later")
        gate = Gate()
        with self.runtime() as runtime:
            agent = runtime.spawn(Gatekeeper, gate)
            agent.tell(Block(0))
            gate.wait_for_entry()
            queued = [agent.ask(Echo(n)) for n in range(3)]
            eventually(lambda: runtime.metrics().agents[agent.name].queued == 3)
            stopped = agent.stop(drain=False)
            gate.open()
            stopped.result(10)
            for reply in queued:
                with pytest.raises(AgentStopped):
                    reply.result(10)
            assert [letter.reason for letter in runtime.dead_letters] == [Reason.STOPPED] * 3

    def test_a_stop_without_draining_cancels_awaiting_handlers(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder)
            reply = agent.ask(Sleep())
            eventually(lambda: runtime.health()[agent.name].state == "waiting")
            agent.stop(drain=False).result(10)
            assert reply.exception() is not None
            assert runtime.metrics().totals.cancelled == 1

    def test_a_message_after_the_stop_becomes_a_dead_letter_and_ends_an_ask(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder, name="gone")
            agent.stop().result(10)
            agent.tell(Note(1))
            with pytest.raises(AgentStopped, match="gone cannot handle Echo: it has stopped"):
                agent.ask(Echo(1)).result(10)
            eventually(lambda: len(runtime.dead_letters) == 2)
            assert {letter.reason for letter in runtime.dead_letters} == {Reason.STOPPED}

    def test_an_agent_can_stop_itself_more_than_once(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Suicidal)
            agent.tell(StopSelf())
            eventually(lambda: not agent.is_alive)
            agent.stop().result(10)

    def test_an_agent_can_stop_itself_before_its_first_message(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(BornDead)
            eventually(lambda: not agent.is_alive)

    def test_stopping_a_stopped_agent_is_harmless(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder)
            for _ in range(3):
                agent.stop().result(10)

    def test_an_agent_restarts_nothing_when_its_last_hook_raises(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(BadEnd)
            agent.stop().result(10)
            assert not agent.is_alive


class BadEnd(Agent):
    def on_stop(self) -> None:
        raise RuntimeError("at the end")

    @on
    def note(self, message: Note) -> None: ...
