"""How many workers there may be, and how their number and their homes follow the load: pure rules, without threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coterie.kernel import check_number

_BUSY = 0.8
_IDLE = 0.2


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the most workers of a pool. Those of the least are started when they are first needed."""

    least: int
    most: int

    def __post_init__(self) -> None:
        check_number("Bounds.least", self.least, least=1, whole=True)
        check_number("Bounds.most", self.most, least=self.least, whole=True)

    def wanted(self, workers: int, utilisation: float, queued: int) -> int:
        """Return how many workers there should be.

        Over 80 % utilisation and with more jobs queued than workers it grows by the jobs for each worker; below 20 %
        and with nothing queued it gives up half of what is above the least.
        """
        if workers and utilisation > _BUSY and queued > workers:
            return max(workers, min(self.most, workers + max(1, queued // workers)))
        if utilisation < _IDLE and not queued and workers > self.least:
            return workers - max(1, min(workers - self.least, workers // 2))
        return min(workers, self.most) if workers > self.most else workers


def homes(workers: int, load: Sequence[int]) -> list[int]:
    """Return for each worker the queue that it serves first, in proportion to their loads.

    Shares are rounded by largest remainders, so that they add up to `workers`; without load they are equal. If there
    are workers enough, no queue is without one.
    """
    lanes = len(load)
    weights = load if any(load) else [1] * lanes
    least = 1 if workers >= lanes else 0
    spare = workers - least * lanes
    total = sum(weights)
    shares = [spare * weight / total for weight in weights]
    counts = [least + int(share) for share in shares]
    by_remainder = sorted(range(lanes), key=lambda lane: (int(shares[lane]) - shares[lane], lane))
    for lane in by_remainder[: workers - sum(counts)]:
        counts[lane] += 1
    return [lane for lane, count in enumerate(counts) for _ in range(count)]
