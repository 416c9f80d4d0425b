"""Tables of data: immutable columns of plain values, as Arrow, Parquet, CSV, polars or pandas.

A table is the common form of collected data, survey answers, runs of an experiment and exports. It needs no extra; files and
frames of other libraries need the extra ``simulation`` or pandas. It knows no agents and no worlds: the rooms above fill it.
"""

from coterie.tables.table import DataTable

__all__ = ["DataTable"]
