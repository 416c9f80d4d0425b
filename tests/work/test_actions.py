import threading
from collections.abc import Callable

import pytest

from coterie.concurrency import Timer
from coterie.errors import CircuitOpen, InvalidSetting, JobTimeout, QueueFull, WorkStopped
from coterie.errors.work import FeedbackFailed, KeyConflict, UnknownAction
from coterie.testing import ManualClock, eventually, run_together
from coterie.work import (
    Action,
    ActionStage,
    ActionSystem,
    Bounds,
    CircuitBreaker,
    CircuitState,
    JobState,
    Priority,
    QueueLimits,
    ResourceLimits,
    Retention,
    Retry,
)

ONE = Bounds(1, 1)
SOON = Retry(2, initial=1.0, jitter=0.0)


def fail(*_: object) -> None:
    raise OSError("down")


def hold(system: ActionSystem, **options: object) -> tuple[Action[bool], threading.Event]:
    """Keep a worker busy until the event is set."""
    begun, over = threading.Event(), threading.Event()

    def work() -> bool:
        begun.set()
        return over.wait(30)

    action = system.submit(work, **options)  # type: ignore[arg-type]
    assert begun.wait(10)
    return action, over


def test_an_action_resolves_after_its_result_is_applied() -> None:
    applied: list[tuple[str, object]] = []
    with ActionSystem(apply=lambda action, value: applied.append((action.id, value))) as system:
        action = system.submit(divmod, 7, 2)
        assert action.result(10) == (3, 1)
        assert applied == [(action.id, (3, 1))]
        assert action.type == ActionStage.FEEDBACK
        assert system.metrics().lanes["execution"].succeeded == 1


def test_failed_feedback_is_retried_without_running_the_action_again() -> None:
    clock = ManualClock()
    done: list[int] = []
    broken = True

    def apply(_: object, value: object) -> None:
        if broken:
            raise LookupError(value)

    with ActionSystem(apply=apply, clock=clock) as system:
        action = system.submit(done.append, 1, retry=SOON)
        for delay in (1.0, 2.0):
            eventually(lambda: action.state is JobState.WAITING)
            clock.advance(delay)
            eventually(lambda: action.state is not JobState.QUEUED)
        with pytest.raises(FeedbackFailed):
            action.result(10)
        (dead,) = system.dead()
        assert (dead.stage, len(dead.history)) == (ActionStage.FEEDBACK, 3)
        broken = False
        assert system.resubmit(dead).result(10) is None
        assert (done, system.dead()) == ([1], [])


def test_recovery_waits_on_the_clock_and_holds_no_worker() -> None:
    clock = ManualClock()
    tries: list[float] = []

    def work() -> str:
        tries.append(clock.monotonic())
        if len(tries) < 3:
            raise OSError
        return "done"

    with ActionSystem(workers=ONE, clock=clock) as system:
        action = system.submit(work, retry=SOON)
        for delay in (1.0, 2.0):
            eventually(lambda: action.state is JobState.WAITING)
            assert system.submit(int).result(10) == 0
            assert not action.done
            clock.advance(delay)
            eventually(lambda: action.state is not JobState.QUEUED)
        assert action.result(10) == "done"
        assert (tries, action.type) == ([0.0, 1.0, 3.0], ActionStage.RECOVERY)


def test_a_dead_action_keeps_its_history_and_can_be_resubmitted() -> None:
    clock = ManualClock()
    healthy = False

    def work() -> str:
        if not healthy:
            raise OSError("down")
        return "up"

    with ActionSystem(clock=clock) as system:
        action = system.submit(work, retry=Retry(2, initial=0.0), target="bank", key="k")
        with pytest.raises(OSError, match="down"):
            action.result(10)
        (dead,) = system.dead()
        assert (dead.id, dead.target, dead.key, dead.stage) == (action.id, "bank", "k", ActionStage.RECOVERY)
        assert [attempt.number for attempt in dead.history] == [1, 2, 3]
        healthy = True
        again = system.resubmit(dead.id)
        assert again.result(10) == "up"
        assert len(again.history) == 3
        assert system.submit(work, key="k") is again
        with pytest.raises(UnknownAction):
            system.resubmit(dead)


