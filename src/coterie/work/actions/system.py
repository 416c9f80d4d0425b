"""Actions for those who act: execution, feedback, recovery."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from coterie.concurrency import Rank, Timers, new_lock, register_fork_handler
from coterie.errors import InvalidSetting, UnknownAction, WorkError
from coterie.kernel import Clock, check_instance, check_number, choice, clock_or_system
from coterie.work.actions.action import Action, DeadAction
from coterie.work.actions.breaker import Breaker, Circuit, CircuitState
from coterie.work.actions.keys import Keys
from coterie.work.actions.resources import Resource, ResourceLimits
from coterie.work.guarding import new_guard
from coterie.work.jobs import ActionStage, Call, Job, JobState, Priority, Retry
from coterie.work.jobs.call import check_call
from coterie.work.machine import Ratio, Sizing
from coterie.work.metrics import WorkMetrics, measure
from coterie.work.options import check_engine, check_job
from coterie.work.pool import Bounds, Keep, QueueLimits, WorkPool
from coterie.work.pool.stopping import WorkStopReport, stop
from coterie.work.pool.worker import ThreadRunner

R = TypeVar("R")

Apply = Callable[[Action[Any], Any], object]


class ResourceMetrics(msgspec.Struct, frozen=True):
    """One resource, at one moment."""

    in_use: int
    waiting: int


class ActionMetrics(WorkMetrics, frozen=True):
    """An action system, at one moment. An action is counted under execution, whatever stages it goes through."""

    resources: dict[str, ResourceMetrics] = msgspec.field(default_factory=dict)
    circuits: dict[str, CircuitState] = msgspec.field(default_factory=dict)
    """The targets whose actions have been seen."""
    dead: int = 0
    """Dead actions that are kept."""


class ActionSystem:
    """Does actions, tries again those that fail, and applies their results.

    ::

        def apply(action, result):            # to a world, as an intent; to an agent, as a message
            ...

        with ActionSystem(apply=apply, resources={"bank": ResourceLimits(at_once=2)}) as system:
            action = system.submit(transfer, 5, resource="bank", target="bank", key="transfer-17")
            action.result()

    An action that waits, for its next attempt, for a resource or for its rate, holds no worker. Safe from any thread.

    Args:
        sizing: How much the machine can do; detected unless given.
        apply: Called as ``apply(action, result)`` for each action that was done, before its future resolves. If it
            raises, only applying is tried again, never the action.
        resources: The limits of each resource, by name.
        breaker: When a target is left alone that fails again and again; None never does.
        breakers: The same, for single targets by name.
        workers: Bounds of the threads instead of the sizing's. If they are given, nothing measured moves them.
        queue: The bounds of the queues and what becomes of what is more; a `QueueLimits`.
        keep: How many results, and keys of actions that have ended, are kept, and how long; a `Keep`.
        dead: How many dead actions are kept.
        clock: What timeouts, retries, rates, breakers and balancing go by.
        balance_every: Seconds between two looks at how the workers suit the load.
        seed: Of the jitter of retries.
        name: What its threads and actions are named after.
    """

    def __init__(
        self,
        sizing: Sizing | None = None,
        *,
        apply: Apply | None = None,
        resources: Mapping[str, ResourceLimits] | None = None,
        breaker: Breaker | None = Breaker(),  # noqa: B008 - it is immutable
        breakers: Mapping[str, Breaker] | None = None,
        workers: Bounds | None = None,
        queue: QueueLimits = QueueLimits(),  # noqa: B008 - as above
        keep: Keep = Keep(),  # noqa: B008 - as above
        dead: int = 1_000,
        clock: Clock | None = None,
        balance_every: float = 0.25,
        seed: int | None = None,
        name: str = "actions",
    ) -> None:
        check_engine("ActionSystem", name, sizing, queue, keep, balance_every, workers)
        check_number("ActionSystem.dead", dead, whole=True)
        if apply is not None and not callable(apply):
            raise InvalidSetting("ActionSystem.apply", apply, "something that can be called, or None")
        for each, limits in (resources or {}).items():
            check_instance(f"ActionSystem.resources[{each!r}]", limits, ResourceLimits, "limits: ResourceLimits(at_once=...)")
        for policy in (breaker, *(breakers or {}).values()):
            if policy is not None:
                check_instance("ActionSystem.breaker", policy, Breaker, "a policy: Breaker(failures=...), or None")
        self.name = name
        self.sizing = sizing if sizing is not None else Sizing.detect()
        self.ratio = Ratio(self.sizing)
        """What actions really wait and compute."""
        self._apply = apply
        self._breaker = breaker
        self._breakers = dict(breakers or {})
        self._timers = Timers(clock_or_system("ActionSystem.clock", clock), name)
        bounds = workers if workers is not None else self.sizing.action
        most = None if workers is not None else (lambda: self.ratio.workers(bounds.most))
        self.pool = WorkPool(
            name, list(ActionStage), self._timers, bounds=bounds, limits=queue, keep=keep, make_runner=ThreadRunner,
            random=random.Random(seed),  # noqa: S311 - for jitter
 balance_every=balance_every, gate=self._gate, observe=self.ratio.observe, most=most,
        )  # fmt: skip
        self._resources = {
            each: Resource(limits, self._timers, self.pool.enqueue, queue.age_after)
            for each, limits in (resources or {}).items()
        }
        self._guard = new_guard()
        self._keys = Keys(keep, self._timers.clock)
        self._most_dead = dead
        self._lock = new_lock(Rank.RECORDS)
        """Guards the circuits and the dead."""
        self._circuits: dict[str, Circuit] = {}
        self._dead: OrderedDict[str, tuple[DeadAction, Action[Any]]] = OrderedDict()
        register_fork_handler(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop(drain=kind is None)

    def __repr__(self) -> str:
        return f"<ActionSystem {self.name}>"

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
        callback: Callable[[Job[R]], object] | None = None,
    ) -> Action[R]:
        """Have ``function(*arguments, **keywords)`` done, and return the `Action`, a future that resolves once, at the end.

        It waits for a place at its `resource`, fails at once while the circuit of its `target` is open, and is tried
        again as `retry` says. An action whose `key` is that of another, which has not ended or whose result is still
        kept, is not done: the other is returned, whatever became of it, unless it ended without having begun. `timeout` is the seconds that one attempt may
        take, `deadline` those for all of it; a thread cannot be ended, so an attempt whose time is over is given up, and
        not tried again. Raises `QueueFull`, `WorkStopped`, `KeyConflict` and `InvalidSetting`.
        """
        check_call("submit", function, keywords)
        check_job("submit", timeout, deadline, retry)
        for what, text in (("resource", resource), ("target", target), ("key", key)):
            if text is not None:
                check_instance(f"submit.{what}", text, str, "a text, or None")
        if resource is not None and resource not in self._resources:
            known = ", ".join(sorted(self._resources)) or "none"
            raise InvalidSetting("submit.resource", resource, f"a resource that was given to the ActionSystem: {known}")
        self.pool.check_open()
        action: Action[R] = Action(
            self, Call(function, arguments, keywords), choice("submit.priority", priority, Priority),
            timeout=timeout, deadline=deadline, retry=retry, resource=None if resource is None else self._resources[resource],
            resource_name=resource, circuit=None if target is None else self._circuit(target), key=key,
        )  # fmt: skip
        if callback is not None:
            action.on_done(callback)
        if key is not None:
            known_action = self._keys.claim(key, action)
            if known_action is not None:
                if callback is not None:
                    known_action.on_done(callback)
                return known_action
        self._take(action)
        return action

    def action(self, id: str) -> Action[Any] | None:  # noqa: A002 - the field's own name
        """Return an action by its id: one that has not ended, or one whose result is still kept; else None."""
        name, _, number = id.rpartition("-")
        found = self.pool.find(int(number)) if name == self.name and number.isdigit() else None
        return found if isinstance(found, Action) else None

    def dead(self) -> list[DeadAction]:
        """Return the dead actions that are kept, oldest first."""
        with self._lock:
            return [dead for dead, _ in self._dead.values()]

    def resubmit(self, dead: DeadAction | str) -> Action[Any]:
        """Try a dead action again, and return it as a new one, which keeps the history of the old, and its key.

        One that failed in feedback is not done again: only its result is applied. Raises `UnknownAction`, `QueueFull`
        and `WorkStopped`; then it stays dead.
        """
        self.pool.check_open()
        id_ = dead.id if isinstance(dead, DeadAction) else dead
        with self._lock:
            entry = self._dead.pop(id_, None)
        if entry is None:
            raise UnknownAction(id_)
        old = entry[1]
        action: Action[Any] = Action(
            self, old.call, old.priority, timeout=old.timeout, deadline=old.deadline, retry=old.retry, resource=old.resource,
            resource_name=old.resource_name, circuit=old.circuit, key=old.key,
        )  # fmt: skip
        action.inherit(old.history)
        if old.in_feedback:
            action.begin_feedback(old.value)
            action.origin = 0
        if action.key is not None:
            self._keys.replace(action.key, action)
        try:
            self._take(action)
        except WorkError:
            with self._lock:
                self._dead[id_] = entry
            raise
        return action

    def circuit(self, target: str) -> CircuitState:
        """Return what happens to actions on a target now."""
        with self._lock:
            circuit = self._circuits.get(target)
        return CircuitState.CLOSED if circuit is None else circuit.state

    @property
    def stopped(self) -> bool:
        """Whether it takes nothing more."""
        return self.pool.closed

    def metrics(self) -> ActionMetrics:
        """Return counts, waits, run times and utilisation of this moment, by stage. Holds up no worker."""
        work = measure(self.name, {"threads": self.pool}, self.ratio.wait_per_compute)
        return ActionMetrics(
            **{name: getattr(work, name) for name in work.__struct_fields__},
            resources={name: ResourceMetrics(each.in_use, each.waiting) for name, each in self._resources.items()},
            circuits={name: circuit.state for name, circuit in self._circuits.copy().items()},
            dead=len(self._dead),
        )

    def balance(self) -> None:
        """Have the workers follow the load now; it is also done by itself, again and again."""
        self.pool.balance()

    def stop(self, *, drain: bool = True, timeout: float = 10.0) -> WorkStopReport:
        """Take no more actions, and end; see `ProcessingEngine.stop`."""
        check_number("stop.timeout", timeout)
        report = stop([self.pool], drain=drain, timeout=timeout)
        self._timers.close()
        self._guard.release()
        return report

    def after_fork_in_child(self) -> None:
        """Be told that this is a copy in a forked process: it has been stopped, for threads are not inherited."""
        self._lock = new_lock(Rank.RECORDS)
        self._timers.after_fork_in_child()
        self.ratio.after_fork_in_child()
        self.pool.after_fork_in_child()

    # For actions.

    @property
    def has_feedback(self) -> bool:
        """Whether results are applied to anything."""
        return self._apply is not None

    def apply(self, action: Action[Any], value: Any) -> None:
        """Apply a result."""
        if self._apply is not None:
            self._apply(action, value)

    def note_end(self, action: Action[Any]) -> None:
        """Keep what is to be kept of an action that has ended."""
        if action.key is not None:
            self._keys.note_end(action.key, action)
        error = action.failure
        if action.state in (JobState.FAILED, JobState.TIMED_OUT) and error is not None:
            dead = DeadAction(
                action.id, action.name, ActionStage(action.type), error, action.history, self._timers.clock.time(),
                action.resource_name, None if action.circuit is None else action.circuit.target, action.key,
            )  # fmt: skip
            with self._lock:
                self._dead[action.id] = (dead, action)
                while len(self._dead) > self._most_dead:
                    self._dead.popitem(last=False)

    def _take(self, action: Action[Any]) -> None:
        try:
            self.pool.submit(action)
        except BaseException as error:
            if action.key is not None:
                self._keys.release(action.key, action)
            # Somebody may have been given it for the same key.
            action.refuse(error)
            raise

    def _gate(self, job: Job[Any]) -> bool:
        if not isinstance(job, Action) or job.resource is None or job.in_feedback:
            return True
        job.resource.enter(job)
        return False

    def _circuit(self, target: str) -> Circuit | None:
        policy = self._breakers.get(target, self._breaker)
        if policy is None:
            return None
        with self._lock:
            circuit = self._circuits.get(target)
            if circuit is None:
                circuit = self._circuits[target] = Circuit(target, policy, self._timers.clock)
            return circuit
