"""Compressing a tier."""

import os
import string

from coterie.kernel import stream
from coterie.memory import MemoryRecord, Put
from coterie.memory.backends.in_process import InProcessBackend
from coterie.memory.compression import DICTIONARY_PREFIX, CompressedBackend, Compressor
from coterie.memory.contract import RecordFilter
from tests.memory.stores import FlakyBackend

NAMES = ["alice", "bob", "carol", "dave"]


def text(number: int) -> str:
    random = stream(number)
    return f'{{"type": "observation", "who": "{random.choice(NAMES)}", "content": "lent me {random.randrange(99)} coins at the market"}}'


def fill(backend: CompressedBackend, first: int, count: int) -> None:
    backend.write(
        [
            Put(MemoryRecord(str(n), f"k{n}", n + 1, text(n).encode(), text=text(n), context=text(n + 1)))
            for n in range(first, first + count)
        ]
    )


def test_whatever_is_compressed_comes_back_and_never_grows_by_more_than_its_mark() -> None:
    compressor = Compressor()
    for data in (b"", b"x", os.urandom(50), os.urandom(5_000), b"abc" * 5_000, text(1).encode()):
        shrunk = compressor.compress(data)
        assert compressor.decompress(shrunk) == data
        assert len(shrunk) <= len(data) + 1
    assert len(compressor.compress(b"abc" * 5_000)) < 100


def test_small_records_shrink_once_there_is_enough_to_learn_from() -> None:
    backend = CompressedBackend(InProcessBackend())
    fill(backend, 0, 100)
    assert not backend.maintain()
    fill(backend, 100, 1_500)
    before = backend.compressor.statistics()
    assert backend.maintain()
    fill(backend, 2_000, 500)
    after = backend.compressor.statistics()
    shrunk = (after.bytes_in - before.bytes_in) / (after.bytes_out - before.bytes_out)
    assert shrunk > 2.0
    assert shrunk > 1.3 * before.ratio
    assert after.dictionaries == 1
    # Old and new are read, and no dictionary is taken for a memory.
    assert backend.count() == 2_100
    for n in (0, 500, 2_100):
        found = backend.get([f"k{n}"])[f"k{n}"]
        assert (found.value, found.text, found.context) == (text(n).encode(), text(n), text(n + 1))
    keys = [record.key for record in backend.scan(limit=5_000)]
    assert len(keys) == 2_100
    assert not any(key.startswith(DICTIONARY_PREFIX) for key in keys)
    assert len(backend.recent(RecordFilter(), 5_000)) == 2_100


def test_a_dictionary_is_stored_with_the_data_and_loaded_by_every_reader() -> None:
    kept = FlakyBackend()
    one, other = CompressedBackend(kept), CompressedBackend(kept)
    assert other.get(["k0"]) == {}
    fill(one, 0, 1_500)
    assert one.maintain()
    fill(one, 2_000, 10)
    # It has looked for dictionaries before there was one.
    assert other.get(["k2005"])["k2005"].value == text(2_005).encode()
    assert CompressedBackend(kept).get(["k2005"])["k2005"].value == text(2_005).encode()


def test_a_new_dictionary_is_made_when_the_data_has_changed_and_the_old_is_kept() -> None:
    backend = CompressedBackend(InProcessBackend())
    fill(backend, 0, 1_500)
    assert backend.maintain()
    fill(backend, 2_000, 1_500)
    assert not backend.maintain()
    random = stream(5)
    words = ["".join(random.choices(string.ascii_letters + string.digits, k=9)) for _ in range(200)]
    trained = []
    for first in (10_000, 20_000):
        backend.write(
            [
                Put(MemoryRecord(str(n), f"k{n}", n + 1, " ".join(random.choices(words, k=25)).encode()))
                for n in range(first, first + 1_500)
            ]
        )
        trained.append(backend.maintain())
    assert trained == [True, False]
    assert backend.compressor.statistics().dictionaries == 2
    assert backend.get(["k2001"])["k2001"].value == text(2_001).encode()
