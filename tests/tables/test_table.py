"""Tables keep values as they are, and say in one line what is wrong."""

from pathlib import Path

import numpy as np
import pytest

from coterie.errors import InvalidSetting, TableError
from coterie.errors.tables import NoTable, TableUnreadable, TableUnwritable
from coterie.tables import DataTable
from coterie.tables.columns import GrowingColumn

TABLE = DataTable({"name": ["Ada", "Ben"], "age": [41, None], "share": [0.5, 2], "tags": [["a"], ["b", "c"]], "odd": [1, "x"]})


@pytest.mark.parametrize("ending", ["parquet", "arrow", "json", "jsonl"])
def test_a_file_gives_the_table_back(ending: str, tmp_path: Path) -> None:
    numbers = DataTable(
        {"n": [1, None, 3], "x": [0.5, None, 1.5], "t": ["a", None, ""], "b": [True, None, False], "l": [[1], None, []]}
    )
    assert DataTable.read(numbers.write(tmp_path / "deep" / f"t.{ending}")) == numbers


def test_missing_values_stay_missing_and_whole_numbers_whole() -> None:
    polars, pandas = TABLE.to_polars(), TABLE.to_pandas()
    assert polars["age"].to_list() == [41, None]
    assert str(polars.schema["age"]) == "Int64"
    assert str(pandas.dtypes["age"]) == "Int64"
    assert pandas["age"].isna().tolist() == [False, True]
    assert TABLE.frame().shape == (2, 5)


def test_columns_of_several_types_become_one_type_that_others_read() -> None:
    arrow = TABLE.to_arrow().to_pydict()
    assert arrow["share"] == [0.5, 2.0]
    assert arrow["odd"] == ["1", "x"]
    assert arrow["tags"] == ['["a"]', '["b", "c"]']
    assert DataTable({"n": [2**70, 1]}).to_arrow().to_pydict() == {"n": [str(2**70), "1"]}


def test_values_are_plain_copies() -> None:
    source = [[1, 2]]
    table = DataTable({"a": source, "b": [np.float64(1.5)], "c": [np.array([1, 2])]})
    source[0].append(3)
    assert table.to_list() == [{"a": [1, 2], "b": 1.5, "c": [1, 2]}]


def test_a_csv_has_empty_cells_for_missing_values_and_no_formulas() -> None:
    table = DataTable({"a": ["=1+1", "-5", None, "x,y"], "b": [1.5, None, True, -3]})
    assert table.csv() == 'a,b\n\'=1+1,1.5\n-5,\n,True\n"x,y",-3\n'


def test_a_growing_column_gives_its_values_back() -> None:
    values = [*range(5_000), *[0.5] * 5_000, *["x"] * 10, None]
    column = GrowingColumn()
    for value in values:
        column.append(value)
    assert list(column) == values


def test_rows_selections_and_markdown() -> None:
    table = DataTable.of_rows([{"a": 1}, {"b": 2, "a": 3}], columns=("b",))
    assert list(table) == ["b", "a"]
    assert table.where(a=3).to_list() == [{"b": 2, "a": 3}]
    assert table.markdown(1) == "| b | a |\n| --- | --- |\n|  | 1 |\n\n1 more rows\n"


def test_faults_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="same length"):
        DataTable({"a": [1], "b": []})
    with pytest.raises(InvalidSetting, match=r"builtins\.object is not plain data"):
        DataTable({"a": [object()]})
    with pytest.raises(NoTable, match=r"no column 'x' .there is: 'name'"):
        TABLE["x"]
    with pytest.raises(InvalidSetting, match="parquet"):
        TABLE.write(tmp_path / "t.xls")
    (tmp_path / "t.parquet").write_bytes(b"nothing")
    with pytest.raises(TableUnreadable, match=r"t\.parquet: it holds no table"):
        DataTable.read(tmp_path / "t.parquet")
    (tmp_path / "file").write_text("")
    with pytest.raises(TableUnwritable, match="choose another place"):
        TABLE.write(tmp_path / "file" / "t.csv")
    assert issubclass(TableUnreadable, TableError)
