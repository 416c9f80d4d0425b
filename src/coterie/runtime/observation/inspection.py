"""Pausing and inspecting one agent."""

from __future__ import annotations

import reprlib
from collections.abc import Callable

import msgspec

from coterie.concurrency import Signal
from coterie.concurrency.threads import stack_of
from coterie.kernel.displays import html_of
from coterie.runtime.cells.await_stacks import await_stacks
from coterie.runtime.cells.cell import AgentCell
from coterie.runtime.cells.states import Suspension
from coterie.runtime.observation.health import AgentHealth

_SHOWN = 100
"""Queued messages that are shown."""


class Inspection(msgspec.Struct, frozen=True):
    """The inner state of an agent, as text."""

    health: AgentHealth
    attributes: dict[str, str] | None
    """The attributes of the agent by name; None if its thread was busy elsewhere, so that they could not be read."""
    handling: list[str]
    """The messages that handlers are handling."""
    queued: list[str]
    """The first hundred messages that are queued."""
    children: list[str]
    tasks: int
    """Background tasks."""
    stack: str
    """The stack of its thread, if it is on one, and of each handler and task that awaits."""


def pause(cell: AgentCell) -> Signal:
    """Pause an agent. The returned signal is set when the current message, if any, has ended."""
    at_rest = Signal()

    def hold() -> None:
        cell.hold(Suspension.PAUSED)
        cell.call_at_rest(at_rest.set)

    cell.control(hold)
    cell.ended.add_callback(at_rest.set)
    return at_rest


def restart(cell: AgentCell) -> None:
    """Let an agent's supervision handle a failure that somebody outside requested."""
    cell.control(lambda: cell.life.fail(RuntimeError("its restart was requested")))


def resume(cell: AgentCell) -> None:
    """Resume a paused agent."""
    cell.control(lambda: cell.release(Suspension.PAUSED))


def inspect(cell: AgentCell, examine: Callable[[AgentCell], AgentHealth], timeout: float) -> Inspection:
    """Return the inner state of an agent, read on its own thread if that is free within `timeout` seconds."""
    attributes: dict[str, str] | None = None
    seen = Signal()

    def look() -> None:
        nonlocal attributes
        if cell.incarnation is not None:
            values = vars(cell.incarnation.agent)
            attributes = {name: _shown(value) for name, value in values.items() if name != "_coterie_context"}
        seen.set()

    cell.control(look)
    cell.ended.add_callback(seen.set)
    seen.wait(timeout)
    incarnation = cell.incarnation
    children = cell.children.members() if cell.children is not None else []
    return Inspection(
        health=examine(cell),
        attributes=attributes,
        handling=[_shown(envelope.message) for envelope in cell.in_hand()],
        queued=[_shown(envelope.message) for envelope in cell.mailbox.peek(_SHOWN)],
        children=[child.name for child in children],
        tasks=len(incarnation.tasks) if incarnation is not None else 0,
        stack=stack_of_agent(cell),
    )


def stack_of_agent(cell: AgentCell) -> str:
    """Return the stack of the agent's thread, and where its handlers and tasks await."""
    return "\n".join(filter(None, [stack_of(cell.executor.thread_id), await_stacks(cell.incarnation)]))


def _shown(value: object) -> str:
    try:
        return _SHORT.repr(value)
    except Exception as error:  # noqa: BLE001 - the repr of user classes may raise
        return f"<{type(value).__qualname__}, whose repr raised {type(error).__name__}>"


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 1_000
_SHORT.maxlist = _SHORT.maxdict = _SHORT.maxtuple = _SHORT.maxset = 100


def display(runtime: object) -> str | None:
    """Return the display of a runtime in a notebook; None without the extra `console`."""
    return html_of(runtime, "coterie.console.notebook:runtime_html")
