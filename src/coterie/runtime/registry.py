"""The registry of agents, their watchers, and the subscribers of topics."""

from __future__ import annotations

from coterie.concurrency import Rank, new_lock
from coterie.errors import NameTaken, UnknownAgent
from coterie.messaging import Message, MessagePriority
from coterie.runtime.cells.cell import AgentCell
from coterie.runtime.cells.metrics import AgentMetrics
from coterie.runtime.observation.health import AgentHealth
from coterie.runtime.references.lifecycle_events import AgentDown
from coterie.runtime.references.reference import AgentRef

_FAILURES_KEPT = 1_000


class Registry:
    """The agents of one runtime. Safe from any thread: tables change while `_lock` is held; nothing is sent then."""

    def __init__(self) -> None:
        self._lock = new_lock(Rank.REGISTRY)
        self._by_name: dict[str, AgentCell] = {}
        self._by_number: dict[int, AgentCell] = {}
        self._last_number = 0
        self._default_names: dict[int, dict[str, int]] = {}
        """The last numbers of names by default, for each parent by its number; 0 stands for no parent."""
        self._watchers: dict[int, dict[AgentRef, None]] = {}
        self._watched_by: dict[int, set[int]] = {}
        """The numbers of the agents that each local agent watches, so that entries of an ended watcher are removed."""
        self._topics: dict[str, dict[AgentRef, None]] = {}
        self._topics_of: dict[int, set[str]] = {}
        self._ended = AgentMetrics()
        self._failures: dict[int, tuple[AgentHealth, BaseException]] = {}

    def reserve(self, name: str | None, default: str, parent: int = 0) -> tuple[str, int]:
        """Return a name and a number for a new agent. Raises `NameTaken`.

        Without a name it gets `default` and a count. The name counts as taken from now on.
        """
        if name is None:
            return self.reserve_many(default, 1, parent)[0]
        with self._lock:
            if name in self._by_name:
                raise NameTaken(name)
            return self._take(name)

    def reserve_many(self, default: str, count: int, parent: int = 0) -> list[tuple[str, int]]:
        """Return names and numbers for new agents that were given no names."""
        found: list[tuple[str, int]] = []
        with self._lock:
            counts = self._default_names.setdefault(parent, {})
            last = counts.get(default, 0)
            while len(found) < count:
                last += 1
                name = f"{default}-{last}"
                if name not in self._by_name:
                    found.append(self._take(name))
            counts[default] = last
        return found

    def _take(self, name: str) -> tuple[str, int]:
        self._last_number += 1
        self._by_name[name] = None  # type: ignore[assignment] # a place for `add`, within the same call of spawn
        return name, self._last_number

    def withdraw(self, name: str, number: int) -> None:
        """Remove the entries of an agent that could not be started."""
        with self._lock:
            self._by_name.pop(name, None)
            self._by_number.pop(number, None)

    def add(self, *cells: AgentCell) -> None:
        """Add agents."""
        with self._lock:
            for cell in cells:
                self._by_name[cell.name] = cell
                self._by_number[cell.address.number] = cell

    def free_name(self, cell: AgentCell) -> bool:
        """Release the name of an agent that is about to end. Return False if another record has its name."""
        with self._lock:
            if self._by_name.get(cell.name) is not cell:
                return False
            del self._by_name[cell.name]
            return True

    def replace(self, cell: AgentCell, successor: AgentCell) -> bool:
        """Put another record in the place of an agent's. Return False if the agent has ended, or is about to."""
        with self._lock:
            if self._by_name.get(cell.name) is not cell:
                return False
            self._by_name[cell.name] = self._by_number[cell.address.number] = successor
            return True

    def unregister(self, cell: AgentCell, health: AgentHealth | None) -> None:
        """Remove an agent that has ended, but keep its counts, and, if it failed, its error and its last health."""
        error = cell.life.error
        with self._lock:
            number = cell.address.number
            if self._by_number.pop(number, None) is None:
                return
            self._default_names.pop(number, None)
            for topic in self._topics_of.pop(number, ()):
                _discard(self._topics, topic, cell.reference)
            for watched in self._watched_by.pop(number, ()):
                self._watchers.get(watched, {}).pop(cell.reference, None)
            self._ended = self._ended.plus(cell.outcomes.metrics())
            if error is not None and health is not None:
                self._failures[number] = (health, error)
                if len(self._failures) > _FAILURES_KEPT:
                    del self._failures[next(iter(self._failures))]

    def after_fork_in_child(self) -> list[AgentCell]:
        """Replace the lock in a forked process; return the agents that lived at the fork."""
        self._lock = new_lock(Rank.REGISTRY)
        return list(self._by_number.values())

    def find(self, name: str) -> AgentCell | None:
        """Return the living agent of that name."""
        return self._by_name.get(name)

    def by_number(self, number: int) -> AgentCell | None:
        """Return the living agent of that number."""
        return self._by_number.get(number)

    def resolve(self, agent: AgentRef | str, node: str) -> AgentCell:
        """Return the living agent of a name or a reference, on this node. Raises `UnknownAgent`."""
        if isinstance(agent, str):
            cell = self.find(agent)
        elif agent.address.node == node:
            cell = self.by_number(agent.address.number) if agent.address.number else self.find(agent.name)
        else:
            cell = None
        if cell is None:
            raise UnknownAgent(agent if isinstance(agent, str) else agent.address, "no such agent lives here")
        return cell

    @property
    def spawned(self) -> int:
        """The number of agents spawned so far."""
        return self._last_number

    def cells(self) -> list[AgentCell]:
        """Return the living agents, oldest first."""
        with self._lock:
            return list(self._by_number.values())

    def counts(self) -> tuple[AgentMetrics, list[AgentCell]]:
        """Return the summed counts of the agents that have ended, and the living, as of one moment."""
        with self._lock:
            return self._ended, list(self._by_number.values())

    def failures(self) -> list[AgentHealth]:
        """Return the last health of agents that failed for good, oldest first."""
        with self._lock:
            return [health for health, _ in self._failures.values()]

    def failure_of(self, number: int) -> BaseException | None:
        """Return the error with which the agent of a number failed for good, if it did."""
        with self._lock:
            return self._failures[number][1] if number in self._failures else None

    def watch(self, cell: AgentCell, watcher: AgentRef) -> None:
        """Notify `watcher` about an agent; at once if it has ended."""
        with self._lock:
            number = cell.address.number
            alive = number in self._by_number
            local = watcher.address.node == cell.address.node
            if alive and (not local or watcher.address.number in self._by_number):
                self._watchers.setdefault(number, {})[watcher] = None
                if local:
                    self._watched_by.setdefault(watcher.address.number, set()).add(number)
        if not alive:
            error = str(cell.life.error or "")
            _send(watcher, AgentDown(cell.reference, cell.life.phase.value, error))

    def unwatch(self, cell: AgentCell, watcher: AgentRef) -> None:
        """Notify `watcher` about an agent no longer."""
        with self._lock:
            watchers = self._watchers.get(cell.address.number)
            if watchers is not None:
                watchers.pop(watcher, None)
            if watcher.address.node == cell.address.node:
                self._watched_by.get(watcher.address.number, set()).discard(cell.address.number)

    def notify_watchers(self, cell: AgentCell, event: Message, *, last: bool = False) -> None:
        """Send a lifecycle event of an agent to its watchers; with `last`, forget them."""
        number = cell.address.number
        # No lock: each step is one operation of a dictionary, and no watcher is added to an agent that is removed.
        watchers = self._watchers.pop(number, None) if last else self._watchers.get(number)
        if last and watchers:
            with self._lock:
                for watcher in watchers:
                    self._watched_by.get(watcher.address.number, set()).discard(number)
        for watcher in watchers.copy() if watchers else ():
            here = self._by_number.get(watcher.address.number) if watcher.address.node == cell.address.node else None
            # A watcher that is stopping, such as a parent that waits for its children, gets no more events.
            if watcher.is_alive and not (here is not None and here.mailbox.closed):
                _send(watcher, event)

    def subscribe(self, topic: str, cell: AgentCell) -> None:
        """Send an agent the messages that are published on a topic."""
        with self._lock:
            if cell.address.number in self._by_number:
                self._topics.setdefault(topic, {})[cell.reference] = None
                self._topics_of.setdefault(cell.address.number, set()).add(topic)

    def unsubscribe(self, topic: str, cell: AgentCell) -> None:
        """Send an agent no more messages of a topic."""
        with self._lock:
            _discard(self._topics, topic, cell.reference)
            self._topics_of.get(cell.address.number, set()).discard(topic)

    def listeners(self, topic: str | None) -> list[AgentRef]:
        """Return the subscribers of a topic, or for None all living agents."""
        return [cell.reference for cell in self.cells()] if topic is None else self.subscribers(topic)

    def subscribers(self, topic: str) -> list[AgentRef]:
        """Return the subscribers of a topic."""
        subscribed = self._topics.get(topic)
        return list(subscribed.copy()) if subscribed else []


def _discard(tables: dict[str, dict[AgentRef, None]], key: str, reference: AgentRef) -> None:
    """Remove a reference from one of several tables, and the table with its last reference."""
    table = tables.get(key)
    if table is not None:
        table.pop(reference, None)
        if not table:
            del tables[key]


def _send(watcher: AgentRef, event: Message) -> None:
    watcher.tell(event, priority=MessagePriority.SYSTEM)
