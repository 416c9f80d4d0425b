"""A running attempt: its agent, which has a thread and an event loop of its own, and its time limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from coterie.conversation.tools.attempt import AttemptEnding, AttemptOutcome, ToolAttempt
from coterie.conversation.tools.context import ToolContext
from coterie.errors import OperationStopped
from coterie.messaging import Message
from coterie.runtime import Agent, AgentRef, on


class AttemptDeadline:
    """Calls `overdue`, once, when an attempt has taken too long in all, or has been silent for too long.

    Times are in seconds of the running loop, which is the runtime's clock. Only for the thread of that loop.
    """

    def __init__(self, timeout: float | None, idle: float | None, overdue: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._overdue = overdue
        self._idle = idle
        self._heard = self._loop.time()
        self._timers: list[asyncio.TimerHandle] = []
        if timeout is not None:
            self._timers.append(self._loop.call_later(timeout, self._notify, f"it took longer than {timeout:g} s"))
        if idle is not None:
            self._listen(idle)

    def alive(self) -> None:
        """Be told that there was progress."""
        self._heard = self._loop.time()

    def close(self) -> None:
        """Watch no longer."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _listen(self, seconds: float) -> None:
        self._timers.append(self._loop.call_later(seconds, self._look))

    def _look(self) -> None:
        assert self._idle is not None
        left = self._heard + self._idle - self._loop.time()
        if left <= 0:
            self._notify(f"it said nothing for {self._idle:g} s")
        else:
            self._timers = [each for each in self._timers if each.when() > self._loop.time()]
            self._listen(left)

    def _notify(self, why: str) -> None:
        self.close()
        self._overdue(why)


class StopAttempt(Message):
    """Stop what can be stopped: an asynchronous function, at its next await. A synchronous one sees it by itself."""


class AttemptWorker(Agent):
    """Runs one attempt, tells its outcome, and ends."""

    def __init__(self, attempt: ToolAttempt) -> None:
        self._attempt = attempt
        self._call: asyncio.Task[AttemptOutcome] | None = None

    def on_start(self) -> None:
        """Begin."""
        self.context.create_task(self._work())

    @on
    def halt(self, _message: StopAttempt) -> None:
        """Have the function cancelled, if that is possible."""
        if self._call is not None and self._attempt.callee.is_async:
            self._call.cancel()

    async def _work(self) -> None:
        # A task of its own, which the tool may cancel as it likes: it is told apart from the end of this agent.
        self._call = self.context.create_task(self._outcome())
        if self._attempt.cancelled and self._attempt.callee.is_async:
            self._call.cancel()
        outcome = await self._call
        me = asyncio.current_task()
        if me is not None and me.cancelling():
            # This agent is stopped, with the whole conversation: nothing is known of the attempt.
            raise asyncio.CancelledError
        self._attempt.end(outcome)
        self.context.self_ref.stop(drain=False)

    async def _outcome(self) -> AttemptOutcome:
        attempt = self._attempt
        try:
            value = await attempt.callee.call(ToolContext(attempt), attempt.arguments, self.context.run_blocking)
        except OperationStopped as error:
            return AttemptOutcome(AttemptEnding.STOPPED, error=error)
        except asyncio.CancelledError as error:
            # Of its own accord a tool that raises this has failed; asked to, it has stopped.
            return AttemptOutcome(AttemptEnding.STOPPED if attempt.cancelled else AttemptEnding.RAISED, error=error)
        except BaseException as error:  # noqa: BLE001 - whatever a tool raises is its outcome, SystemExit included
            return AttemptOutcome(AttemptEnding.RAISED, error=error)
        return attempt.returned(value)


class RunningAttempt:
    """One attempt that is under way."""

    __slots__ = ("attempt", "began", "ref", "serial", "watch", "written")

    def __init__(self, serial: int, attempt: ToolAttempt, began: float) -> None:
        self.serial = serial
        self.attempt = attempt
        self.began = began
        self.ref: AgentRef | None = None
        self.watch: AttemptDeadline | None = None
        self.written = 0.0
        """When its progress was last written, in seconds of the loop."""

    def stop(self, *, anyway: bool = False) -> bool:
        """Ask the tool to stop; return whether it is to."""
        asked = self.attempt.ask_to_stop(anyway=anyway)
        if asked and self.ref is not None:
            self.ref.tell(StopAttempt())
        return asked
