"""Counts and metrics of pools, read without stopping a worker."""

from __future__ import annotations

import enum

import msgspec

from coterie.telemetry import DurationSummary
from coterie.telemetry.durations import DurationRecorder
from coterie.work.jobs.kinds import JobState


class LaneMetrics(msgspec.Struct, frozen=True):
    """The counts of one lane: a type of job or a stage of action.

    ``submitted == succeeded + failed + timed_out + cancelled + shed + pending``, exact while no job moves.
    """

    submitted: int = 0
    """Accepted jobs."""
    succeeded: int = 0
    failed: int = 0
    timed_out: int = 0
    cancelled: int = 0
    shed: int = 0
    refused: int = 0
    """Jobs that found the queue full; not counted as submitted."""
    retries: int = 0
    """Attempts after the first."""
    pending: int = 0
    """Jobs that have not ended."""
    queued: int = 0
    """Jobs that are ready and wait for a worker."""
    running: int = 0
    oldest_wait: float = 0.0
    """Seconds that the oldest queued job has waited."""
    wait: DurationSummary = DurationSummary()
    """Times that attempts waited for a worker."""
    run: DurationSummary = DurationSummary()
    """Times that attempts ran."""


class ScalingEvent(msgspec.Struct, frozen=True):
    """A change of the number of workers. `at` is in seconds of the wall clock."""

    at: float
    pool: str
    before: int
    after: int
    reason: str


class WorkerState(enum.StrEnum):
    """The state of a worker."""

    IDLE = "idle"
    BUSY = "busy"
    WAITING = "waiting"
    """Its job waits for other jobs; another worker replaces it meanwhile."""
    ABANDONED = "abandoned"
    """Its job has ended, but the function still holds the thread."""


class WorkerStatus(msgspec.Struct, frozen=True):
    """One worker at one moment."""

    name: str
    pool: str
    """``threads`` or ``processes``."""
    state: WorkerState
    home: str
    """The type of job, or the stage of action, that it serves first."""
    job: str | None = None
    """The id of its job."""
    task: str | None = None
    """The name of the function of its job."""
    seconds: float = 0.0
    """Seconds for which it has run its job."""
    attempts: int = 0
    """Attempts that it has made."""
    load: float = 0.0
    """The part of its time in which it ran jobs, from 0 to 1."""
    pid: int | None = None
    """The id of its process."""


class WorkMetrics(msgspec.Struct, frozen=True):
    """The metrics of an engine or an action system at one moment. Taking them blocks no worker."""

    name: str
    lanes: dict[str, LaneMetrics]
    """Counts by type of task, or by stage of action."""
    workers: dict[str, int]
    """Workers by pool: threads, processes."""
    busy: int
    """Workers that run a job and do not wait for another."""
    utilisation: float
    """The busy part of the workers, from 0 to 1."""
    abandoned: int
    """Threads whose job has ended but whose function has not returned."""
    late: int
    """Attempts that returned after their job had ended."""
    callback_errors: int
    scaling: tuple[ScalingEvent, ...]
    """Recent changes of the number of workers."""
    wait_per_compute: float | None = None
    """Measured seconds of waiting per second of computing, for jobs on threads; None until there are enough samples."""
    worker_status: tuple[WorkerStatus, ...] = ()
    """Each worker: its state, its job and its load."""
    retained_bytes: int = 0
    """About how many bytes the results of retained jobs hold."""
    unheard: int = 0
    """Failures that were logged because no caller took their errors in time."""

    @property
    def totals(self) -> LaneMetrics:
        """Return the sums over all lanes."""
        sums = LaneMetrics()
        for lane in self.lanes.values():
            sums = add(sums, lane)
        return sums


class LaneCounts:
    """The counts of one lane. Written under the pool's lock; safe to read without it."""

    __slots__ = ("_run", "_wait", "ended", "refused", "retries", "running", "submitted")

    def __init__(self) -> None:
        self.submitted = self.refused = self.retries = self.running = 0
        self.ended: dict[JobState, int] = {state: 0 for state in JobState if state.ended}
        self._wait, self._run = DurationRecorder(), DurationRecorder()

    def measure(self, waited: float, ran: float) -> None:
        """Record the times of one attempt, in seconds."""
        self._wait.record(waited)
        self._run.record(ran)

    def snapshot(self, queued: int, oldest_wait: float) -> LaneMetrics:
        """Return the current counts."""
        ended = dict(self.ended)
        return LaneMetrics(
            submitted=self.submitted,
            succeeded=ended[JobState.SUCCEEDED],
            failed=ended[JobState.FAILED],
            timed_out=ended[JobState.TIMED_OUT],
            cancelled=ended[JobState.CANCELLED],
            shed=ended[JobState.SHED],
            refused=self.refused,
            retries=self.retries,
            pending=max(0, self.submitted - sum(ended.values())),
            queued=queued,
            running=self.running,
            oldest_wait=oldest_wait,
            wait=self._wait.summary(),
            run=self._run.summary(),
        )


def add(one: LaneMetrics, other: LaneMetrics) -> LaneMetrics:
    """Return the sum of two lanes. Its quantiles are those of the lane with more samples; its mean covers both."""
    names = [name for name in one.__struct_fields__ if isinstance(getattr(one, name), int)]
    sums = {name: getattr(one, name) + getattr(other, name) for name in names}
    return LaneMetrics(
        **sums,
        oldest_wait=max(one.oldest_wait, other.oldest_wait),
        wait=one.wait.plus(other.wait),
        run=one.run.plus(other.run),
    )
