"""The base of the parts of the suite: a factory for runtimes, and agents to test them with."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from coterie import Agent, AgentRef, Message, Request, Runtime, on


class Suite:
    """One part of the suite."""

    sender_sees_full = True
    """True if the sender to a full mailbox that rejects gets `MailboxFull` at once; impossible over a network."""
    arrives_at_once = True
    """True if a message is in its mailbox when `tell` returns. Messages that a transport holds at the end are lost."""
    waits_are_seen = True
    """True if wait cycles are detected. Over a network they end by their deadlines."""

    def runtime(self, **options: Any) -> Runtime:
        """Return a new runtime. Override this."""
        return Runtime(**options)


class Note(Message):
    """A number to remember."""

    n: int = 0


class Notes(Request[list[int]]):
    """Asks for the remembered numbers."""


class Echo(Request[int]):
    """Asks for the same number."""

    n: int


class Fail(Request[int]):
    """Makes a handler raise."""

    text: str = "as told"


class Sleep(Request[int]):
    """Makes an ``async`` handler await, for so many seconds or, without them, for ever."""

    seconds: float = -1.0
    n: int = 0


class Ask(Request[int]):
    """Makes an agent ask another for an echo."""

    of: AgentRef
    n: int = 0


class Unknown(Request[int]):
    """A request without a handler."""


class Refused(Exception):
    """An error that a handler declares."""


class Recorder(Agent):
    """Remembers the numbers of its notes, and can be made to do most things that agents do."""

    def __init__(self) -> None:
        self.notes: list[int] = []

    @on
    def note(self, message: Note) -> None:
        self.notes.append(message.n)

    @on
    def read(self, message: Notes) -> list[int]:
        return list(self.notes)

    @on
    def echo(self, message: Echo) -> int:
        return message.n

    @on
    def fail(self, message: Fail) -> int:
        raise ValueError(message.text)

    @on
    async def sleep(self, message: Sleep) -> int:
        await (asyncio.Event().wait() if message.seconds < 0 else asyncio.sleep(message.seconds))
        return message.n

    @on
    async def ask(self, message: Ask) -> int:
        return await message.of.ask(Echo(message.n))


class Gate:
    """A gate at which a handler waits, on its thread, until a test opens it.

    It holds locks, so agents are given it as it is, not a copy.
    """

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()

    def wait(self) -> None:
        """Signal that the handler is here, and wait. For the handler."""
        self.entered.release()
        self.opened.wait(20.0)

    def wait_for_entry(self) -> None:
        """Wait until a handler is here. For the test."""
        assert self.entered.acquire(timeout=10.0), "no handler came"

    def open(self) -> None:
        """Let all waiting handlers go on."""
        self.opened.set()


class Block(Request[int]):
    """Makes a handler wait at the gate of its agent."""

    n: int = 0


class Gatekeeper(Recorder):
    """Waits at a gate when told to."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.gate = gate

    @on
    def block(self, message: Block) -> int:
        self.gate.wait()
        self.notes.append(message.n)
        return message.n
