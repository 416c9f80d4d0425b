"""What a person may type that is no message: commands that begin with a slash."""

from __future__ import annotations

from coterie.cli.chat.screen import Screen
from coterie.cli.chat.teller import Cancel, Move, Settle
from coterie.cli.chat.words import step
from coterie.runtime import AgentRef

HELP = """\
  /operations          what runs, what waits, and what has ended
  /cancel op-1         ask an operation to stop
  /move op-3 0         put an operation that waits first in the queue
  /wait                wait until nothing is under way
  /quit                leave; what runs is taken up with --resume"""


class Commands:
    """Obeys them. What takes time is done by the teller."""

    def __init__(self, screen: Screen, teller: AgentRef) -> None:
        self._screen = screen
        self._teller = teller

    def obey(self, text: str) -> bool | None:
        """Obey a command; return None if it is none, and False if it ends the conversation."""
        if not text.lstrip().startswith("/"):
            return None
        name, *words = text.split()
        match name, words:
            case (("/quit" | "/exit"), []):
                return False
            case (("/operations" | "/ops"), []):
                shown = [step(each) for each in self._screen.chat.operations()]
                self._screen.line("\n".join(shown) or "  there are none", style="class:note")
            case "/cancel", [operation]:
                self._teller.ask(Cancel(operation=operation), timeout=None).result()
            case "/move", [operation, place] if place.isascii() and place.isdigit():
                self._teller.ask(Move(operation=operation, place=int(place)), timeout=None).result()
            case "/wait", []:
                self._teller.ask(Settle(), timeout=None).result()
            case _:
                self._screen.line(HELP, style="class:note")
        return True
