"""A conversation in a terminal: bars of what runs stay above the line that is being typed."""

from __future__ import annotations

import shutil

from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.styles import Style

from coterie.cli.chat.commands import Commands
from coterie.cli.chat.screen import Screen
from coterie.cli.chat.teller import Say
from coterie.cli.chat.words import YOU, bars, wrapped
from coterie.conversation import Conversation, Operation
from coterie.kernel import Clock
from coterie.runtime import AgentRef

_STYLE = Style.from_dict(
    {
        "you": "bold",
        "answer": "",
        "result": "ansigreen",
        "past": "ansibrightblack",
        "note": "ansibrightblack",
        "problem": "ansired",
        "bar": "ansicyan",
    }
)
_REFRESH = 0.5
"""Seconds after which the times at the bars are counted anew."""


class TerminalScreen(Screen):
    """Shows what has happened above the prompt, and what is happening as part of it."""

    def __init__(self, chat: Conversation, name: str, clock: Clock) -> None:
        super().__init__(chat, name)
        self._clock = clock
        self.session: PromptSession[str] = PromptSession(
            self._prompt, style=_STYLE, history=InMemoryHistory(), erase_when_done=True, refresh_interval=_REFRESH
        )

    @property
    def width(self) -> int:
        """Columns."""
        return shutil.get_terminal_size().columns

    def line(self, text: str, *, style: str = "") -> None:
        """Print text above the prompt."""
        print_formatted_text(FormattedText([(style, text)]), style=_STYLE)

    def refresh(self) -> None:
        """Draw the prompt anew."""
        self.session.app.invalidate()

    def progressed(self, operation: Operation) -> None:
        """Do nothing: the bars are drawn with the prompt."""

    def _prompt(self) -> FormattedText:
        width, writing, operations = self.width, self.writing, self.operations
        parts = [("class:answer", wrapped(self.name, writing, width) + "\n")] if writing else []
        parts += [("class:bar", line + "\n") for line in bars(operations, width, self._clock.time())]
        return FormattedText([*parts, ("class:you", f"{YOU}: ")])


def converse(screen: TerminalScreen, teller: AgentRef) -> None:
    """Send what is typed, until the end of input, Ctrl-C on an empty line, or ``/quit``. The answers come as they come."""
    commands = Commands(screen, teller)
    with patch_stdout(raw=True):
        while True:
            try:
                text = screen.session.prompt()
            except KeyboardInterrupt:
                if screen.session.default_buffer.text:
                    continue
                return
            except EOFError:
                return
            if not text.strip():
                continue
            known = commands.obey(text)
            if known is False:
                return
            if known is None:
                teller.ask(Say(text=text), timeout=None)
