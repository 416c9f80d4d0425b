"""Maintenance of the tiers: delete expired memories, move quiet ones on, bring busy ones back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from coterie.concurrency import Rank, new_lock
from coterie.errors import CoterieError, describe
from coterie.memory.compression import CompressedBackend
from coterie.memory.contract import Delete, Put
from coterie.memory.record import MaintenanceAction, MemoryRecord, Tier
from coterie.memory.tiers import rules
from coterie.memory.tiers.metrics import MaintenanceReport
from coterie.memory.tiers.moving import Mover, PlannedMove
from coterie.memory.tiers.store import TierStore
from coterie.memory.tiers.working import WorkingTier

_log = logging.getLogger(__name__)

_PAGE = 500
"""The maximum of memories in one step; writers cannot write to them meanwhile."""
_EARLIEST = (float("-inf"), "")


@dataclass(slots=True)
class MaintenanceCounts:
    """Counters over all runs."""

    runs: int = 0
    failures: int = 0
    promoted: int = 0
    demoted: int = 0
    expired: int = 0
    kept: int = 0


class Maintenance:
    """Applies the rules to the store. Safe from many threads: `_lock` lets one run at a time."""

    def __init__(self, store: TierStore) -> None:
        self.counts = MaintenanceCounts()
        self._store = store
        self._mover = Mover(store.archive, {working.tier: working.backend for working in store.working}, store)
        self._lock = new_lock(Rank.MAINTENANCE)

    def run(self) -> MaintenanceReport:
        """Do everything that is due now, and return a report.

        An unavailable tier ends the run, and the report names the problem; the next run does the rest.
        """
        report = MaintenanceReport()
        with self._lock:
            self.counts.runs += 1
            try:
                self._run(report)
            except CoterieError as error:
                self.counts.failures += 1
                report.problem = describe(error)
                _log.warning("maintenance is incomplete: %s", error)
            self.counts.promoted += report.promoted
            self.counts.demoted += report.demoted
            self.counts.expired += report.expired
            self.counts.kept += report.kept
        return report

    def _run(self, report: MaintenanceReport) -> None:
        store = self._store
        now = store.clock.time()
        uses = store.count_uses()
        store.queue.flush(store.config.write_timeout, patient=False)
        for working in store.working:
            if working.unreconciled:
                self._reconcile(working)
        self._each(
            lambda after: store.archive.expired(now, after, _PAGE),
            lambda record: rules.when_expired(record, now),
            lambda record: (record.expires or 0.0, record.key),
            report,
        )
        busy = [key for key, count in uses.items() if count >= store.config.busy_uses]
        for record in store.archive.get(busy).values():
            verdict = rules.when_busy(record, uses[record.key], store.config)
            if verdict is not None and not record.expired(now):
                self._carry_out([PlannedMove(record, verdict)], report)
        for tier in (Tier.INTERMEDIATE, Tier.SHORT):
            limit = now - rules.time_in_tier(tier, store.config)
            self._each(
                lambda after, tier=tier, limit=limit: store.archive.due(tier, _just_after(limit), after, _PAGE),  # type: ignore[misc]
                lambda record: rules.when_time_is_up(record, now, store.config),
                lambda record: (record.entered, record.key),
                report,
            )
        self._trim(report)
        for working in store.working:
            if isinstance(working.backend, CompressedBackend):
                report.trained = working.backend.maintain() or report.trained

    def _trim(self, report: MaintenanceReport) -> None:
        tally = self._store.archive.tally()
        for tier, most in ((Tier.SHORT, self._store.config.stm_size), (Tier.INTERMEDIATE, self._store.config.im_size)):
            excess = sum(count for (place, _), count in tally.items() if place == tier) - most
            after = _EARLIEST
            while excess > 0:
                page = self._store.archive.due(tier, float("inf"), after, min(excess, _PAGE))
                if not page:
                    break
                self._carry_out([PlannedMove(record, rules.when_crowded(record)) for record in page], report)
                excess -= len(page)
                after = (page[-1].entered, page[-1].key)

    def _each(
        self,
        pages: Callable[[tuple[float, str]], list[MemoryRecord]],
        decide: Callable[[MemoryRecord], rules.MaintenanceVerdict | None],
        place: Callable[[MemoryRecord], tuple[float, str]],
        report: MaintenanceReport,
    ) -> None:
        after = _EARLIEST
        while page := pages(after):
            moves = [PlannedMove(record, verdict) for record in page if (verdict := decide(record)) is not None]
            self._carry_out(moves, report)
            after = place(page[-1])

    def _carry_out(self, moves: list[PlannedMove], report: MaintenanceReport) -> None:
        done = self._mover.carry_out(moves, self._store.clock.time())
        report.skipped += len(moves) - len(done)
        for move in done:
            match move.verdict.action:
                case MaintenanceAction.PROMOTED:
                    report.promoted += 1
                case MaintenanceAction.DEMOTED:
                    report.demoted += 1
                case MaintenanceAction.KEPT:
                    report.kept += 1
                case _:
                    report.expired += 1

    def _reconcile(self, working: WorkingTier) -> None:
        """Reconcile a persistent tier with the archive.

        A record that only the tier has was acknowledged, so copy it to the archive; delete a record that is older than that of
        the archive.
        """
        archive = self._store.archive
        for page in _pages(working):
            kept = archive.get([record.key for record in page])
            stale = [
                record for record in page if (there := kept.get(record.key)) is not None and there.version > record.version
            ]
            archive.write([Put(record) for record in page if record.key not in kept])
            working.backend.write([Delete(record.key, record.version) for record in stale])
        working.unreconciled = False


def _pages(working: WorkingTier) -> Iterator[list[MemoryRecord]]:
    after = ""
    while page := working.backend.scan(after, _PAGE):
        yield [record for record in page if not record.key.startswith("\x1f")]
        after = page[-1].key


def _just_after(time: float) -> float:
    """Return an exclusive end that includes `time`."""
    return time + 1e-6
