"""The action system: execution, feedback, recovery."""

from __future__ import annotations

import logging
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import msgspec

from coterie.concurrency import Rank, Timers, new_lock
from coterie.concurrency.forks import register_fork_handler
from coterie.errors import InvalidSetting, WorkError
from coterie.errors.work import UnknownAction
from coterie.kernel import Clock, check_instance, check_number, choice, clock_or_system
from coterie.work.actions.action import Action, DeadAction
from coterie.work.actions.breaker import Circuit, CircuitBreaker, CircuitState
from coterie.work.actions.resources import Resource, ResourceLimits
from coterie.work.base import Admit, WorkSystem, check_admit
from coterie.work.common import check_engine, check_job, measure_pools, new_guard, new_random
from coterie.work.jobs import ActionStage, Call, Job, JobState, Priority, Retry
from coterie.work.jobs.call import check_call, check_ran, runs_later
from coterie.work.pool import Bounds, QueueLimits, Retention, WorkPool
from coterie.work.pool.ending import EngineEnd
from coterie.work.pool.keys import JobIds, JobKeys
from coterie.work.pool.metrics import WorkMetrics
from coterie.work.pool.stopping import WorkStopReport
from coterie.work.pool.workers import ThreadRunner
from coterie.work.sizing import Sizing, WaitRatio

R = TypeVar("R")

_log = logging.getLogger(__name__)

Apply = Callable[[Action[Any], Any], object]


class ResourceMetrics(msgspec.Struct, frozen=True):
    """The use of one resource at one moment."""

    in_use: int
    waiting: int


class ActionMetrics(WorkMetrics, frozen=True):
    """The metrics of an action system at one moment. An action counts under execution in all its stages."""

    resources: dict[str, ResourceMetrics] = msgspec.field(default_factory=dict)
    circuits: dict[str, CircuitState] = msgspec.field(default_factory=dict)
    """The circuits of all targets so far."""
    dead: int = 0
    """Retained dead actions."""
    dead_dropped: int = 0
    """Dead actions that were dropped because more than the maximum were retained."""


