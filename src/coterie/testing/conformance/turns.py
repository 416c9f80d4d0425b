"""Cases of handlers: one message at a time, interleaving, tasks and blocking calls."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from coterie import Agent, AgentRef, HandlerFailed, Message, Request, on
from coterie.telemetry import traceparent
from coterie.testing.conformance.base import Block, Echo, Gate, Gatekeeper, Note, Notes, Recorder, Sleep, Suite
from coterie.testing.waiting import eventually, run_together


class Overlap(Request[int]):
    """For a handler that interleaves: it awaits until so many of these messages are handled at once."""

    together: int


class Go(Message):
    """Lets the overlapping handlers go on."""


class Exclusive(Request[int]):
    """For a handler that does not interleave."""

    n: int


class Threads(Request[list[int]]):
    """Asks on which threads an agent has run."""


class Blocking(Request[int]):
    """Makes an agent call something that blocks."""

    n: int


class Background(Request[int]):
    """Makes an agent start a background task."""

    seconds: float


class Who(Request[str]):
    """Asks an agent who asked."""


class PassOn(Request[str]):
    """Makes an agent ask another who asked."""

    to: AgentRef


class Busy(Agent):
    def __init__(self) -> None:
        self.threads = [threading.get_ident()]
        self.under_way = 0
        self.most = 0
        self.enough = asyncio.Event()
        self.events: list[str] = []
        self.ended = 0

    def on_start(self) -> None:
        self.threads.append(threading.get_ident())

    @on(interleave=True)
    async def overlap(self, message: Overlap) -> int:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        if self.under_way == message.together:
            self.enough.set()
        await self.enough.wait()
        self.under_way -= 1
        return self.most

    @on
    async def exclusive(self, message: Exclusive) -> int:
        self.events.append(f"in {message.n}")
        await asyncio.sleep(0.001)
        self.events.append(f"out {message.n}")
        return message.n

    @on
    def notes(self, message: Notes) -> list[int]:
        return [self.most, self.ended, len(self.events)]

    @on
    def echo(self, message: Echo) -> int:
        return message.n

    @on
    def where(self, message: Threads) -> list[int]:
        return [*self.threads, threading.get_ident()]

    @on
    async def blocking(self, message: Blocking) -> int:
        def call() -> tuple[int, int]:
            return message.n, threading.get_ident()

        n, thread = await self.context.run_blocking(call)
        assert thread != threading.get_ident()
        return n

    @on
    def background(self, message: Background) -> int:
        async def work() -> None:
            await asyncio.sleep(message.seconds)
            self.ended += 1

        self.context.create_task(work())
        return 1

    @on
    async def who(self, message: Who) -> str:
        await asyncio.sleep(0)
        return self.context.sender.name if self.context.sender is not None else "nobody"

    @on
    async def pass_on(self, message: PassOn) -> str:
        return await message.to.ask(Who())


class Torn(Agent):
    """Would tear its own state, if two handlers ran at once."""

    def __init__(self) -> None:
        self.left = self.right = 0

    @on
    async def note(self, message: Note) -> None:
        left = self.left
        await asyncio.sleep(0)
        self.left = left + 1
        self.right += 1
        if self.left != self.right:
            raise AssertionError(f"{self.left} != {self.right}")

    @on
    def echo(self, message: Echo) -> int:
        left = self.left
        self.left = left + 1
        self.right += 1
        return self.left - self.right

    @on
    def notes(self, message: Notes) -> list[int]:
        return [self.left, self.right]


class ReadContext(Request[list[str]]):
    """Asks for the context variables that every transport carries."""


class Tracer(Agent):
    @on
    async def echo(self, message: Echo) -> int:
        VARIABLE.set(message.n)
        await asyncio.sleep(0)
        return VARIABLE.get()

    @on
    def read(self, message: Notes) -> list[int]:
        return [VARIABLE.get()]

    @on
    async def read_context(self, message: ReadContext) -> list[str]:
        return [CHOSEN.get(), traceparent.get() or "-"]


VARIABLE = contextvars.ContextVar("variable", default=-1)
CHOSEN = contextvars.ContextVar("chosen", default="-")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Turns(Suite):
    """Handlers, their threads and their loops."""

    def test_one_message_is_handled_at_a_time_awaits_included(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Busy)
            replies = [agent.ask(Exclusive(n)) for n in range(10)]
            assert [reply.result(10) for reply in replies] == list(range(10))
            assert agent.ask(Notes()).result(10)[2] == 20

    def test_handlers_never_tear_the_state_of_their_agent(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Torn)

            def send() -> None:
                for n in range(100):
                    agent.tell(Note(n))
                    assert agent.ask(Echo(n)).result(10) == 0

            run_together(*[send] * 4)
            assert agent.ask(Notes()).result(10) == [800, 800]

    def test_interleaving_handlers_overlap_at_their_awaits(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Busy)
            replies = [agent.ask(Overlap(5)) for _ in range(5)]
            assert [reply.result(10) for reply in replies] == [5] * 5

    def test_others_are_handled_while_an_interleaving_handler_awaits(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Busy)
            first = agent.ask(Overlap(2))
            assert agent.ask(Echo(1)).result(10) == 1
            assert agent.ask(Exclusive(2)).result(10) == 2
            assert not first.done
            assert agent.ask(Overlap(2)).result(10) == 2

    def test_nothing_is_handled_while_an_ordinary_handler_awaits(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Recorder)
            slow = agent.ask(Sleep())
            later = agent.ask(Echo(1))
            eventually(lambda: runtime.health()[agent.name].state == "waiting")
            assert not later.done
            slow.cancel()
            assert later.result(10) == 1

    def test_constructor_hooks_and_handlers_run_off_the_spawners_thread(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Busy)
            assert threading.get_ident() not in agent.ask(Threads()).result(10)

    def test_blocking_calls_run_on_other_threads_as_many_as_are_needed(self) -> None:
        barrier = threading.Barrier(30)
        with self.runtime() as runtime:
            agents = [runtime.spawn(Blocker, barrier) for _ in range(30)]
            replies = [agent.ask(Blocking(n)) for n, agent in enumerate(agents)]
            assert [reply.result(20) for reply in replies] == list(range(30))

    def test_a_blocking_call_that_raises_raises_where_it_is_awaited(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(BadBlocker)
            with pytest.raises(HandlerFailed, match="ZeroDivisionError"):
                agent.ask(Blocking(0)).result(10)

    def test_a_background_task_runs_beside_the_handlers(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Busy)
            agent.ask(Background(0.0)).result(10)
            eventually(lambda: agent.ask(Notes()).result(10)[1] == 1)

    def test_a_background_task_dies_with_its_agent(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Busy)
            agent.ask(Background(600.0)).result(10)
            agent.stop().result(5)
            assert not agent.is_alive

    def test_handlers_know_the_sender_of_their_message(self) -> None:
        with self.runtime() as runtime:
            agent, other = runtime.spawn(Busy, name="asked"), runtime.spawn(Busy, name="asking")
            assert other.ask(PassOn(agent)).result(10) == other.name
            assert agent.ask(Who()).result(10) == "nobody"

    def test_context_variables_of_one_message_do_not_reach_the_next(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Tracer)
            assert agent.ask(Echo(5)).result(10) == 5
            assert agent.ask(Notes()).result(10) == [-1]

    def test_chosen_context_variables_and_the_trace_context_reach_the_handler(self) -> None:
        def ask() -> list[str]:
            CHOSEN.set("acme")
            traceparent.set(TRACE)
            return agent.ask(ReadContext()).result(10)

        with self.runtime(context=[CHOSEN]) as runtime:
            agent = runtime.spawn(Tracer)
            assert contextvars.copy_context().run(ask) == ["acme", TRACE]
            assert agent.ask(ReadContext()).result(10) == ["-", "-"]

    def test_an_agent_that_blocks_its_thread_delays_no_other_agent(self) -> None:
        gate = Gate()
        with self.runtime() as runtime:
            blocked = [runtime.spawn(Gatekeeper, gate) for _ in range(20)]
            for agent in blocked:
                agent.tell(Block())
            for _ in blocked:
                gate.wait_for_entry()
            free = runtime.spawn(Recorder)
            assert free.ask(Echo(1)).result(10) == 1
            gate.open()

    def test_sockets_work_in_the_loop_of_an_agent(self) -> None:
        with self.runtime() as runtime:
            server = runtime.spawn(Server)
            port = server.ask(Notes()).result(10)[0]
            clients = [runtime.spawn(Client, port) for _ in range(10)]
            replies = [client.ask(Echo(n)) for n, client in enumerate(clients)]
            assert [reply.result(10) for reply in replies] == list(range(10))

    def test_subprocesses_work_in_the_loop_of_an_agent(self) -> None:
        with self.runtime() as runtime:
            agent = runtime.spawn(Shell)
            assert agent.ask(Echo(3)).result(20) == 3


class Blocker(Agent):
    def __init__(self, barrier: threading.Barrier) -> None:
        self.barrier = barrier

    @on
    async def blocking(self, message: Blocking) -> int:
        await self.context.run_blocking(self.barrier.wait, 10.0)
        return message.n


class BadBlocker(Agent):
    @on(raises=ZeroDivisionError)
    async def blocking(self, message: Blocking) -> int:
        return await self.context.run_blocking(lambda: 1 // message.n)


class Server(Agent):
    """Returns the value of each request."""

    async def on_start(self) -> None:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    @on
    def port(self, message: Notes) -> list[int]:
        return [self.server.sockets[0].getsockname()[1]]

    async def on_stop(self) -> None:
        self.server.close()
        await self.server.wait_closed()


class Client(Agent):
    def __init__(self, port: int) -> None:
        self.port = port

    @on
    async def echo(self, message: Echo) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"%d\n" % message.n)
        answer = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return int(answer)


class Shell(Agent):
    @on
    async def echo(self, message: Echo) -> int:
        process = await asyncio.create_subprocess_exec("echo", str(message.n), stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        return int(out)
