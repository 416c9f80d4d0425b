"""Commands that begin with a slash."""

from __future__ import annotations

from coterie.cli.chat.agent import Cancel, Decide, Move, Settle, Stop
from coterie.cli.chat.screen import Screen
from coterie.cli.chat.words import step
from coterie.messaging import Request
from coterie.runtime import AgentRef

HELP = """\
  /operations          what runs, what waits, and what has ended
  /cancel op-1         ask an operation to stop
  /move op-3 0         put an operation that waits first in the queue
  /approve op-1        let an operation begin that awaits approval
  /reject op-1 why     do not let it begin
  /edit op-1 {...}     change its arguments, as JSON; it then awaits approval anew
  /resolve op-1 succeeded|failed|retry
                       say what became of an operation that was interrupted
  /stop                stop the answer that is being written
  /wait                wait until nothing is under way
  /quit                leave; what runs is taken up with --resume"""


class Commands:
    """Runs slash commands. The agent of the conversation does those that take time."""

    def __init__(self, screen: Screen, agent: AgentRef, *, blocking: bool) -> None:
        self._screen = screen
        self._agent = agent
        self._blocking = blocking

    def run(self, text: str) -> bool | None:
        """Run a slash command; return None if the text is a message, and False if the command ends the conversation."""
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
                self._do(Cancel(operation=operation))
            case "/move", [operation, place] if place.isascii() and place.isdigit():
                self._do(Move(operation=operation, place=int(place)))
            case (("/approve" | "/reject" | "/edit" | "/resolve"), [operation, *rest]) if rest or name in (
                "/approve",
                "/reject",
            ):
                said = text.split(maxsplit=2)[2] if rest else ""
                self._do(Decide(verb=name[1:], operation=operation, text=said))
            case "/stop", []:
                self._do(Stop())
            case "/wait", []:
                self._do(Settle())
            case _:
                self._screen.line(HELP, style="class:note")
        return True

    def _do(self, request: Request[bool]) -> None:
        reply = self._agent.ask(request, timeout=None)
        if self._blocking:
            reply.result()
