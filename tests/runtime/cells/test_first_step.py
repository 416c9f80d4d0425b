"""The first step of an ``async`` handler runs at once. But for the time, nothing must differ from a step that the loop runs."""

import asyncio
import contextvars
import gc
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coterie import (
    Agent,
    AgentRef,
    AskCancelled,
    Dedicated,
    HandlerFailed,
    Leased,
    Message,
    Reply,
    Request,
    Runtime,
    Supervision,
    on,
)
from coterie.runtime import Dispatcher
from coterie.runtime.cells import incarnation
from coterie.runtime.definition.handlers import Handler
from coterie.runtime.dispatchers import agent_loop
from coterie.runtime.dispatchers.agent_loop import AgentLoop
from coterie.testing import eventually

tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="-")


class Run(Request[list[str]]):
    steps: list[str]


class RunTogether(Run):
    pass


class Lines(Request[list[str]]):
    pass


class Gate:
    """Holds an agent up."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def __deepcopy__(self, memo: object) -> "Gate":
        return self


class Hold(Message):
    """Wait, so that the messages that follow are handled in one turn."""

    gate: Any


class Ended(Request[list[int]]):
    pass


async def numbers() -> AsyncIterator[int]:
    try:
        yield 1
        yield 2
    finally:
        await asyncio.sleep(0)


LENIENT = Supervision(max_restarts=1_000, backoff=0.0)
"""Whatever a script does, its agent goes on."""


class Scripted(Agent):
    """Does the steps of a message, and says what it saw."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.generators: list[AsyncIterator[int]] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.weak: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self.ended: list[None] = []

    @on
    def hold(self, message: Hold) -> None:
        message.gate.event.wait()

    @on
    async def count_ended(self, message: Ended) -> list[int]:
        """Return how many kept tasks have ended, and how many callbacks of tasks were called, once all have been."""
        await asyncio.sleep(0.001)
        return [len(self.tasks), sum(task.done() for task in self.tasks), len(self.ended)]

    @on(raises=(ValueError, SystemExit))
    async def run(self, message: Run) -> list[str]:
        return await self.work(message.steps)

    @on(raises=(ValueError, SystemExit), interleave=True)
    async def run_together(self, message: RunTogether) -> list[str]:
        return await self.work(message.steps)

    @on
    def all_lines(self, message: Lines) -> list[str]:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self.lines
        return ["a plain handler has a running loop"]

    async def work(self, steps: list[str]) -> list[str]:
        seen: list[str] = []
        for step in steps:
            line = f"{step}: {await STEPS[step](self)}"
            self.lines.append(line)
            seen.append(line)
        return seen


async def _nothing(agent: Scripted) -> object:
    return None


async def _switch(agent: Scripted) -> object:
    await asyncio.sleep(0)
    return None


async def _variables(agent: Scripted) -> object:
    before = tenant.get()
    tenant.set(before + "x")
    return before


async def _current(agent: Scripted) -> object:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    return loop.is_running(), task.done(), task.cancelling(), task in asyncio.all_tasks(), len(asyncio.all_tasks())


async def _timeout(agent: Scripted) -> object:
    try:
        async with asyncio.timeout(0):
            await asyncio.sleep(10)
    except TimeoutError:
        return "over"
    return "not over"


async def _timeout_without_wait(agent: Scripted) -> object:
    async with asyncio.timeout(10) as limit:  # noqa: ASYNC100 - that is the point
        pass
    return limit.expired()


async def _child(agent: Scripted) -> object:
    async with asyncio.TaskGroup() as group:
        child = group.create_task(_variables(agent))
    return child.result()


async def _cancel_self(agent: Scripted) -> object:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    return None


async def _raise(agent: Scripted) -> object:
    raise ValueError("by the script")


async def _exit(agent: Scripted) -> object:
    raise SystemExit("by the script")


async def _generator(agent: Scripted) -> object:
    generator = numbers()
    agent.generators.append(generator)
    return await anext(generator), sys.get_asyncgen_hooks().firstiter is not None


async def _blocking(agent: Scripted) -> object:
    return await agent.context.run_blocking(lambda: 7)


async def _keep_task(agent: Scripted) -> object:
    task = asyncio.current_task()
    assert task is not None
    known = task in agent.tasks
    agent.tasks.append(task)
    return known


async def _note_task(agent: Scripted) -> object:
    task = asyncio.current_task()
    assert task is not None
    known = task in agent.weak
    agent.weak.add(task)
    return known


async def _name_task(agent: Scripted) -> object:
    task = asyncio.current_task()
    assert task is not None
    before = task.get_name()
    task.set_name("another")
    return before == agent.context.self_ref.name, task.get_name()


async def _cancel_and_go_on(agent: Scripted) -> object:
    task = asyncio.current_task()
    assert task is not None
    task.cancel("by itself")
    try:
        await asyncio.sleep(0.001)
    except asyncio.CancelledError as error:
        return str(error), task.uncancel()
    return "not cancelled"


async def _cancel_and_take_back(agent: Scripted) -> object:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    return task.uncancel()


async def _cancel_and_switch(agent: Scripted) -> object:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        return "cancelled", task.uncancel()
    return "not cancelled"


