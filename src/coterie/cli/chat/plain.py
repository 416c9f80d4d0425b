"""A conversation over a pipe: each input line is a message, and its events are output lines."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from coterie.cli.chat.agent import Say, Settle
from coterie.cli.chat.screen import Screen
from coterie.cli.chat.slash import Commands
from coterie.cli.chat.words import step
from coterie.conversation import Conversation, Operation
from coterie.runtime import AgentRef

_WIDTH = 100_000
"""Lines are not broken: a program reads them."""


class PlainScreen(Screen):
    """Prints a line for each event, at once."""

    def __init__(self, chat: Conversation, name: str) -> None:
        super().__init__(chat, name)
        self._last: dict[int, str] = {}

    @property
    def width(self) -> int:
        """Columns."""
        return _WIDTH

    def line(self, text: str, *, style: str = "") -> None:  # noqa: ARG002 - there are no styles
        """Print text."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def refresh(self) -> None:
        """Do nothing: every line has been printed."""

    def progressed(self, operation: Operation) -> None:
        """Print the status of an operation if it has changed."""
        text = step(operation)
        if self._last.get(operation.number) != text:
            self._last[operation.number] = text
            self.line(text)


def converse(lines: Iterable[str], screen: PlainScreen, agent: AgentRef, *, wait: bool) -> None:
    """Send each line when the line before it has been answered; at the end wait for running operations, if `wait`."""
    commands = Commands(screen, agent, blocking=True)
    for line in lines:
        text = line.rstrip("\r\n")
        if not text.strip():
            continue
        known = commands.run(text)
        if known is False:
            return
        if known is None:
            agent.ask(Say(text=text), timeout=None).result()
    if wait:
        agent.ask(Settle(), timeout=None).result()