def test_the_number_of_retained_dead_actions_is_bounded() -> None:
    with ActionSystem(dead=2) as system:
        actions = [system.submit(fail, retry=None) for _ in range(4)]
        for action in actions:
            assert action.wait(10)
        assert len(system.dead()) == 2


def test_submissions_with_the_same_key_run_once() -> None:
    done: list[int] = []
    with ActionSystem() as system:
        actions: list[Action[None]] = []
        run_together(*[lambda: actions.append(system.submit(done.append, 1, key="pay"))] * 8)
        assert len(set(map(id, actions))) == 1
        actions[0].result(10)
        assert system.submit(done.append, 1, key="pay") is actions[0]
    assert done == [1]


def test_a_key_names_one_function_and_expires() -> None:
    clock = ManualClock()
    with ActionSystem(clock=clock, keep=Retention(seconds=10.0)) as system:
        first = system.submit(int, key="k")
        first.result(10)
        with pytest.raises(KeyConflict):
            system.submit(float, key="k")
        clock.advance(10.0)
        assert system.submit(int, key="k") is not first


def test_the_key_of_a_refused_action_is_free() -> None:
    with ActionSystem(workers=ONE, queue=QueueLimits(capacity=1, overflow="reject")) as system:
        _, over = hold(system)
        system.submit(int)
        with pytest.raises(QueueFull):
            system.submit(int, key="k")
        over.set()
        eventually(lambda: system.metrics().totals.queued == 0)
        assert system.submit(int, key="k").result(10) == 0


def test_a_resource_limits_concurrent_actions_and_waiting_ones_hold_no_worker() -> None:
    using = most = 0
    lock = threading.Lock()

    def use() -> None:
        nonlocal using, most
        with lock:
            using += 1
            most = max(most, using)
        threading.Event().wait(0.001)
        with lock:
            using -= 1

    with ActionSystem(workers=Bounds(8, 8), resources={"bank": ResourceLimits(at_once=2)}) as system:
        held = [hold(system, resource="bank") for _ in range(2)]
        actions = [system.submit(use, resource="bank") for _ in range(50)]
        assert system.submit(int).result(10) == 0
        assert system.metrics().resources["bank"].in_use == 2
        assert system.metrics().resources["bank"].waiting == 50
        for _, over in held:
            over.set()
        for action in actions:
            action.result(10)
        assert system.metrics().resources["bank"].in_use == 0
    assert most == 2


def test_the_most_urgent_action_gets_the_resource_first() -> None:
    done: list[str] = []
    with ActionSystem(workers=Bounds(2, 2), resources={"bank": ResourceLimits(at_once=1)}) as system:
        _, over = hold(system, resource="bank")
        for priority in (Priority.LOW, Priority.NORMAL, Priority.CRITICAL):
            system.submit(done.append, priority.value, priority=priority, resource="bank")
        over.set()
    assert done == ["critical", "normal", "low"]


def test_an_action_that_fails_or_ends_while_waiting_releases_its_resource() -> None:
    clock = ManualClock()
    with ActionSystem(workers=ONE, clock=clock, resources={"bank": ResourceLimits(at_once=1)}) as system:
        _, over = hold(system)
        granted = system.submit(int, resource="bank")
        waiting = system.submit(int, resource="bank", deadline=1.0)
        assert granted.cancel()
        clock.advance(1.0)
        assert waiting.wait(10)
        over.set()
        with pytest.raises(OSError, match="down"):
            system.submit(fail, resource="bank", retry=None).result(10)
        assert system.submit(int, resource="bank").result(10) == 0
        assert system.metrics().resources["bank"].in_use == 0


