"""The choice of turns for a queue, and the look after a queue whose turns take long."""

from __future__ import annotations

import inspect
import sys
from collections import deque
from collections.abc import Iterator
from typing import Any

from coterie.kernel import Clock
from coterie.rounds.engine.deadlines import Deadlines
from coterie.rounds.engine.executors import ExecutorPool
from coterie.rounds.engine.reports import Inbox, take
from coterie.rounds.engine.tokens import Token
from coterie.rounds.engine.turn_queue import QueuedTurn, QueueRunner, RunQueue, TurnQueue, Unfinished
from coterie.rounds.graph import Stage
from coterie.rounds.participant import Participant
from coterie.rounds.turn import Turn
from coterie.runtime import AgentRef, Dispatcher, Leased
from coterie.runtime.dispatchers.computing import Starvation

_FEWEST = 4
"""Turns for which a queue is worth it. Fewer go to the executors of their agents."""
_LOOK = 0.005
"""Seconds of real time between two looks at a queue that runs."""
_FAST = 5
"""Turns that must end between two looks, or the others are taken out of the queue."""
_HEAVY = 0.0005
"""Seconds of processor time that a turn may take in a queue: longer ones may as well use several processors."""
_SHORTEST = 0.1
"""Seconds. With a shorter limit of time for turns, there are no queues."""
_MOST_AVOIDED = 64
"""The maximum number of rounds for which a stage does without queues after a turn that took long."""
_ALWAYS = 2**63


