"""Detection of agents that would keep a runtime from draining for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

from coterie.kernel import Address, Countdown
from coterie.messaging.envelope import Envelope
from coterie.runtime.cells.cell import AgentCell
from coterie.runtime.cells.states import Phase
from coterie.runtime.observation.quiescence import Activity, activity_of

_PATIENCE = 1.0
"""Seconds for which no other agent may have anything to do."""
_IN_A_ROW = 100
"""Messages that an agent must have handled meanwhile, all of them its own, before they count as endless."""
_HOPS = 25_000
"""Messages, for each that is under way at once, that an agent of a group must have handled before they count as endless."""
_FEW = 10
"""Messages that it must have handled after half the time of the drain."""
_START = 5.0
"""Seconds after which a start counts as endless also if messages wait for its end."""
_LOOKED_AT = 100
"""Queued messages of an agent that are looked at."""


class EndlessWork:
    """Finds agents that only keep themselves busy, by repeated looks, once no other agent has anything to do.

    These are agents that handle one message after the other that they told themselves, groups of agents that do so among
    themselves, and agents whose start does not end, though it has lasted for long or no message waits for its end. For one
    thread. `timeout` is the number of seconds for the whole drain.
    """

    def __init__(self, cells: Callable[[], list[AgentCell]], timeout: float) -> None:
        self._cells = cells
        self._patience = Countdown(_PATIENCE)
        self._handled: dict[int, int] = {}
        """The active agents of the last look by number, with the count of messages that each had handled at first."""
        self._group = BusyGroup(timeout / 2)

    def look(self) -> list[AgentCell]:
        """Return the agents that count as endless by now."""
        cells = self._cells()
        active = [cell for cell in cells if activity_of(cell) is not Activity.QUIET]
        self._group.look(cells, active)
        if not all(_starts(cell) or _tells_itself(cell) or cell.address in self._group for cell in active):
            self._handled = {}
            self._group.forget()
            return []
        alone = [cell for cell in active if cell.address not in self._group]
        if not self._handled:
            self._patience = Countdown(_PATIENCE)
        self._handled = {cell.address.number: self._handled.get(cell.address.number, cell.outcomes.handled) for cell in alone}
        over = self._patience.over
        endless = [cell for cell in alone if over and (_starts(cell) or self._count(cell) >= _IN_A_ROW)]
        return endless + [cell for cell in active if cell.address in self._group.endless]

    def _count(self, cell: AgentCell) -> int:
        return cell.outcomes.handled - self._handled[cell.address.number]


class BusyGroup:
    """Agents that handle only messages from each other. For one thread.

    No rule can tell a group that goes on for ever from one that ends after many messages. It counts as endless if one of its
    agents has handled `_HOPS` messages for each that is under way at once, or if the group has been the only one at work
    for `half` the time of the drain. An agent that only receives from the group is left to drain.
    """

    def __init__(self, half: float) -> None:
        self._half = half
        self._before: dict[Address, int] = {}
        """The messages that each agent had handled at the last look."""
        self._changed: dict[Address, Countdown] = {}
        """The agents that have handled messages lately."""
        self._newest: int | None = None
        """The highest number of an agent at the first look: agents that were spawned later come from those that drain."""
        self.forget()

    def forget(self) -> None:
        """Begin anew: other agents are at work too."""
        self._first: dict[Address, int] = {}
        """The agents of the group, with the count of messages that each had handled when it was first seen."""
        self._senders: set[Address] = set()
        self._most = 1
        """The highest number of messages that were under way at a look."""
        self._patience = Countdown(_PATIENCE)
        self._time = Countdown(self._half)
        self.endless: set[Address] = set()
        """The agents that count as endless by now."""

    def __contains__(self, address: Address) -> bool:
        return address in self._first

    def look(self, cells: Iterable[AgentCell], active: Iterable[AgentCell]) -> None:
        """Look which agents handle only messages from each other."""
        counts = {cell.address: cell.outcomes.handled for cell in cells}
        busy = {cell.address: _under_way(cell) for cell in active}
        changed = {address for address, count in counts.items() if self._before.get(address, count) != count}
        self._before = counts
        self._changed = {address: left for address, left in self._changed.items() if not left.over and address in counts}
        self._changed |= {address: Countdown(_PATIENCE) for address in changed}
        # An agent that has passed its message on is idle until it gets the next one.
        group = {address for address in counts if address in self._changed or busy.get(address)}
        if self._newest is None:
            self._newest = max((address.number for address in counts), default=0)
        while outside := {each for each in group if any(not self._is_inside(message, group) for message in busy.get(each, ()))}:
            group -= outside
        shared = {address for address in group if any(_sender(each) != address for each in busy.get(address, ()))}
        if not self._first and not shared:
            return
        self._first = {address: self._first.get(address, counts[address]) for address in group}
        self._senders |= {
            sender for each in group for message in busy.get(each, ()) if (sender := _sender(message)) is not None
        }
        self._most = max(self._most, sum(len(cell.mailbox) for cell in active if cell.address in group))
        most = max((counts[address] - first for address, first in self._first.items()), default=0)
        if self._patience.over and most >= (_FEW if self._time.over else _HOPS * self._most):
            self.endless = self._senders & group

    def _is_inside(self, message: Envelope, group: set[Address]) -> bool:
        sender = _sender(message)
        return sender is not None and (sender in group or sender.number > (self._newest or 0))


def _starts(cell: AgentCell) -> bool:
    if cell.life.phase not in (Phase.STARTING, Phase.RESTARTING):
        return False
    life = cell.incarnation
    overdue = life is not None and cell.now() - life.began > _START
    return overdue or not (len(cell.mailbox) or cell.mailbox.waiting)


def _under_way(cell: AgentCell) -> list[Envelope]:
    """Return the messages of an agent, in hand and queued."""
    return list(chain(cell.in_hand(), cell.mailbox.peek(_LOOKED_AT)))


def _sender(message: Envelope) -> Address | None:
    return None if message.sender is None else message.sender.address


def _tells_itself(cell: AgentCell) -> bool:
    return all(_sender(each) == cell.address for each in _under_way(cell))