def test_a_timed_out_action_uses_its_resource_until_its_function_returns() -> None:
    clock = ManualClock()
    with ActionSystem(clock=clock, resources={"bank": ResourceLimits(at_once=1)}) as system:
        stuck, over = hold(system, resource="bank", timeout=1.0)
        eventually(lambda: stuck.timer is not None)
        clock.advance(1.0)
        with pytest.raises(JobTimeout):
            stuck.result(10)
        following = system.submit(int, resource="bank")
        assert system.submit(int).result(10) == 0
        assert not following.done
        over.set()
        assert following.result(10) == 0


def test_a_rate_limit_is_exact_and_holds_no_worker() -> None:
    clock = ManualClock()
    begun: list[float] = []
    limits = ResourceLimits(rate=2.0, burst=3)
    with ActionSystem(workers=ONE, clock=clock, resources={"api": limits}) as system:
        actions = [system.submit(lambda: begun.append(clock.monotonic()), resource="api") for _ in range(7)]

        def settled() -> None:
            eventually(lambda: not system.metrics().totals.queued and not system.metrics().totals.running)

        clock.advance(2.0, after_step=settled)
        for action in actions:
            action.result(10)
    assert begun == [0.0, 0.0, 0.0, 0.5, 1.0, 1.5, 2.0]


def test_a_circuit_opens_half_opens_and_closes() -> None:
    clock = ManualClock()
    healthy = False

    def work() -> str:
        if not healthy:
            raise OSError("down")
        return "up"

    with ActionSystem(clock=clock, breaker=CircuitBreaker(failures=2, reset_after=10.0)) as system:
        for _ in range(2):
            assert system.submit(work, target="bank", retry=None).wait(10)
        assert system.circuit("bank") is CircuitState.OPEN
        with pytest.raises(CircuitOpen) as caught:
            system.submit(work, target="bank", retry=None).result(10)
        assert caught.value.retry_in == 10.0
        assert system.submit(int, target="other").result(10) == 0
        clock.advance(10.0)
        assert system.circuit("bank") is CircuitState.HALF_OPEN
        assert system.submit(work, target="bank", retry=None).wait(10)
        assert system.circuit("bank") is CircuitState.OPEN
        clock.advance(10.0)
        healthy = True
        assert system.submit(work, target="bank").result(10) == "up"
        assert system.metrics().circuits == {"bank": CircuitState.CLOSED, "other": CircuitState.CLOSED}


def test_one_action_at_a_time_tries_a_half_open_circuit() -> None:
    clock = ManualClock()
    with ActionSystem(clock=clock, breakers={"bank": CircuitBreaker(failures=1, reset_after=5.0)}) as system:
        assert system.submit(fail, target="bank", retry=None).wait(10)
        clock.advance(5.0)
        trial, over = hold(system, target="bank")
        with pytest.raises(CircuitOpen):
            system.submit(int, target="bank", retry=None).result(10)
        over.set()
        assert trial.result(10)
        assert system.circuit("bank") is CircuitState.CLOSED


def test_a_retry_waits_until_the_circuit_allows_a_trial() -> None:
    clock = ManualClock()
    with ActionSystem(clock=clock, breaker=CircuitBreaker(failures=1, reset_after=60.0)) as system:
        assert system.submit(fail, target="bank", retry=None).wait(10)
        action = system.submit(int, target="bank", retry=Retry(1, initial=0.0))
        eventually(lambda: action.state is JobState.WAITING and action.attempts == 1)
        clock.advance(60.0)
        assert action.result(10) == 0


def test_a_stop_drains_actions_that_wait_for_a_resource() -> None:
    system = ActionSystem(resources={"bank": ResourceLimits(at_once=1)})
    actions = [system.submit(int, resource="bank") for _ in range(50)]
    assert system.stop().drained
    assert all(action.state is JobState.SUCCEEDED for action in actions)
    with pytest.raises(WorkStopped):
        system.submit(int, key="k")


