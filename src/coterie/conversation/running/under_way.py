"""An attempt that is under way, as the conversation sees it."""

from __future__ import annotations

from coterie.conversation.running.watch import AttemptDeadline
from coterie.conversation.running.worker import Halt
from coterie.conversation.tools.attempt import ToolAttempt
from coterie.runtime import AgentRef


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
            self.ref.tell(Halt())
        return asked