async def _end_of_task(agent: Scripted) -> object:
    task = asyncio.current_task()
    assert task is not None
    ended = agent.ended

    def count(_: object) -> None:
        ended.append(None)

    task.add_done_callback(count)
    return None


async def _own_call(agent: Scripted) -> object:
    called = asyncio.Event()
    asyncio.get_running_loop().call_soon(called.set)
    await called.wait()
    return None


STEPS: dict[str, Callable[[Scripted], Coroutine[Any, Any, object]]] = {
    "nothing": _nothing,
    "switch": _switch,
    "variables": _variables,
    "current": _current,
    "timeout": _timeout,
    "timeout-without-wait": _timeout_without_wait,
    "child": _child,
    "cancel-self": _cancel_self,
    "raise": _raise,
    "exit": _exit,
    "generator": _generator,
    "blocking": _blocking,
    "own-call": _own_call,
    "keep-task": _keep_task,
    "note-task": _note_task,
    "name-task": _name_task,
    "cancel-and-go-on": _cancel_and_go_on,
    "cancel-and-take-back": _cancel_and_take_back,
    "cancel-and-switch": _cancel_and_switch,
    "end-of-task": _end_of_task,
}


@contextmanager
def queued_first_steps() -> Iterator[None]:
    """Let the loop run all steps of tasks, as asyncio does."""

    def make_task(loop: AgentLoop, work: Any, name: str, context: contextvars.Context) -> tuple[asyncio.Task[Any], None]:
        return asyncio.Task(work, loop=loop, name=name, context=context), None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AgentLoop, "make_task", make_task)
        patch.setattr(incarnation, "TASKS_SHARED", False)
        yield


@contextmanager
def shared_first_steps() -> Iterator[None]:
    """Let handlers share a task again at once after a message that has used one up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Handler, "spend", lambda handler: None)
        yield


def outcome_of(agent: AgentRef, message: Run) -> str:
    return outcome(agent, agent.ask(message))


def outcome(agent: AgentRef, reply: Reply[list[str]]) -> str:
    try:
        return str(reply.result(20))
    except (HandlerFailed, AskCancelled) as error:
        return f"{type(error).__name__}: {error}".replace(agent.name, "agent")


def outcomes(dispatcher: Dispatcher, scripts: list[list[str]], kind: type[Run]) -> list[str]:
    """Return what became of each message, and what the agent saw."""
    with Runtime(dispatcher=dispatcher) as runtime:
        agent = runtime.spawn(Scripted, supervision=LENIENT)
        reset = tenant.set("t")
        try:
            found = [outcome_of(agent, kind(script)) for script in scripts]
        finally:
            tenant.reset(reset)
        return [*found, *agent.ask(Lines()).result(20)]


@pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])
@pytest.mark.parametrize("kind", [Run, RunTogether])
@settings(deadline=None, max_examples=30)
@given(scripts=st.lists(st.lists(st.sampled_from(sorted(STEPS)), max_size=4), min_size=1, max_size=4))
def test_a_step_at_once_and_a_step_of_the_loop_have_the_same_outcome(
    dispatcher: Dispatcher, kind: type[Run], scripts: list[list[str]]
) -> None:
    with shared_first_steps():
        at_once = outcomes(dispatcher, scripts, kind)
    with queued_first_steps():
        queued = outcomes(dispatcher, scripts, kind)
    assert at_once == queued


def outcomes_of_one_turn(dispatcher: Dispatcher, scripts: list[list[str]]) -> list[str]:
    """Return what became of messages that an agent handles in one turn."""
    with Runtime(dispatcher=dispatcher) as runtime:
        agent, gate = runtime.spawn(Scripted, supervision=LENIENT), Gate()
        agent.tell(Hold(gate))
        replies = [agent.ask(Run(script)) for script in scripts]
        gate.event.set()
        found = [outcome(agent, reply) for reply in replies]
        return [*found, str(agent.ask(Ended()).result(20)), *agent.ask(Lines()).result(20)]


@pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])
@settings(deadline=None, max_examples=30)
@example(scripts=[[name] for name in ("nothing", "keep-task", "keep-task", "end-of-task", "nothing", "variables", "variables")])
@example(scripts=[["nothing"], ["end-of-task"], ["nothing"]])
@given(scripts=st.lists(st.lists(st.sampled_from(sorted(STEPS)), max_size=3), min_size=2, max_size=8))
def test_messages_of_one_turn_cannot_tell_that_their_tasks_are_one(dispatcher: Dispatcher, scripts: list[list[str]]) -> None:
    # A message that carries variables has a task of its own.
    with shared_first_steps():
        at_once = contextvars.Context().run(outcomes_of_one_turn, dispatcher, scripts)
    with queued_first_steps():
        queued = contextvars.Context().run(outcomes_of_one_turn, dispatcher, scripts)
    assert at_once == queued


class Mark(Message):
    text: str


class Add(Message):
    text: str


class Order(Agent):
    """An ``async`` and a plain handler, in the order of the messages."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    @on
    async def mark(self, message: Mark) -> None:
        self.texts.append(message.text)
        if message.text.endswith("!"):
            await asyncio.sleep(0)
            self.texts.append(message.text)

    @on
    def add(self, message: Add) -> None:
        self.texts.append(message.text)

    @on
    def all_texts(self, message: Lines) -> list[str]:
        return self.texts


@pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])
def test_messages_are_handled_in_their_order_whatever_the_form_of_their_handlers(dispatcher: Dispatcher) -> None:
    with Runtime(dispatcher=dispatcher) as runtime:
        agent = runtime.spawn(Order)
        for number in range(200):
            agent.tell((Mark(f"{number}"), Add(f"{number}"), Mark(f"{number}!"))[number % 3])
        expected = [text for n in range(200) for text in ([f"{n}!"] * 2 if n % 3 == 2 else [f"{n}"])]
        assert agent.ask(Lines()).result(20) == expected


def test_an_interpreter_without_the_private_parts_lets_the_loop_run_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_loop, "STEPS_AT_ONCE", False)
    scripts = [["current", "generator", "variables"], ["timeout", "child"], ["raise"]]
    assert outcomes(Dedicated(), scripts, Run)[0].startswith("['current: (True, False, 0, True, 1)'")


class StopWithin(Message):
    agent: AgentRef
    drain: bool


class Stopping(Agent):
    def __init__(self, log: list[str]) -> None:
        self.log = log

    def on_stop(self) -> None:
        self.log.append("on_stop")

    @on
    async def stop(self, message: StopWithin) -> None:
        message.agent.stop(drain=message.drain)
        try:
            await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        self.log.append("whole")


@pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])
@pytest.mark.parametrize("drain", [True, False])
def test_an_agent_can_be_stopped_by_the_first_step_of_its_handler(dispatcher: Dispatcher, *, drain: bool) -> None:
    class Log(list[str]):
        def __deepcopy__(self, memo: object) -> "Log":
            return self

    log = Log()
    with Runtime(dispatcher=dispatcher) as runtime:
        agent = runtime.spawn(Stopping, log)
        agent.tell(StopWithin(agent, drain))
        eventually(lambda: not agent.is_alive)
    assert log == ["whole" if drain else "cancelled", "on_stop"]


class Note(Message):
    payload: Any


class Late(Request[list[str]]):
    pass


class Payload:
    """An object that tells when it dies."""


class Sharing(Agent):
    """Its ``async`` handlers share a task over several turns."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @on
    async def note(self, message: Note) -> None:
        """Do nothing, or look later."""
        if message.payload == "later":
            asyncio.get_running_loop().call_soon(self.look)
        elif message.payload == "task":
            self.context.create_task(self.look_around())

    @on
    async def wait(self, message: Hold) -> None:
        await asyncio.get_running_loop().run_in_executor(None, message.gate.event.wait)

    @on
    def late(self, message: Late) -> list[str]:
        return self.lines

    async def look_around(self) -> None:
        self.lines.append(f"{len(asyncio.all_tasks())} task")

    def look(self) -> None:
        sender = self.context.sender
        tasks = len(asyncio.all_tasks())
        self.lines.append(f"{sender.name if sender is not None else None}, {tasks} tasks")


class TellNotes(Message):
    agent: AgentRef
    payloads: tuple[str, ...]


class Teller(Agent):
    @on
    def tell_notes(self, message: TellNotes) -> None:
        for payload in message.payloads:
            message.agent.tell(Note(payload))


@pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])
def test_a_callback_of_a_handler_keeps_its_message_and_sees_no_resting_task(dispatcher: Dispatcher) -> None:
    with Runtime(dispatcher=dispatcher) as runtime:
        agent = runtime.spawn(Sharing)
        teller = runtime.spawn(Teller, name="teller")
        contextvars.Context().run(teller.tell, TellNotes(agent, ("", "later", "")))
        eventually(lambda: agent.ask(Late()).result(20) == ["teller, 0 tasks"])
        contextvars.Context().run(agent.tell, Note("task"))
        eventually(lambda: agent.ask(Late()).result(20) == ["teller, 0 tasks", "1 task"])


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("dispatcher", [Leased(), Dedicated()], ids=["leased", "dedicated"])
def test_an_agent_at_rest_keeps_no_message_not_even_in_garbage(dispatcher: Dispatcher, *, carried: bool) -> None:
    with Runtime(dispatcher=dispatcher) as runtime:
        agent = runtime.spawn(Sharing)
        payload = Payload()
        alive = weakref.ref(payload)
        # With variables each message has a task of its own.
        variables = contextvars.Context()
        if carried:
            variables.run(tenant.set, "t")
        gc.disable()
        try:
            for _ in range(3):
                variables.run(agent.tell, Note(payload))
            del payload
            eventually(lambda: alive() is None)
        finally:
            gc.enable()


def test_the_stack_of_a_suspended_handler_is_that_of_its_await() -> None:
    with Runtime() as runtime:
        agent, gate = runtime.spawn(Sharing), Gate()
        contextvars.Context().run(agent.tell, Hold(gate))
        try:
            eventually(lambda: "run_in_executor" in runtime.inspect(agent).stack)
        finally:
            gate.event.set()
