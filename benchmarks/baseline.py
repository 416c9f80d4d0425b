"""The stored ratios, and what fell below them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

import msgspec

from benchmarks.harness import Row, Spread

PATH = Path(__file__).with_name("baseline.json")


class Baseline(msgspec.Struct, frozen=True):
    """The ratios of an earlier run, by the name of their row."""

    ratios: Mapping[str, Spread] = {}

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Return the stored table, which is empty without a file."""
        path = PATH if path is None else path
        return msgspec.json.decode(path.read_bytes(), type=cls) if path.exists() else cls()

    def save(self, path: Path | None = None) -> None:
        """Write the table in a form whose differences can be read."""
        path = PATH if path is None else path
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")

    def with_rows(self, rows: Iterable[Row]) -> Self:
        """Return the table with the ratios of these rows in place of the earlier ones."""
        new = {row.what: row.ratio for row in rows if row.ratio is not None}
        return type(self)(dict(sorted({**self.ratios, **new}.items())))

    def fallen(self, rows: Iterable[Row]) -> list[str]:
        """Return a line for each row whose ratios are lower than the stored ones by more than the spread of both."""
        return [
            f"{row.what}: {row.ratio}, before {before}"
            for row in rows
            if row.ratio is not None and (before := self.ratios.get(row.what)) is not None and row.ratio.high < before.low
        ]