class ActionSystem(WorkSystem):
    """Runs actions, retries failed ones, and applies results.

    ::

        def apply(action, result):            # to a world, as an intent; to an agent, as a message
            ...

        with ActionSystem(apply=apply, resources={"bank": ResourceLimits(at_once=2)}) as system:
            action = system.submit(transfer, 5, resource="bank", target="bank", key="transfer-17")
            action.result()

    An action holds no worker while it waits for its next attempt, a resource or a rate. Safe from any thread.

    Args:
        sizing: The capacity of the machine; detected by default.
        apply: Called as ``apply(action, result)`` after the function of an action has returned, before its future
            resolves. If it raises, only the call of `apply` is retried, never the action.
        resources: The limits of each resource, by name.
        breaker: The circuit breaker policy for each target; None for no circuit breaker.
        breakers: Circuit breaker policies by target, instead of `breaker`.
        workers: Bounds of the threads, instead of those of the sizing. Measurements do not change given bounds.
        queue: The limits and the overflow policy of the queues.
        keep: The retention of ended actions and their keys.
        dead: Maximum number of retained dead actions.
        on_dead: Called with each `DeadAction`, on the thread that ends the action. If it raises, that is logged and counted
            in `callback_errors`.
        admit: Called with 1 before an action is accepted. It may wait, or raise to refuse the action.
        clock: The clock of timeouts, retries, rates, circuit breakers and balancing.
        balance_every: Seconds between two adaptations of the workers to the load.
        seed: The seed of retry jitter.
        exit_timeout: Seconds that the end of the program waits for the actions of a system that was not stopped. Actions that
            are not done then are named on stderr, and the exit status is 1.
        name: The prefix of thread names and action ids.
    """

    def __init__(
        self,
        sizing: Sizing | None = None,
        *,
        apply: Apply | None = None,
        resources: Mapping[str, ResourceLimits] | None = None,
        breaker: CircuitBreaker | None = CircuitBreaker(),  # noqa: B008 - it is immutable
        breakers: Mapping[str, CircuitBreaker] | None = None,
        workers: Bounds | None = None,
        queue: QueueLimits = QueueLimits(),  # noqa: B008 - it is immutable
        keep: Retention = Retention(),  # noqa: B008 - it is immutable
        dead: int = 1_000,
        on_dead: Callable[[DeadAction], object] | None = None,
        admit: Admit | None = None,
        clock: Clock | None = None,
        balance_every: float = 0.25,
        seed: int | None = None,
        exit_timeout: float = 10.0,
        name: str = "actions",
    ) -> None:
        self._options = {key: value for key, value in locals().items() if key not in ("self", "__class__")}
        check_engine("ActionSystem", name, sizing, queue, keep, balance_every, workers)
        check_number("ActionSystem.exit_timeout", exit_timeout)
        check_number("ActionSystem.dead", dead, whole=True)
        if apply is not None:
            if not callable(apply):
                raise InvalidSetting("ActionSystem.apply", apply, "a callable, or None")
            need = runs_later(apply)
            if need is not None:
                raise InvalidSetting("ActionSystem.apply", apply, need)
        if on_dead is not None and not callable(on_dead):
            raise InvalidSetting("ActionSystem.on_dead", on_dead, "a callable that takes a DeadAction, or None")
        for each, limits in (resources or {}).items():
            check_instance(f"ActionSystem.resources[{each!r}]", limits, ResourceLimits, "limits: ResourceLimits(at_once=...)")
        for policy in (breaker, *(breakers or {}).values()):
            if policy is not None:
                check_instance(
                    "ActionSystem.breaker", policy, CircuitBreaker, "a policy: CircuitBreaker(failures=...), or None"
                )
        self.name = name
        self.sizing = sizing if sizing is not None else Sizing.detect()
        self.ratio = WaitRatio(self.sizing)
        """The measured ratio of waiting to computing."""
        check_admit("ActionSystem", admit)
        self._admit = admit
        self._apply = apply
        self._breaker = breaker
        self._breakers = dict(breakers or {})
        self._timers = Timers(clock_or_system("ActionSystem.clock", clock), name)
        bounds = workers if workers is not None else self.sizing.action
        max_workers = None if workers is not None else partial(self.ratio.workers, bounds.most)
        self.pool = WorkPool(
            name,
            list(ActionStage),
            self._timers,
            bounds=bounds,
            limits=queue,
            keep=keep,
            make_runner=ThreadRunner,
            random=new_random(seed),
            balance_every=balance_every,
            before_queue=_enter_resource,
            observe=self.ratio.observe,
            max_workers=max_workers,
            sized=workers is None,
            max_abandoned=self.sizing.limits.max_threads,
        )
        self._pools = {"threads": self.pool}
        self._resources = {
            each: Resource(limits, self._timers, self.pool.enqueue, queue.age_after)
            for each, limits in (resources or {}).items()
        }
        self._keys: JobKeys[Action[Any]] = JobKeys(keep, self._timers.clock, lambda action: not action.never_began)
        self._ids = JobIds(keep, self._timers.clock, (name,))
        self._max_dead = dead
        self._on_dead = on_dead
        self._dead_dropped = 0
        self._lock = new_lock(Rank.RECORDS)
        """Guards `_circuits`, `_dead` and `_dead_dropped`."""
        self._circuits: dict[str, Circuit] = {}
        self._dead: OrderedDict[str, tuple[DeadAction, Action[Any]]] = OrderedDict()
        self._end = EngineEnd(
            "ActionSystem", [self.pool], self._timers, new_guard(), forked=[self.ratio], exit_timeout=exit_timeout
        )
        weakref.finalize(self, self._end.dropped).atexit = False
        register_fork_handler(self)

    def submit(
        self,
        function: Callable[..., R],
        /,
        *arguments: Any,
        keywords: Mapping[str, Any] | None = None,
        priority: Priority | str = Priority.NORMAL,
        timeout: float | None = None,
        deadline: float | None = None,
        retry: Retry | None = Retry(),  # noqa: B008 - it is immutable
        resource: str | None = None,
        target: str | None = None,
        key: str | None = None,
        id: str | None = None,  # noqa: A002 - the field's own name
        callback: Callable[[Job[R]], object] | None = None,
    ) -> Action[R]:
        """Run ``function(*arguments, **keywords)`` and return its `Action`, a future that resolves once, at the end.

        The action waits for its `resource`, fails at once while the circuit of its `target` is open, and is retried by
        the policy `retry`. If a live or retained action has the same `key`, that action is returned and nothing runs,
        unless it ended without an attempt. `timeout` is in seconds per attempt, `deadline` in seconds for the whole
        action. A thread cannot be ended, so an attempt that exceeds its time is abandoned and not retried.
        `id` is an id of your own, which no live or retained action may have. `callback(action)` runs when the action ends.
        Raises `QueueFull`, `WorkStopped`, `KeyConflict` and `InvalidSetting`.
        """
        check_call("submit", function, keywords)
        check_job("submit", timeout, deadline, retry)
        for what, text in (("resource", resource), ("target", target), ("key", key)):
            if text is not None:
                check_instance(f"submit.{what}", text, str, "a text, or None")
        if resource is not None and resource not in self._resources:
            known = ", ".join(sorted(self._resources)) or "none"
            raise InvalidSetting("submit.resource", resource, f"a resource of the ActionSystem: {known}")
        self.pool.table.check_open()
        action: Action[R] = Action(
            self,
            Call(function, arguments, keywords),
            choice("submit.priority", priority, Priority),
            timeout=timeout,
            deadline=deadline,
            retry=retry,
            resource=None if resource is None else self._resources[resource],
            resource_name=resource,
            circuit=None if target is None else self._circuit(target),
            key=key,
        )
        if callback is not None:
            action.on_done(callback)
        if key is not None:
            known_action = self._keys.claim(key, action)
            if known_action is not None:
                if callback is not None:
                    known_action.on_done(callback)
                return known_action
        self._submit(action, id)
        return action

    def action(self, id: str) -> Action[Any] | None:  # noqa: A002 - the field's own name
        """Return a live or retained action by its id, or None."""
        name, _, number = id.rpartition("-")
        made = name == self.name and number.isdigit()
        found = self._ids.find(id) or (self.pool.table.find(int(number)) if made else None)
        return found if isinstance(found, Action) else None

    def dead(self) -> list[DeadAction]:
        """Return the retained dead actions, oldest first."""
        with self._lock:
            return [dead for dead, _ in self._dead.values()]

    def resubmit(self, dead: DeadAction | str) -> Action[Any]:
        """Submit a dead action again. Return a new action with the old history and key.

        If the feedback failed, only the result is applied again; the function is not called. Raises `UnknownAction`,
        `QueueFull` and `WorkStopped`; then the action stays dead.
        """
        self.pool.table.check_open()
        id_ = dead.id if isinstance(dead, DeadAction) else dead
        with self._lock:
            entry = self._dead.pop(id_, None)
        if entry is None:
            raise UnknownAction(id_)
        old = entry[1]
        action: Action[Any] = Action(
            self,
            old.call,
            old.priority,
            timeout=old.timeout,
            deadline=old.deadline,
            retry=old.retry,
            resource=old.resource,
            resource_name=old.resource_name,
            circuit=old.circuit,
            key=old.key,
        )
        action.inherit(old.history)
        if old.in_feedback:
            action.begin_feedback(old.value)
            action.origin = 0
        if action.key is not None:
            self._keys.replace(action.key, action)
        try:
            self._submit(action)
        except WorkError:
            with self._lock:
                self._dead[id_] = entry
            raise
        old.release()
        return action

    def circuit(self, target: str) -> CircuitState:
        """Return the state of the circuit of a target."""
        with self._lock:
            circuit = self._circuits.get(target)
        return CircuitState.CLOSED if circuit is None else circuit.state

    def metrics(self) -> ActionMetrics:
        """Return the current metrics by stage. Blocks no worker."""
        work = measure_pools(self.name, self._pools, self.ratio.wait_per_compute)
        return ActionMetrics(
            **{name: getattr(work, name) for name in work.__struct_fields__},
            resources={name: ResourceMetrics(each.in_use, each.waiting) for name, each in self._resources.items()},
            circuits={name: circuit.state for name, circuit in self._circuits.copy().items()},
            dead=len(self._dead),
            dead_dropped=self._dead_dropped,
        )

    def restart(self, *, timeout: float = 1.0) -> WorkStopReport:
        """Restart, and return the report of the stop; see `WorkSystem.restart`. Keeps dead actions and idempotency keys."""
        kept = self._keys, self._dead, self._dead_dropped
        report = super().restart(timeout=timeout)
        self._keys, self._dead, self._dead_dropped = kept
        return report

    def after_fork_in_child(self) -> None:
        """Replace the lock in a forked process, where its holder does not exist."""
        self._lock = new_lock(Rank.RECORDS)

    # For actions.

    @property
    def has_feedback(self) -> bool:
        """Return whether results are applied."""
        return self._apply is not None

    def apply(self, action: Action[Any], value: Any) -> None:
        """Apply the result of an action. Raises the error of `apply`, and `CoroutineReturned` if it is ``async``."""
        if self._apply is not None:
            check_ran(self._apply, self._apply(action, value))

    def note_end(self, action: Action[Any]) -> bool:
        """Record an ended action: its key, and if it failed, the dead action. Return whether it can be resubmitted."""
        if action.key is not None:
            self._keys.note_end(action.key, action)
        error = action.failure
        if action.state not in (JobState.FAILED, JobState.TIMED_OUT) or error is None:
            return False
        dead = DeadAction(
            action.id,
            action.name,
            ActionStage(action.type),
            error,
            action.history,
            self._timers.clock.time(),
            action.resource_name,
            None if action.circuit is None else action.circuit.target,
            action.key,
        )
        dropped: list[Action[Any]] = []
        with self._lock:
            self._dead[action.id] = (dead, action)
            while len(self._dead) > self._max_dead:
                dropped.append(self._dead.popitem(last=False)[1][1])
            self._dead_dropped += len(dropped)
        for each in dropped:
            each.release()
        if self._on_dead is not None:
            action.heard = True
            try:
                self._on_dead(dead)
            except BaseException:  # noqa: BLE001 - the thread is not the callback's; log and count
                self.pool.count_callback_error()
                _log.exception("on_dead raised for %s", action.label)
        return True

    def _submit(self, action: Action[Any], id_: str | None = None) -> None:
        try:
            self._ids.assign(id_, action)
            if self._admit is not None:
                self._admit(1)
            self.pool.submit(action)
        except BaseException as error:
            self._ids.release(action)
            if action.key is not None:
                self._keys.release(action.key, action)
            # Another caller may have got this action through its key.
            action.refuse(error)
            raise

    def _circuit(self, target: str) -> Circuit | None:
        policy = self._breakers.get(target, self._breaker)
        if policy is None:
            return None
        with self._lock:
            circuit = self._circuits.get(target)
            if circuit is None:
                circuit = self._circuits[target] = Circuit(target, policy, self._timers.clock)
            return circuit


def _enter_resource(job: Job[Any]) -> bool:
    """Let an action wait for its resource, which queues it later. Return whether it needs none."""
    if not isinstance(job, Action) or job.resource is None or job.in_feedback:
        return True
    job.resource.enter(job)
    return False
