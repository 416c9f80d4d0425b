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
    machine: str = ""
    """Where the last of them were measured."""

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Return the stored table, which is empty without a file."""
        path = PATH if path is None else path
        return msgspec.json.decode(path.read_bytes(), type=cls) if path.exists() else cls()

    def save(self, path: Path | None = None) -> None:
        """Write the table in a form whose differences can be read."""
        path = PATH if path is None else path
        lines = ",\n".join(
            f"    {_json(what)}: {_json([float(f'{each:.4g}') for each in ratio])}" for what, ratio in self.ratios.items()
        )
        path.write_text(f'{{\n  "machine": {_json(self.machine)},\n  "ratios": {{\n{lines}\n  }}\n}}\n')

    def with_rows(self, rows: Iterable[Row], machine: str = "") -> Self:
        """Return the table with the ratios of these rows, of this machine, in place of the earlier ones."""
        new = {row.what: row.ratio for row in rows if row.ratio is not None}
        return type(self)(dict(sorted({**self.ratios, **new}.items())), machine)

    def fallen(self, rows: Iterable[Row]) -> list[str]:
        """Return a line for each row whose ratios are lower than the stored ones by more than the spread of both."""
        return [
            f"{row.what}: {row.ratio}, before {before}"
            for row in rows
            if row.ratio is not None and (before := self.ratios.get(row.what)) is not None and row.ratio.high < before.low
        ]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
