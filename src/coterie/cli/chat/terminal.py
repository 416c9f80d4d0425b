"""A conversation in a terminal: bars of running operations stay above the input line."""

from __future__ import annotations

import shutil
import sys

from prompt_toolkit import PromptSession
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.styles import Style

from coterie.cli.chat.agent import Say
from coterie.cli.chat.screen import Screen
from coterie.cli.chat.slash import Commands
from coterie.cli.chat.words import YOU, bars, wrapped
from coterie.conversation import Conversation, Operation
from coterie.kernel import Clock
from coterie.runtime import AgentRef

_STYLE = Style.from_dict({"you": "bold", "bar": "ansicyan"})
_COLOURS = {"you": "1", "result": "32", "past": "90", "note": "90", "problem": "31"}
"""The colour numbers of lines that stay."""
_REFRESH = 0.5
"""Seconds between two updates of the times at the bars, and until an operation for which a turn waits gets a bar too."""


class TerminalScreen(Screen):
    """Shows past events above the prompt, and running operations within it.

    One prompt lasts as long as the conversation, so nothing is ever printed between two of them.
    """

    def __init__(self, chat: Conversation, name: str, clock: Clock) -> None:
        super().__init__(chat, name)
        self._clock = clock
        self._keys = KeyBindings()
        self._keys.add("c-c")(_interrupt)
        self.session: PromptSession[None] = PromptSession(
            self._prompt,
            style=_STYLE,
            history=InMemoryHistory(),
            key_bindings=self._keys,
            erase_when_done=True,
            refresh_interval=_REFRESH,
        )

    @property
    def width(self) -> int:
        """Columns."""
        return shutil.get_terminal_size().columns

    def line(self, text: str, *, style: str = "") -> None:
        """Print text above the prompt. Safe from any thread while the prompt is there."""
        colour = _COLOURS.get(style)
        sys.stdout.write(f"\x1b[{colour}m{text}\x1b[0m\n" if colour else f"{text}\n")
        sys.stdout.flush()

    def refresh(self) -> None:
        """Draw the prompt anew. Safe from any thread."""
        self.session.app.invalidate()

    def progressed(self, operation: Operation) -> None:
        """Do nothing: the bars are drawn with the prompt."""

    def _prompt(self) -> FormattedText:
        width, writing, now = self.width, self.writing, self._clock.time()
        operations = [each for each in self.operations if each.background or now - (each.started_at or now) >= _REFRESH]
        parts = [("", wrapped(self.name, writing, width) + "\n")] if writing else []
        parts += [("class:bar", line + "\n") for line in bars(operations, width, now)]
        return FormattedText([*parts, ("class:you", f"{YOU}: ")])


def converse(screen: TerminalScreen, agent: AgentRef) -> None:
    """Send each typed line, until the end of input, Ctrl-C on an empty line, or ``/quit``. Answers appear when they are ready."""
    commands = Commands(screen, agent, blocking=False)

    def accept(buffer: Buffer) -> bool:
        text = buffer.text
        known = commands.run(text) if text.strip() else True
        if known is False:
            screen.session.app.exit()
        elif known is None:
            agent.ask(Say(text=text), timeout=None)
        return False  # the line is taken, and emptied

    screen.session.default_buffer.accept_handler = accept
    with patch_stdout(raw=True):
        try:
            screen.session.prompt()
        except (EOFError, KeyboardInterrupt):
            return


def _interrupt(event: KeyPressEvent) -> None:
    """Empty the line; leave if it is empty."""
    if event.current_buffer.text:
        event.current_buffer.reset()
    else:
        event.app.exit(exception=KeyboardInterrupt())
