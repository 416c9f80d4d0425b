"""The agents that are supervised together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from coterie.concurrency import Completion, Rank, new_lock
from coterie.kernel import Address
from coterie.runtime.definition.spec import AgentSpec
from coterie.runtime.definition.supervision import RestartHistory, Strategy, Supervision
from coterie.runtime.references.mailbox_room import WaitServices

_PATIENCE = 5.0
"""Seconds that a group restart waits for members that do not go down; then it goes on without them."""


class SupervisedLife(Protocol):
    """The life cycle of a member. Called on the member's thread."""

    @property
    def history(self) -> RestartHistory:
        """The restarts of the member so far."""
        ...

    def fail(self, error: BaseException, message: str = "") -> None:
        """Fail the member."""
        ...

    def restart_with(self, group: GroupRestart) -> None:
        """Take the member down, to be rebuilt together with others."""
        ...

    def rebuild(self, group: GroupRestart) -> None:
        """Build the member again."""
        ...


class Supervised(Protocol):
    """An agent, as its supervision group sees it."""

    @property
    def address(self) -> Address:
        """Its address, whose number identifies it."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def spec(self) -> AgentSpec:
        """Its specification, with its own policy if it has one."""
        ...

    @property
    def life(self) -> SupervisedLife:
        """Its life cycle."""
        ...

    @property
    def services(self) -> WaitServices:
        """The timers of the runtime."""
        ...

    def control(self, action: Callable[[], object]) -> None:
        """Call `action` on its thread, between two messages."""
        ...

    def stop(self, *, drain: bool) -> Completion:
        """Begin to stop it."""
        ...


class SupervisionGroup:
    """The children of one agent, or the agents of a runtime that have no parent.

    Safe from any thread: `_lock` guards `_history` and `_when_empty`, and members are added and read while it is held. They
    leave by a single operation of the dictionary, without the lock: when a large group ends, all its members leave at once, and
    would queue for the lock. Members are in the order in which they were spawned.
    """

    def __init__(self, policy: Supervision, parent: Supervised | None) -> None:
        self.policy = policy
        self.parent = parent
        self._lock = new_lock(Rank.FAMILY)
        self._members: dict[int, Supervised] = {}
        self._history = RestartHistory()
        self._when_empty: list[Callable[[], None]] = []

    def members(self) -> list[Supervised]:
        """Return the living members, oldest first."""
        with self._lock:
            return self._present()

    def policy_of(self, cell: Supervised) -> Supervision:
        """Return the policy by which a member is supervised."""
        return cell.spec.supervision or self.policy

    def add(self, *cells: Supervised) -> None:
        """Take in new members."""
        with self._lock:
            for cell in cells:
                self._members[cell.address.number] = cell

    def replace(self, cell: Supervised) -> None:
        """Put another record of a member in the place of the one before, unless that has left."""
        with self._lock:
            if cell.address.number in self._members:
                self._members[cell.address.number] = cell

    def remove(self, number: int) -> None:
        """Forget a member, which has ended, or could not be started."""
        self._members.pop(number, None)
        if self._members:
            return
        with self._lock:
            # Waiters check `_members` under this lock, so the last leave cannot be missed.
            waiting, self._when_empty = ([], self._when_empty) if self._members else (self._when_empty, [])
        for then in waiting:
            then()

    def permit(self, cell: Supervised, now: float) -> int:
        """Return the number of the restart that a failed member gets, counted in its policy's window, or 0 for none."""
        policy = self.policy_of(cell)
        if policy.strategy is Strategy.ONE_FOR_ONE:
            return cell.life.history.permit(policy, now)
        with self._lock:
            return self._history.permit(policy, now)

    def begin_group_restart(self, failed: Supervised, delay: float) -> GroupRestart:
        """Begin to restart a member that failed and the others its policy names; return the restart it takes part in."""
        members = self.members()
        if self.policy_of(failed).strategy is Strategy.REST_FOR_ONE:
            members = members[members.index(failed) :] if failed in members else [failed]
        group = GroupRestart(members, delay)
        for cell in reversed(members):
            if cell is not failed:
                _tell_to_restart(cell, group)
        group.limit(failed)
        return group

    def stop_all(self, *, drain: bool, then: Callable[[], None]) -> None:
        """Stop all members, the youngest first; call `then` when all have ended."""
        with self._lock:
            members = self._present()
            if members:
                self._when_empty.append(then)
        for cell in reversed(members):
            cell.stop(drain=drain)
        if not members:
            then()

    def _present(self) -> list[Supervised]:
        # A copy is made in one step, however many leave meanwhile.
        return list(self._members.copy().values())


def _tell_to_restart(cell: Supervised, group: GroupRestart) -> None:
    cell.control(lambda: cell.life.restart_with(group))


class GroupRestart:
    """A restart of several agents: all go down, then come up one after the other, in the order of their spawning.

    Its methods are called on the threads of its members; `_lock` guards the members that are awaited.
    """

    def __init__(self, members: list[Supervised], delay: float) -> None:
        self._lock = new_lock(Rank.FAMILY)
        self._delay = delay
        self._going_down = set(members)
        self._to_build = list(members)
        self._being_built: Supervised | None = None
        self._started = False

    def limit(self, failed: Supervised) -> None:
        """Limit the wait for members that do not go down: a blocked agent must not keep the others down."""
        failed.services.timers.call_later(_PATIENCE + self._delay, self._go_on_without_them)

    def is_down(self, cell: Supervised) -> None:
        """Handle that a member is down."""
        with self._lock:
            if cell not in self._going_down:
                late = cell not in self._to_build and self._being_built is not cell
            else:
                late = False
                self._going_down.discard(cell)
        if late:
            # The others restarted without it. It comes up alone.
            _tell_to_build(cell, self)
        else:
            self._go_on_when_all_are_down(cell)

    def is_up(self, cell: Supervised) -> None:
        """Handle that a member has been built."""
        self._build_next(after=cell)

    def leave(self, cell: Supervised) -> None:
        """Remove a member that has ended or is stopping."""
        with self._lock:
            self._going_down.discard(cell)
            if cell in self._to_build:
                self._to_build.remove(cell)
        self._go_on_when_all_are_down(cell)
        self._build_next(after=cell)

    def _go_on_when_all_are_down(self, cell: Supervised) -> None:
        with self._lock:
            if self._going_down or self._started:
                return
            self._started = True
        cell.services.timers.call_later(self._delay, lambda: self._build_next(after=None))

    def _go_on_without_them(self) -> None:
        with self._lock:
            if self._started:
                return
            self._started = True
            self._to_build = [cell for cell in self._to_build if cell not in self._going_down]
            self._going_down.clear()
        self._build_next(after=None)

    def _build_next(self, after: Supervised | None) -> None:
        with self._lock:
            if self._being_built is not after or not self._to_build:
                self._being_built = None if self._being_built is after else self._being_built
                return
            cell = self._being_built = self._to_build.pop(0)
        _tell_to_build(cell, self)


def _tell_to_build(cell: Supervised, group: GroupRestart) -> None:
    cell.control(lambda: cell.life.rebuild(group))
