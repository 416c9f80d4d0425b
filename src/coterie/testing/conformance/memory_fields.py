"""The part of the contract of backends that concerns filters on fields of values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from coterie.kernel import Codec
from coterie.memory import Archive, Backend, MemoryRecord, Put, SearchQuery, any_of, at_least, at_most, has
from coterie.memory.contract import RecordFilter
from coterie.memory.fields import check_where

VALUES: dict[str, Any] = {
    "ann": {"speaker": "Ann", "tags": ["food", "home", 7], "price": 5, "paid": True, "note": None},
    "ben": {"speaker": "Ben", "tags": ["work"], "price": 5.5, "paid": False, "at": datetime(2024, 5, 8, tzinfo=UTC)},
    "cy": {"speaker": "Ärger 'x' \"y\" % _ \\ 🎉", "tags": "food", "price": "5", "deep": {"city": "Rome", "zip": {"code": 1}}},
    "dora": {"speaker": ["Ann"], "price": 2**63 + 1, "tags": [], "paid": 1, "odd.name": 1, 'quote"d': 2, "huge": "x" * 1_001},
    "text": "speaker Ann",
    "list": ["Ann"],
}

WHERE: list[tuple[dict[str, Any], set[str]]] = [
    ({"speaker": "Ann"}, {"ann"}),
    ({"speaker": "ann"}, set()),
    ({"speaker": VALUES["cy"]["speaker"]}, {"cy"}),
    ({"speaker": any_of("Ann", "Ben")}, {"ann", "ben"}),
    ({"speaker": any_of()}, set()),
    ({"tags": has("food")}, {"ann"}),
    ({"tags": has(7)}, {"ann"}),
    ({"tags": "food"}, {"cy"}),
    ({"tags": has("food"), "price": at_most(5)}, {"ann"}),
    ({"price": 5}, {"ann"}),
    ({"price": 5.0}, {"ann"}),
    ({"price": "5"}, {"cy"}),
    ({"price": at_most(5)}, {"ann"}),
    ({"price": at_most(5.5)}, {"ann", "ben"}),
    ({"price": at_least(5.25)}, {"ben", "dora"}),
    ({"price": at_least("4")}, {"cy"}),
    ({"paid": True}, {"ann"}),
    ({"paid": False}, {"ben"}),
    ({"paid": 1}, {"dora"}),
    ({"note": None}, {"ann"}),
    ({"missing": None}, set()),
    ({"missing": "Ann"}, set()),
    ({"speaker": at_least("Aaa")}, {"ann", "ben", "cy"}),
    ({"deep.city": "Rome", "deep.zip.code": at_most(1)}, {"cy"}),
    ({"odd.name": 1, 'quote"d': 2}, {"dora"}),
    ({"at": datetime(2024, 5, 8, tzinfo=UTC)}, {"ben"}),
    ({"at": at_least(datetime(2024, 5, 7, tzinfo=UTC))}, {"ben"}),
    ({"huge": "x" * 1_000}, set()),
    ({}, set(VALUES)),
]


class FieldFilters:
    """Filters choose records by the fields of their values. A part of `BackendConformance`."""

    def test_a_filter_chooses_by_the_fields_of_values(self, backend: Backend) -> None:
        codec = Codec()
        values = {key: codec.encode(value) for key, value in VALUES.items()}
        backend.write(
            [
                Put(MemoryRecord(id=key, key=key, version=n + 1, value=body, agent="a", text="word"))
                for n, (key, body) in enumerate(values.items())
            ]
        )
        for where, expected in WHERE:
            tests = check_where(where)
            assert {each.key for each in backend.recent(RecordFilter(where=tests), 10)} == expected, where
            assert {each.key for each in backend.recent(RecordFilter(agents=("a",), where=tests), 10)} == expected, where
            if isinstance(backend, Archive):
                hits = backend.search(SearchQuery(("word",), agents=("a",), where=tests))
                assert {hit.record.key for hit in hits} == expected, where