class TurnQueues:
    """Give plain turns of many agents to one thread, instead of waking a thread for each. Only the engine's thread uses it.

    A turn that waits must hold up no other. So the engine looks at the queue every 5 ms while it runs: if hardly a turn has ended
    since the last look, those that wait are taken out and given to the executors of their agents, and their stage does
    without a queue for some rounds. Turns of a stage that is ``async``, of groups and of runtime agents never go to a queue; nor
    does any turn with a dispatcher other than `Leased`, which may promise each agent a thread, or without an interpreter lock.
    """

    def __init__(
        self,
        pool: ExecutorPool,
        deadlines: Deadlines,
        inbox: Inbox,
        clock: Clock,
        timeout: float | None,
        dispatcher: Dispatcher | None = None,
    ) -> None:
        leased = dispatcher is None or isinstance(dispatcher, Leased)
        locked = getattr(sys, "_is_gil_enabled", lambda: True)()
        self._used = leased and locked and (timeout is None or timeout >= _SHORTEST)
        self._pool = pool
        self._deadlines = deadlines
        self._inbox = inbox
        self._timeout = timeout
        self._waits: dict[tuple[str, type], bool] = {}
        """Whether a stage is ``async``, by its name and the class of the agent."""
        self._avoided: dict[str, tuple[int, int]] = {}
        """Until which round a stage does without queues, and for how many rounds it did the last time."""
        self._queue = self._new_queue()
        self._given: dict[int, QueuedTurn] = {}
        """The turns that were given to the queue, and whose end is not known, by identity."""
        self._running = False
        self._clock = clock
        self._began = 0.0
        """When the queue was last started, on the world's monotonic clock."""
        self._ready: deque[Any] = deque()
        self._held_up: dict[TurnQueue, dict[int, QueuedTurn]] = {}
        """The queues whose last turn takes long, with that turn."""
        self._hosts: dict[TurnQueue, AgentRef] = {}
        self._spare: list[TurnQueue] = []
        self._starvation = Starvation()

    def takes(self, stage: Stage, participant: Participant, number: int) -> bool:
        """Return whether the turn of an agent in a stage of a round may go to a queue."""
        if not self._used or not participant.may_queue or self._pool.stuck or participant.leaves(stage.work):
            return False
        avoided = self._avoided.get(stage.name)
        if avoided is not None and number < avoided[0]:
            return False
        key = (stage.name, participant.kind)
        waits = self._waits.get(key)
        if waits is None:
            work = stage.work if stage.work is not None else getattr(participant.kind, stage.name, None)
            waits = self._waits[key] = inspect.iscoroutinefunction(work)
        return not waits

    def add(self, token: Token, turn: Turn, *, keep: bool) -> None:
        """Give a turn to the queue. It begins at the latest with `next`."""
        given = QueuedTurn(token, turn, keep, self._pool.performer_of(token), token.hosts)
        self._given[id(turn)] = given
        self._queue.waiting.append(given)

    def next(self) -> Any:
        """Start the turns that were given, and wait for a report, or for whatever else is put into the inbox, and return it.

        Return None after a look at a queue, without a report.
        """
        if not self._ready:
            if self._queue.waiting and not self._running:
                if len(self._queue.waiting) < _FEWEST:
                    self._hand_back()
                else:
                    self._start()
            item = take(self._inbox, _LOOK if self._running else None)
            if item is None:
                self._look()
            else:
                self._sort(item)
        return self._ready.popleft() if self._ready else None

    def heard(self) -> Iterator[Any]:
        """Yield the next report if there is one after a wait, and all others that have arrived."""
        report = self.next()
        while report is not None:
            yield report
            report = self.next() if self._ready or not self._inbox.empty() else None

    def _sort(self, item: Any) -> None:
        """Make the reports of an item of the inbox ready."""
        if not isinstance(item, TurnQueue):
            self._ready.append(item)
            return
        given = self._held_up.pop(item, None)
        if given is None and item is not self._queue:
            # It was given up.
            return
        self._take_ended(item, self._given if given is None else given)
        if given is not None:
            self._spare.append(item)
            return
        self._running = False
        if len(self._given) > len(item.waiting):
            # Turns that were forfeited before they began were passed over.
            self._given = {id(each.turn): each for each in item.waiting}
        if item.mean > _HEAVY and item.current is not None:
            self._avoid(item.current.turn)

    def give_up(self, turn: Turn) -> None:
        """Count the thread of a turn as stuck, if a queue does it."""
        for queue, given in self._held_up.items():
            if id(turn) in given:
                del self._held_up[queue]
                self._pool.give_up(self._hosts.pop(queue))
                return

    def release(self) -> None:
        """Take the turns that wait out of the queue: the engine waits for all that run, and a turn may take long."""
        if self._queue.waiting or self._running:
            self._hold_up()

    def close(self) -> None:
        """Begin no further turn."""
        self._queue.waiting.clear()

    def _start(self) -> None:
        queue = self._queue
        host = self._hosts.get(queue)
        if host is None:
            host = self._hosts[queue] = self._pool.spawn(QueueRunner, "turn-queue", len(self._hosts))
        self._running, self._began = True, self._clock.monotonic()
        host.tell(RunQueue(queue))

    def _look(self) -> None:
        """Make the reports of turns that have ended ready, and take the others out of the queue if hardly any has."""
        queue = self._queue
        self._take_ended(queue, self._given)
        if len(self._ready) < _FAST and self._given and not self._starvation.found([queue.native]):
            self._hold_up()

    def _hold_up(self) -> None:
        """Go on with another queue, without the turn that this one does."""
        queue = self._queue
        self._hand_back()
        # The thread may be about to begin its first turn: then `since` is of an earlier run.
        since = max(queue.since, self._began)
        for given in self._given.values():
            self._avoid(given.turn)
            self._deadlines.begin(given.turn, since)
        if self._running:
            self._held_up[queue] = self._given
            self._queue = self._spare.pop() if self._spare else self._new_queue()
            self._given, self._running = {}, False

    def _hand_back(self) -> None:
        """Give the turns that wait in the queue to the executors of their agents."""
        waiting = self._queue.waiting
        while waiting:
            try:
                given = waiting.popleft()
            except IndexError:
                # The queue was quicker.
                return
            del self._given[id(given.turn)]
            if not given.turn.over:
                self._pool.act(given.token, given.turn, keep=given.keep)

    def _take_ended(self, queue: TurnQueue, given: dict[int, QueuedTurn]) -> None:
        """Make the reports of the turns of a queue that have ended ready, and let those go on that must be awaited."""
        done = queue.done
        while done:
            end = done.popleft()
            if isinstance(end, Unfinished):
                del given[id(end.turn.turn)]
                self._avoided[end.turn.turn.stage] = _ALWAYS, _ALWAYS
                self._pool.go_on(end.turn, end.rest, end.began)
            else:
                del given[id(end.turn)]
                self._ready.append(end)

    def _avoid(self, turn: Turn) -> None:
        until, rounds = self._avoided.get(turn.stage, (0, 0))
        if until <= turn.round:
            rounds = min(max(2, 2 * rounds), _MOST_AVOIDED)
            self._avoided[turn.stage] = turn.round + rounds, rounds

    def _new_queue(self) -> TurnQueue:
        return TurnQueue(self._inbox, self._timeout, self._pool.host_of_queued)