def test_a_stop_cancels_an_action_that_waits_for_a_retry() -> None:
    system = ActionSystem()
    action = system.submit(fail, retry=Retry(initial=600.0, maximum=600.0))
    eventually(lambda: action.state is JobState.WAITING)
    assert not system.stop(timeout=0.05).drained
    assert action.state is JobState.CANCELLED


@pytest.mark.parametrize(
    ("submit", "word"),
    [
        (lambda system: system.submit(int, resource="moon"), "moon"),
        (lambda system: system.submit(int, key=3), "key"),
        (lambda _: ActionSystem(apply=3), "apply"),  # type: ignore[arg-type]
        (lambda _: ActionSystem(resources={"a": 3}), "resources"),  # type: ignore[dict-item]
        (lambda _: ActionSystem(breaker=3), "breaker"),  # type: ignore[arg-type]
        (lambda _: ActionSystem(dead=-1), "dead"),
        (lambda _: ResourceLimits(), "at_once, or rate"),
        (lambda _: ResourceLimits(rate=0), "rate"),
        (lambda _: CircuitBreaker(failures=0), "failures"),
    ],
)
def test_invalid_settings_are_rejected(submit: Callable[[ActionSystem], object], word: str) -> None:
    with ActionSystem() as system, pytest.raises(InvalidSetting, match=word):
        submit(system)


@pytest.mark.parametrize("how", ["cancelled", "shed"])
def test_the_key_of_an_action_without_an_attempt_is_free(how: str) -> None:
    with ActionSystem(workers=ONE, queue=QueueLimits(capacity=1, overflow="shed")) as system:
        _, over = hold(system)
        first = system.submit(int, key="k", priority=Priority.LOW)
        if how == "cancelled":
            first.cancel()
        system.submit(int)
        assert first.state == how
        over.set()
        eventually(lambda: system.metrics().totals.queued == 0)
        assert system.submit(int, key="k").result(10) == 0


def test_waiting_actions_of_a_resource_are_counted_until_they_end() -> None:
    with ActionSystem(resources={"r": ResourceLimits(at_once=1)}) as system:
        _, over = hold(system, resource="r")
        waiting = [system.submit(int, resource="r") for _ in range(5)]
        assert system.metrics().resources["r"].waiting == 5
        for action in waiting:
            action.cancel()
        assert system.metrics().resources["r"].waiting == 0
        over.set()


def test_an_action_resubmitted_for_feedback_is_counted_once() -> None:
    broken = True

    def apply(*_: object) -> None:
        if broken:
            raise OSError("down")

    with ActionSystem(apply=apply) as system:
        with pytest.raises(FeedbackFailed):
            system.submit(int, retry=None).result(10)
        broken = False
        assert system.resubmit(system.dead()[0]).result(10) == 0
        totals = system.metrics().totals
        assert (totals.submitted, totals.succeeded, totals.failed, totals.pending) == (2, 1, 1, 0)


def test_an_action_that_is_admitted_while_it_is_submitted_is_queued_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, running = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        running.set()
        second.wait(10)

    with ActionSystem(workers=ONE, queue=QueueLimits(capacity=1)) as system:
        system.submit(first.wait, 10)
        eventually(lambda: any(worker.job is not None for worker in system.workers()))
        system.submit(hold)
        call_later = system.pool._timers.call_later

        def meanwhile(delay: float, callback: Callable[[], object]) -> Timer:
            # The submission has left the lock, and its action waits outside the full queue. When the second one runs, the
            # worker has queued it.
            if delay == 77.0:
                first.set()
                assert running.wait(10)
            return call_later(delay, callback)

        monkeypatch.setattr(system.pool._timers, "call_later", meanwhile)
        action = system.submit(lambda: "done", deadline=77.0)
        second.set()
        assert action.result(10) == "done"
