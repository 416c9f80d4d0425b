"""Whatever is done to jobs in whatever order, each takes only steps that there are, and ends once."""

import threading
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from coterie.errors import QueueFull
from coterie.testing import ManualClock, eventually
from coterie.work import Bounds, Job, JobState, Priority, ProcessingEngine, QueueLimits, QueueOverflow, Retry

WORKERS = 2


class Scripted:
    """A function that does, each time it is called, what it is told."""

    def __init__(self) -> None:
        self.begun = 0
        self.told: list[str] = []
        self.bell = threading.Semaphore(0)

    def __call__(self) -> str:
        self.begun += 1
        self.bell.acquire()
        if self.told.pop(0) == "raise":
            raise OSError("told so")
        return "well"


class Life(RuleBasedStateMachine):
    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.engine = ProcessingEngine(
            threads=Bounds(WORKERS, WORKERS),
            clock=self.clock,
            balance_every=1e6,
            queue=QueueLimits(capacity=4, overflow=QueueOverflow.SHED, age_after=5.0),
        )
        self.scripts: dict[Job[Any], Scripted] = {}
        self.heard: dict[Job[Any], list[JobState]] = {}

    @rule(
        target=jobs,
        priority=st.sampled_from(list(Priority)),
        retries=st.integers(0, 2),
        timeout=st.none() | st.sampled_from([3.0, 8.0]),
        deadline=st.none() | st.sampled_from([4.0, 20.0]),
    )
    def submit(self, priority: Priority, retries: int, timeout: float | None, deadline: float | None) -> Job[Any]:
        script = Scripted()
        job = self.engine.submit(
            script,
            priority=priority,
            retry=Retry(retries, initial=1.0, jitter=0.0),
            timeout=timeout,
            deadline=deadline,
        )
        self.scripts[job] = script
        self.heard[job] = []
        job.on_done(lambda job: self.heard[job].append(job.state))
        self.settle()
        return job

    @rule(job=jobs, what=st.sampled_from(["return", "raise"]))
    def come_to_an_end(self, job: Job[Any], what: str) -> None:
        if job.state is JobState.RUNNING:
            attempts = job.attempts
            self.tell(job, what)
            eventually(lambda: job.state is not JobState.RUNNING or job.attempts > attempts)
            if what == "return":
                assert job.done
                assert job.exception() is None
        self.settle()

    @rule(job=jobs)
    def cancel(self, job: Job[Any]) -> None:
        before = job.state
        cancelled = job.cancel()
        assert cancelled is (before in (JobState.WAITING, JobState.QUEUED, JobState.CANCELLED))
        self.settle()

    @rule(job=consumes(jobs))
    def forget(self, job: Job[Any]) -> None:
        """Look at it no more."""

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds, after_step=self.settle)

    @invariant()
    def every_job_is_in_one_place(self) -> None:
        totals = self.engine.metrics().totals
        states = [job.state for job in self.scripts]
        assert totals.submitted == len(states)
        for state in (JobState.SUCCEEDED, JobState.FAILED, JobState.TIMED_OUT, JobState.CANCELLED, JobState.SHED):
            assert getattr(totals, state.name.lower()) == states.count(state)
        assert totals.queued == states.count(JobState.QUEUED) <= 4 + len(states)
        assert totals.running == states.count(JobState.RUNNING) <= WORKERS
        if states.count(JobState.RUNNING) < WORKERS:
            assert JobState.QUEUED not in states

    @invariant()
    def an_end_is_heard_of_once_and_never_left(self) -> None:
        for job, heard in self.heard.items():
            assert heard == ([job.state] if job.state.ended else [])
            assert job.done == job.state.ended
            assert len(job.history) <= job.attempts <= 3

    def tell(self, job: Job[Any], what: str) -> None:
        self.scripts[job].told.append(what)
        self.scripts[job].bell.release()

    def settle(self) -> None:
        """Wait until no worker is between two jobs."""

        def settled() -> bool:
            states = [job.state for job in self.scripts]
            ready = JobState.QUEUED in states and states.count(JobState.RUNNING) < WORKERS
            begun = all(
                self.scripts[job].begun == job.attempts and (job.timeout is None or job.timer is not None)
                for job in self.scripts
                if job.state is JobState.RUNNING
            )
            return not ready and begun and all(job.done for job in self.scripts if job.state.ended)

        eventually(settled)

    def teardown(self) -> None:
        for script in self.scripts.values():
            for _ in range(4):
                script.told.append("return")
                script.bell.release()
        assert self.engine.stop(drain=False).stuck == ()
        assert all(job.done for job in self.scripts)
        totals = self.engine.metrics().totals
        assert totals.pending == totals.running == totals.queued == 0


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_full_queue_accepts_retries() -> None:
    clock = ManualClock()
    limits = QueueLimits(capacity=1, overflow=QueueOverflow.REJECT)
    with ProcessingEngine(threads=Bounds(1, 1), clock=clock, queue=limits) as engine:
        jobs: list[Job[Any]] = []
        while len(jobs) < 20:
            try:
                jobs.append(engine.submit(divmod, 1, 0, retry=Retry(1, initial=1.0, jitter=0.0)))
            except QueueFull:
                eventually(lambda: all(job.state is JobState.WAITING for job in jobs))
        eventually(lambda: all(job.state is JobState.WAITING for job in jobs))
        clock.advance(1.0)
        assert all(job.wait(10) for job in jobs)
        assert engine.metrics().totals.failed == 20
