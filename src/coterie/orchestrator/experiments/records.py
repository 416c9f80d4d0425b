"""The record of an experiment: a ledger of runs in its folder, and the result with its statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import msgspec

from coterie.errors import InvalidSetting
from coterie.errors.orchestrator import ExperimentChanged, RunFolderFailed
from coterie.orchestrator.experiments.design import Design
from coterie.orchestrator.experiments.statistics import (
    SampleComparison,
    SampleSummary,
    compare_groups,
    summarise_sample,
)
from coterie.orchestrator.sweep import SweepRow
from coterie.tables import DataTable

ABOUT = "experiment.json"
RUNS = "runs.jsonl"
_NEVER = "it was not made"


class _About(msgspec.Struct):
    name: str
    identity: str


class RunLedger:
    """The runs of an experiment that have ended, in a file of JSON lines if it has a folder. Used by one thread.

    When `add` returns, the system has the row, so that a killed experiment has all runs so far.
    """

    def __init__(self, folder: Path | None, name: str, identity: str) -> None:
        self._rows: dict[bytes, SweepRow] = {}
        self._file: BinaryIO | None = None
        if folder is None:
            return
        about = folder / ABOUT
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if about.is_file():
                self._check(about, identity)
            else:
                about.write_bytes(msgspec.json.format(msgspec.json.encode(_About(name, identity)), indent=2) + b"\n")
            path = folder / RUNS
            whole = self._read(path) if path.is_file() else 0
            self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
            # A last line that was cut off by a kill is overwritten.
            self._file.truncate(whole)
            self._file.seek(whole)
        except OSError as error:
            raise RunFolderFailed(folder, error) from error

    @staticmethod
    def _check(about: Path, identity: str) -> None:
        try:
            found = msgspec.json.decode(about.read_bytes(), type=_About)
        except msgspec.DecodeError as error:
            raise ExperimentChanged(about.parent, f"its {about.name} cannot be read") from error
        if found.identity != identity:
            raise ExperimentChanged(
                about.parent, f"its runs were made by another function or scenario than the given one ({found.name})"
            )

    def _read(self, path: Path) -> int:
        """Read the rows of earlier runs, and return the length of the whole lines in bytes."""
        whole = 0
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                row = msgspec.json.decode(line, type=SweepRow)
            except (msgspec.DecodeError, msgspec.ValidationError):
                break
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            self._rows[_key(row.settings, row.seed)] = row
        return whole

    def find(self, settings: Mapping[str, Any], seed: int) -> SweepRow | None:
        """Return the row of a run that has ended without an error, or None."""
        row = self._rows.get(_key(settings, seed))
        return None if row is None or row.error else row

    def row(self, settings: Mapping[str, Any], seed: int) -> SweepRow:
        """Return the row of a run, also of one that failed."""
        return self._rows.get(_key(settings, seed)) or SweepRow(dict(settings), seed, error=_NEVER)

    def add(self, row: SweepRow) -> None:
        """Add the row of a run that has ended. Raises `RunFolderFailed`."""
        self._rows[_key(row.settings, row.seed)] = row
        if self._file is not None:
            try:
                self._file.write(msgspec.json.encode(row, enc_hook=str) + b"\n")
            except OSError as error:
                raise RunFolderFailed(self._file.name, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()


def _key(settings: Mapping[str, Any], seed: int) -> bytes:
    return msgspec.json.encode([dict(settings), seed], order="deterministic", enc_hook=str)


class ExperimentResult(msgspec.Struct, frozen=True):
    """The rows of all runs of an experiment, in the order of the design, and what follows from them."""

    name: str
    design: Design
    seeds: tuple[int, ...]
    paired: bool
    rows: tuple[SweepRow, ...]
    folder: Path | None = None
    plotted: str = ""
    """The figure that the report begins with; empty for the first that is a number."""

    @property
    def failed(self) -> tuple[SweepRow, ...]:
        """The runs that failed, each with its error."""
        return tuple(row for row in self.rows if row.error)

    @property
    def measures(self) -> tuple[str, ...]:
        """The names of the figures that are numbers, the plotted one first."""
        names = list(dict.fromkeys(name for row in self.rows for name in row.figures))
        numbers = [name for name in names if any(_is_number(row.figures.get(name)) for row in self.rows)]
        return tuple(sorted(numbers, key=lambda name: name != self.plotted)) if self.plotted else tuple(numbers)

    def table(self) -> DataTable:
        """Return a row for each run: its settings, seed, figures, forfeits, digest and error."""
        return DataTable.of_rows(
            [
                {
                    **row.settings,
                    "seed": row.seed,
                    **row.figures,
                    "forfeits": None if row.error else row.forfeits,
                    "digest": row.digest or None,
                    "error": row.error or None,
                }
                for row in self.rows
            ]
        )

    def frame(self) -> Any:
        """Return the runs as a frame of polars, or of pandas; see `DataTable.frame`."""
        return self.table().frame()

    def groups(self, measure: str = "", by: str = "") -> dict[str, list[float | None]]:
        """Return the values of a figure by cell, or by the value of a factor; None for a run that failed or lacks it.

        Raises `InvalidSetting` for an unknown figure or factor.
        """
        name = measure or (self.measures[0] if self.measures else "")
        if name not in self.measures:
            raise InvalidSetting(
                "ExperimentResult.measure", name, f"one of {', '.join(self.measures) or 'no figure: all runs failed'}"
            )
        if by and by not in self.design.cells[0]:
            raise InvalidSetting("ExperimentResult.by", by, f"one of {', '.join(self.design.cells[0])}")
        factors = (by,) if by else self.design.factors
        groups: dict[str, list[float | None]] = {}
        for row in self.rows:
            label = ", ".join(f"{factor}={_shown(row.settings[factor])}" for factor in factors) or "all"
            value = row.figures.get(name)
            groups.setdefault(label, []).append(float(value) if isinstance(value, int | float) else None)
        return groups

    def summary(self, measure: str = "", *, by: str = "", confidence: float = 0.95) -> list[SampleSummary]:
        """Return the summary of a figure for each cell, or each value of the factor `by`. Needs the extra ``simulation``."""
        groups = self.groups(measure, by)
        return [summarise_sample(values, name, confidence=confidence) for name, values in groups.items()]

    def compare(
        self, measure: str = "", *, by: str = "", baseline: str = "", confidence: float = 0.95, seed: int = 0
    ) -> list[SampleComparison]:
        """Compare a figure of each cell, or each value of the factor `by`, with a baseline, by default the first.

        Cells of a paired design are compared in pairs of equal seeds. All p-values are adjusted together (Holm). Needs the extra
        ``simulation``. Raises `InvalidSetting` for a design of one cell, an unknown figure, or an unknown baseline.
        """
        groups = self.groups(measure, by)
        return compare_groups(groups, baseline=baseline, paired=self.paired, confidence=confidence, seed=seed)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def as_table(rows: Sequence[SampleSummary] | Sequence[SampleComparison]) -> DataTable:
    """Return summaries or comparisons as a table."""
    return DataTable.of_rows([msgspec.to_builtins(row) for row in rows])
