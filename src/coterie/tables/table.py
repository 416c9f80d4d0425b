"""An immutable table of plain values, and its forms in files and other libraries."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from coterie.errors import ExtraMissing, InvalidSetting
from coterie.errors.tables import NoTable, TableUnreadable, TableUnwritable
from coterie.tables.columns import as_text, kind_of, plain, uniform

FORMATS = ("parquet", "arrow", "csv", "json", "jsonl")
"""The formats of files, which are their endings too."""

_PANDAS: dict[type | None, str] = {int: "Int64", float: "Float64", bool: "boolean", str: "string"}
"""The types of pandas that have missing values."""


class DataTable(Mapping[str, tuple[Any, ...]]):
    """Named columns of equal length. A mapping of names to tuples of values; missing values are None. Immutable.

    ::

        table = DataTable({"round": [1, 2], "gini": [0.31, None]})
        table["gini"]  # (0.31, None)
        table.frame()  # a polars or pandas frame, whichever is installed
        table.write("gini.parquet")

    Values are copied as plain data. Raises `InvalidSetting` for columns of different lengths and for values that are not plain.
    """

    __slots__ = ("_columns", "rows")

    def __init__(self, columns: Mapping[str, Iterable[Any]]) -> None:
        made: dict[str, tuple[Any, ...]] = {}
        for name, values in columns.items():
            try:
                made[str(name)] = tuple([plain(value) for value in values])
            except TypeError as error:
                raise InvalidSetting(f"DataTable[{name!r}]", name, f"plain values; {error}") from error
        lengths = {name: len(values) for name, values in made.items()}
        if len(set(lengths.values())) > 1:
            raise InvalidSetting("DataTable", lengths, "columns of the same length")
        self._columns = made
        self.rows = next(iter(lengths.values()), 0)
        """The number of rows."""

    @classmethod
    def of_rows(cls, rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = ()) -> DataTable:
        """Return the table of rows; a key that a row lacks is missing. `columns` are the first columns."""
        given = list(rows)
        names = list(dict.fromkeys([*columns, *(name for row in given for name in row)]))
        return cls({name: [row.get(name) for row in given] for name in names})

    def __getitem__(self, name: str) -> tuple[Any, ...]:
        try:
            return self._columns[name]
        except KeyError:
            raise NoTable("column", name, self._columns) from None

    def get(self, name: str, default: Any = None) -> Any:
        """Return a column, or `default` if there is none of that name."""
        return self._columns.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DataTable) and list(other.items()) == list(self.items())

    def __hash__(self) -> int:
        return hash((tuple(self._columns), self.rows))

    def __repr__(self) -> str:
        return f"<DataTable of {self.rows} rows: {', '.join(self._columns)}>"

    def to_list(self) -> list[dict[str, Any]]:
        """Return the rows as dicts."""
        return [dict(zip(self._columns, row, strict=True)) for row in zip(*self._columns.values(), strict=True)]

    def where(self, **values: Any) -> DataTable:
        """Return the table of the rows that have these values."""
        columns = [(self[name], value) for name, value in values.items()]
        kept = [place for place in range(self.rows) if all(column[place] == value for column, value in columns)]
        return DataTable({name: [column[place] for place in kept] for name, column in self._columns.items()})

    def without(self, *names: str) -> DataTable:
        """Return the table without some columns."""
        return DataTable({name: values for name, values in self._columns.items() if name not in names})

    def csv(self) -> str:
        """Return the table as comma-separated values: missing values are empty, nested ones are JSON.

        A text that a spreadsheet would read as a formula gets an apostrophe in front.
        """
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(map(_cell, self._columns))
        for row in zip(*self._columns.values(), strict=True):
            writer.writerow(map(_cell, row))
        return out.getvalue()

    def markdown(self, most: int = 100) -> str:
        """Return at most `most` rows as a table in Markdown."""
        names = list(self._columns)
        lines = [f"| {' | '.join(map(_escaped, names))} |", f"|{' --- |' * len(names)}"]
        for _, row in zip(range(most), zip(*self._columns.values(), strict=True), strict=False):
            lines.append(f"| {' | '.join(_escaped(_shown(value)) for value in row)} |")
        if self.rows > most:
            lines.append(f"\n{self.rows - most} more rows")
        return "\n".join(lines) + "\n"

    def to_arrow(self) -> Any:
        """Return a `pyarrow.Table`. Raises `ExtraMissing` without pyarrow."""
        try:
            import pyarrow  # noqa: ICN001, PLC0415 - only with the extra, here and below
        except ImportError as error:
            raise ExtraMissing("a table of Arrow", "simulation") from error
        return pyarrow.table(dict(self._uniform()))

    def to_polars(self) -> Any:
        """Return a `polars.DataFrame`. Raises `ExtraMissing` without polars."""
        try:
            import polars  # noqa: ICN001, PLC0415
        except ImportError as error:
            raise ExtraMissing("a frame of polars", "simulation") from error
        return polars.DataFrame(dict(self._uniform()))

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` of types that have missing values. Raises `ExtraMissing` without pandas."""
        try:
            import pandas  # noqa: ICN001, PLC0415
        except ImportError as error:
            raise ExtraMissing("a frame of pandas", "simulation") from error
        typed = {name: pandas.array(values, dtype=_PANDAS.get(kind_of(values), "object")) for name, values in self._uniform()}
        return pandas.DataFrame(typed)

    def frame(self) -> Any:
        """Return a frame of polars, or of pandas if polars is not installed. Raises `ExtraMissing` without both."""
        try:
            return self.to_polars()
        except ExtraMissing:
            try:
                return self.to_pandas()
            except ExtraMissing:
                raise ExtraMissing("a frame of polars or pandas", "simulation") from None

    def write(self, path: Path | str) -> Path:
        """Write a file, whole or not at all, and return its path. Its ending is the format: one of `FORMATS`.

        Raises `InvalidSetting` for another ending, `TableUnwritable`, and `ExtraMissing` for Parquet and Arrow without pyarrow.
        """
        target = Path(path)
        data = self._as_bytes(target.suffix.removeprefix("."), target)
        temporary = target.with_name(f".{target.name}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            return temporary.replace(target)
        except OSError as error:
            raise TableUnwritable(target, error.strerror or str(error)) from error

    @classmethod
    def read(cls, path: Path | str) -> DataTable:
        """Return the table in a file that `write` made: Parquet, Arrow, JSON or JSON lines.

        Raises `TableUnreadable`, and `ExtraMissing` for Parquet and Arrow without pyarrow.
        """
        source = Path(path)
        kind = source.suffix.removeprefix(".")
        if kind not in FORMATS or kind == "csv":
            raise TableUnreadable(source, "its ending names no format with types; give .parquet, .arrow, .json or .jsonl")
        try:
            if kind in ("parquet", "arrow"):
                return cls(_read_arrow(source, kind))
            text = source.read_text(encoding="utf-8")
            rows = json.loads(text) if kind == "json" else [json.loads(line) for line in text.splitlines() if line]
            return cls.of_rows(rows)
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise TableUnreadable(source, f"it holds no table: {error}") from error

    def _uniform(self) -> Iterator[tuple[str, list[Any]]]:
        """Yield each column in one type."""
        return ((name, uniform(values)) for name, values in self._columns.items())

    def _as_bytes(self, kind: str, target: Path) -> bytes:
        if kind == "csv":
            return self.csv().encode()
        if kind == "json":
            return json.dumps(_as_json(self.to_list()), ensure_ascii=False, indent=2).encode() + b"\n"
        if kind == "jsonl":
            return "".join(f"{json.dumps(_as_json(row), ensure_ascii=False)}\n" for row in self.to_list()).encode()
        if kind not in FORMATS:
            raise InvalidSetting("DataTable.write.path", str(target), f"a name with one of the endings {', '.join(FORMATS)}")
        return _arrow_bytes(self.to_arrow(), kind)


def _arrow_bytes(made: Any, kind: str) -> bytes:
    import pyarrow.ipc  # noqa: PLC0415
    import pyarrow.parquet  # noqa: PLC0415

    out = io.BytesIO()
    if kind == "parquet":
        pyarrow.parquet.write_table(made, out)
    else:
        with pyarrow.ipc.new_file(out, made.schema) as writer:
            writer.write_table(made)
    return out.getvalue()


def _read_arrow(path: Path, kind: str) -> dict[str, list[Any]]:
    try:
        import pyarrow.ipc  # noqa: PLC0415
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise ExtraMissing(f"reading the format {kind}", "simulation") from error
    if kind == "parquet":
        found: dict[str, list[Any]] = pyarrow.parquet.read_table(path).to_pydict()
        return found
    with pyarrow.ipc.open_file(path) as file:
        return dict(file.read_all().to_pydict())


def _as_json(value: Any) -> Any:
    """Return a value whose numbers JSON can hold: NaN and infinities are missing."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: _as_json(each) for name, each in value.items()}
    return [_as_json(each) for each in value] if isinstance(value, list) else value


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        number_like = value[:1] in "+-" and value[1:2].isdigit()
        # A spreadsheet would read such a text as a formula.
        return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") and not number_like else value
    return value if value is None or isinstance(value, int | float) else as_text(value)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else as_text(value) or ""


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
