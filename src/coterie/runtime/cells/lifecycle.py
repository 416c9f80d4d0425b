"""The life cycle of an agent: it is built, fails, is rebuilt, and stops."""

from __future__ import annotations

from logging import ERROR

from coterie.concurrency import Timer
from coterie.errors import StartFailed, StateUnreadable, StorageError, describe
from coterie.errors.general import RestartsExhausted, SnapshotFailed
from coterie.errors.records import without_frames
from coterie.runtime.cells.grace import GracePeriod
from coterie.runtime.cells.incarnation import Incarnation
from coterie.runtime.cells.lifecycle_owner import LifecycleOwner
from coterie.runtime.cells.states import Phase, Suspension
from coterie.runtime.cells.supervision_group import GroupRestart
from coterie.runtime.cells.takedown import Procedure, run_hook, take_down
from coterie.runtime.definition.agent import Context
from coterie.runtime.definition.supervision import RestartHistory, Strategy
from coterie.runtime.references.lifecycle_events import AgentDown, AgentFailed, AgentRestarted


class Lifecycle:
    """The life cycle of one agent. It runs on the agent's thread; other threads may read the phase."""

    __slots__ = (
        "_backoff",
        "_building",
        "_cause",
        "_cell",
        "_drain",
        "_grace",
        "_group_restart",
        "_history",
        "_reloading",
        "draining",
        "error",
        "phase",
    )

    def __init__(self, cell: LifecycleOwner) -> None:
        self._cell = cell
        self.phase = Phase.STARTING
        self.draining = False
        """Whether the agent stops as soon as its mailbox is empty."""
        self.error: BaseException | None = None
        """The error with which the agent failed for good."""
        self._building = False
        self._grace: GracePeriod | None = None
        self._reloading = False
        self._drain: bool | None = None
        """How the agent has been told to stop; None if it has not."""
        self._cause = ""
        self._history: RestartHistory | None = None
        self._backoff: Timer | None = None
        self._group_restart: GroupRestart | None = None

    @property
    def ended(self) -> bool:
        """True once the agent has stopped or failed for good."""
        return self.phase is Phase.STOPPED or self.phase is Phase.FAILED

    @property
    def ready(self) -> bool:
        """True while the agent takes messages, and is not being rebuilt after a failure."""
        return self.phase in (Phase.STARTING, Phase.RUNNING) and not self._cell.mailbox.closing

    @property
    def cause(self) -> str:
        """The error for which the agent is down, as text; empty while it runs."""
        return "" if self.phase is Phase.RUNNING else self._cause

    @property
    def history(self) -> RestartHistory:
        """When the agent was restarted."""
        if self._history is None:
            self._history = RestartHistory()
        return self._history

    def start(self) -> None:
        """Build the agent for the first time. Only as a step between two messages, for it begins at once."""
        self._run(self._build(), at_once=True)

    def fail(self, error: BaseException, message: str = "") -> None:
        """End this incarnation because of an error, and apply the supervision policy."""
        cell = self._cell
        cell.last_error = describe(error)
        if self.ended or (self.phase in (Phase.RESTARTING, Phase.STOPPING) and not self._building and not self.draining):
            # This incarnation is ending already: a further error changes nothing, but must be logged.
            cell.log.error("failed while it was ending: %s", describe(error), exc_info=error)
            return
        if cell.given_up:
            cell.log.error("failed after it had been given up: %s", describe(error), exc_info=error)
            self._building = False
            self._drain = False
            self._begin_to_stop()
            return
        cell.services.publish_event(AgentFailed(cell.reference, describe(error), message))
        self._cause = describe(error)
        self._building = False
        cell.hold(Suspension.LIFE)
        self.draining = False
        if self._drain is not None and (not self._drain or not len(cell.mailbox)):
            cell.log.error("failed while it was stopping: %s", describe(error), exc_info=error)
            self._run(self._finish(error))
            return
        permitted = cell.supervision_group.permit(cell, cell.services.clock.monotonic())
        if not permitted:
            cell.log.error("failed for good, after %d restarts: %s", cell.restarts, describe(error), exc_info=error)
            # At once, and not when the procedure begins: a stop that is due before that must not begin to drain.
            self.phase = Phase.STOPPING
            self._run(self._fail_for_good(error))
            return
        cell.log.limited(ERROR, "failed, restart %d follows: %s", permitted, describe(error), exc_info=error)
        self.phase = Phase.RESTARTING
        in_a_row = self.history.in_a_row(cell.outcomes.handled)
        delay = cell.supervision_group.policy_of(cell).delay(permitted, in_a_row, cell.services.random)
        # An agent that is stopping restarts no others; it is rebuilt only to handle its queued messages.
        if self._drain or cell.supervision_group.policy_of(cell).strategy is Strategy.ONE_FOR_ONE:
            self._run(self._restart_after(error, delay))
        else:
            self._group_restart = cell.supervision_group.begin_group_restart(cell, delay)
            self._run(self._restart_with(self._group_restart, error))

    def restart_with(self, group: GroupRestart) -> None:
        """End this incarnation because another agent of the supervision group failed; it is rebuilt together with that one."""
        if self.ended or self._drain is not None:
            group.leave(self._cell)
            return
        self._group_restart = group
        if self.phase is Phase.RESTARTING and not self._building:
            # It is down already, or going down; its own planned restart is cancelled.
            if self._backoff is not None:
                self._backoff.cancel()
                self._backoff = None
            if self._cell.incarnation is None:
                group.is_down(self._cell)
            return
        self._cause = ""
        self._building = False
        self.phase = Phase.RESTARTING
        self._cell.hold(Suspension.LIFE)
        self._run(self._restart_with(group, None))

    def reload(self) -> None:
        """Build the agent anew at once, without counting a failure, because it has changed and its change is undone."""
        if self.phase is not Phase.RUNNING and not self.draining:
            return
        self._cause = ""
        self._reloading = True
        self.phase = Phase.RESTARTING
        self._cell.hold(Suspension.LIFE)
        self._run(self._restart_after(None, None))

    def rebuild(self, group: GroupRestart) -> None:
        """Build the agent again, now that the group is down."""
        if self._group_restart is group and self.phase is Phase.RESTARTING and self._cell.incarnation is None:
            self._run(self._rebuild(group))

    def stop(self, *, drain: bool) -> None:
        """Stop, or stop faster than before."""
        if self.ended or self._drain is False or self._drain is drain:
            return
        first = self._drain is None
        self._drain = drain
        cell = self._cell
        cell.release(Suspension.PAUSED)
        if self._building:
            # `_build` looks at `_drain` when the hook it waits for has ended.
            if not drain and cell.incarnation is not None:
                cell.incarnation.cancel_all()
        elif self.phase is Phase.RUNNING or (self.draining and not first):
            self._begin_to_stop()
        elif self.phase is Phase.RESTARTING and cell.incarnation is None and not self._has_to_drain():
            if self._backoff is not None:
                self._backoff.cancel()
            self._end(Phase.STOPPED, None)

    def cease_to_wait(self) -> None:
        """Go on to the end without the tasks and children that have not ended."""
        if self._grace is not None:
            self._grace.end()

    def take_over(self, stuck: Lifecycle, error: BaseException | None) -> None:
        """Continue the life of a stuck agent on another thread: end, or fail with an error and be rebuilt."""
        self._history = stuck.history
        self.phase = Phase.RUNNING
        self._cell.stash.put_back()
        if error is None:
            self.stop(drain=False)
        else:
            self.fail(error)

    def drained(self) -> None:
        """Handle that the mailbox is empty while the agent drains."""
        incarnation = self._cell.incarnation
        if incarnation is not None and incarnation.is_quiet and not self._cell.is_held(Suspension.LIFE):
            self.draining = False
            self._cell.hold(Suspension.LIFE)
            self._run(self._finish(None))

    # The procedures.

    def _build(self) -> Procedure:
        cell = self._cell
        first = self.phase is Phase.STARTING
        self._building = True
        context = Context(cell)
        cell.incarnation = incarnation = Incarnation(cell, cell.spec.allocate(context), cell.spec.variables)
        try:
            incarnation.call(cell.spec.construct, incarnation.agent)
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is contained
            if first:
                yield from self._fail_to_start(error)
            else:
                self.fail(error)
            return
        incarnation.constructed = True
        try:
            cell.restore_state(incarnation)
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is contained
            if isinstance(error, StateUnreadable):
                # It would be as unreadable the next time.
                yield from self._fail_to_start(error)
                return
            self.fail(_failure_of_restore(cell.name, error))
            return
        raised = yield from run_hook(incarnation, "on_start")
        if not self._building or cell.incarnation is not incarnation:
            # A group restart, or a failed background task, has taken over meanwhile.
            return
        if raised is not None and self._drain is not False:
            self.fail(raised)
            return
        self._building = False
        self.phase = Phase.RUNNING
        group, self._group_restart = self._group_restart, None
        if group is not None:
            group.is_up(cell)
        reloaded, self._reloading = self._reloading, False
        if not first and not reloaded:
            cell.restarts += 1
            cell.notify_watchers(AgentRestarted(cell.reference, self._cause, cell.restarts))
        if self._drain is not None:
            self._begin_to_stop()
        else:
            cell.release(Suspension.LIFE)

    def _rebuild(self, group: GroupRestart | None) -> Procedure:
        # It may have been stopped, or have become part of another restart, since this step was planned.
        if not self.ended and self._group_restart is group:
            yield from self._build()

    def _fail_to_start(self, error: BaseException) -> Procedure:
        """End an agent that could not even be constructed. A retry would have the same arguments."""
        cell = self._cell
        self._building = False
        failure: Exception = (
            error if isinstance(error, StateUnreadable) else StartFailed(cell.name, cell.spec.kind.__qualname__, error)
        )
        if failure is not error:
            failure.__cause__ = error
        cell.last_error = describe(error)
        cell.log.error("%s", failure, exc_info=error)
        cell.services.publish_event(AgentFailed(cell.reference, describe(failure)))
        self.phase = Phase.STOPPING
        self.error = failure
        yield from self._take_down(None)
        self._end(Phase.FAILED, failure)

    def _restart_after(self, error: BaseException | None, delay: float | None) -> Procedure:
        yield from self._take_down(error)
        if self._drain is not None and not self._has_to_drain():
            self._end(Phase.STOPPED, None)
        elif self._group_restart is not None:
            self._group_restart.is_down(self._cell)
        elif delay is None:
            yield from self._rebuild(None)
        else:
            cell = self._cell
            self._backoff = cell.services.timers.call_later(delay, lambda: cell.control(self._back_off_is_over))

    def _restart_with(self, group: GroupRestart, error: BaseException | None) -> Procedure:
        yield from self._take_down(error)
        if self._drain is not None:
            self._end(Phase.STOPPED, None)
        else:
            (self._group_restart or group).is_down(self._cell)

    def _fail_for_good(self, error: BaseException) -> Procedure:
        self.error = without_frames(error)
        yield from self._take_down(error)
        cell = self._cell
        policy = cell.supervision_group.policy_of(cell)
        exhausted = RestartsExhausted(cell.name, policy.max_restarts, policy.within)
        exhausted.__cause__ = error
        parent = cell.supervision_group.parent
        self._end(Phase.FAILED, error)
        if parent is not None and self._drain is None:
            parent.control(lambda: parent.life.fail(exhausted))

    def _finish(self, error: BaseException | None) -> Procedure:
        self.phase = Phase.STOPPING
        yield from self._take_down(error)
        self._end(Phase.STOPPED, None)

    def _take_down(self, error: BaseException | None) -> Procedure:
        self.draining = False
        if self._grace is None:
            self._grace = GracePeriod(self._cell)
        yield from take_down(
            self._cell, self._grace, error, drain=lambda: bool(self._drain), last=lambda: self.phase is Phase.STOPPING
        )

    # Methods that the procedures use.

    def _run(self, procedure: Procedure, *, at_once: bool = False) -> None:
        """Execute the steps of a procedure, each between two messages and outside of the event loop; the first perhaps `at_once`."""

        def step(value: object) -> None:
            try:
                wait = procedure.send(value)
            except StopIteration:
                return
            wait(resume)

        def resume(value: object = None) -> None:
            self._cell.control(lambda: step(value))

        if at_once:
            step(None)
        else:
            resume()

    def _begin_to_stop(self) -> None:
        cell = self._cell
        self.phase = Phase.STOPPING
        if self._drain:
            self.draining = True
            cell.release(Suspension.LIFE)
        else:
            cell.hold(Suspension.LIFE)
            self._run(self._finish(None))

    def _has_to_drain(self) -> bool:
        """Return whether the stopping agent must be rebuilt first, to handle its queued messages."""
        return bool(self._drain) and len(self._cell.mailbox) > 0 and self._group_restart is None

    def _back_off_is_over(self) -> None:
        if self._backoff is not None and self.phase is Phase.RESTARTING and self._drain is not False:
            self._backoff = None
            self._run(self._rebuild(None))

    def _end(self, phase: Phase, error: BaseException | None) -> None:
        cell = self._cell
        # The name must be free before any other code can learn that the agent has ended.
        if not cell.free_name():
            # The agent was given up: another record has its name, its messages and its watchers.
            self.phase = phase
            cell.hold(Suspension.LIFE)
            cell.executor.close()
            return
        # References keep the record of the agent for as long as anybody has one: it keeps no frames, state or arguments.
        self.error = without_frames(error) if error is not None else None
        cell.spec.release_arguments()
        cell.kept = None
        self.phase = phase
        cell.hold(Suspension.LIFE)
        cell.mailbox.close()
        if self._group_restart is not None:
            self._group_restart.leave(cell)
        leftovers = cell.outcomes.count_leftovers()
        cell.unregister()
        for envelope in leftovers:
            cell.outcomes.dead_letter(envelope)
        cell.supervision_group.remove(cell.address.number)
        if cell.children is not None:
            # A last hook may have spawned some.
            cell.children.stop_all(drain=False, then=lambda: None)
        cell.executor.close()
        text = describe(error) if error is not None else ""
        cell.notify_watchers(AgentDown(cell.reference, phase.value, text), last=True)
        cell.ended.set()


def _failure_of_restore(name: str, error: BaseException) -> BaseException:
    """Return the failure of an agent whose state could not be restored."""
    if isinstance(error, StorageError):
        # The state could not be read: `restore` was not called.
        return error
    failure = SnapshotFailed(name, "restore", error)
    failure.__cause__ = error
    return failure
