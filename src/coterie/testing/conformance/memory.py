"""Conformance suites: the contract of every backend, and that of an archive."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest

from coterie.kernel import stream
from coterie.memory import Archive, Backend, Delete, MemoryKind, MemoryRecord, Put, SearchQuery, Tier, Touch
from coterie.memory.contract import RecordFilter
from coterie.memory.record import MaintenanceAction, MaintenanceDecision
from coterie.testing.conformance.memory_fields import FieldFilters
from coterie.testing.conformance.memory_languages import ManyLanguages
from coterie.testing.waiting import run_together


def record(key: str, version: int = 1, **fields: Any) -> MemoryRecord:
    """Return a minimal record."""
    return MemoryRecord(**{"id": f"id of {key}", "key": key, "version": version, "value": b"\xc0", **fields})


class BackendConformance(FieldFilters):
    """The contract of every backend. Override the fixture `backend`: it yields an empty one and closes it."""

    @pytest.fixture
    def backend(self) -> Iterator[Backend] | Backend:
        raise NotImplementedError("override the fixture `backend`")

    def test_a_record_comes_back_as_it_was_written(self, backend: Backend) -> None:
        whole = MemoryRecord(
            id="1f",
            key="alice/κλειδί/🔑",
            version=2**62,
            value=bytes(range(256)),
            agent="alice",
            kind=MemoryKind.EPISODE,
            importance=0.1,
            created=1_000_000_000.123456,
            last_access=1_000_000_001.5,
            access_count=7,
            expires=1_000_000_002.25,
            tier=Tier.INTERMEDIATE,
            entered=1_000_000_000.5,
            text="Bob lent me 5 coins",
            context="yesterday; 'quotes', \"double\" and a % sign",
            sources=("a", "b"),
            valid_from=1.0,
            valid_until=2.0,
            model="small",
            vector=struct.pack("<3f", 0.6, 0.8, 0.0),
        )
        bare = record("bare", 1)
        assert backend.write([Put(whole), Put(bare)]) == [True, True]
        assert backend.get([whole.key, "bare", "missing"]) == {whole.key: whole, "bare": bare}

    def test_a_record_is_replaced_by_a_newer_one_and_not_by_an_older(self, backend: Backend) -> None:
        backend.write([Put(record("k", 5, value=b"\x05"))])
        assert backend.write([Put(record("k", 4, value=b"\x04")), Put(record("k", 6, value=b"\x06"))]) == [False, True]
        assert backend.get(["k"])["k"].value == b"\x06"
        assert backend.count() == 1

    def test_writing_the_same_again_is_done_and_changes_nothing(self, backend: Backend) -> None:
        assert backend.write([Put(record("k", 5)), Put(record("k", 5))]) == [True, True]
        assert backend.count() == 1
        assert len(backend.recent(RecordFilter(), 10)) == 1

    def test_a_conditional_put_is_done_only_on_the_version_it_expects(self, backend: Backend) -> None:
        assert backend.write([Put(record("k", 3), expected=2)]) == [False]
        assert backend.write([Put(record("k", 3), expected=0)]) == [True]
        assert backend.write([Put(record("k", 4), expected=0)]) == [False]
        assert backend.write([Put(record("k", 4), expected=3), Put(record("k", 9), expected=3)]) == [True, False]
        assert backend.get(["k"])["k"].version == 4

    def test_a_delete_keeps_a_newer_record(self, backend: Backend) -> None:
        backend.write([Put(record("k", 5))])
        assert backend.write([Delete("k", 4)]) == [False]
        assert backend.count() == 1
        assert backend.write([Delete("k", 5), Delete("k", 5), Delete("never", 1)]) == [True, True, True]
        assert backend.get(["k"]) == {}
        assert backend.count() == 0
        assert backend.recent(RecordFilter(), 10) == []

    def test_later_changes_of_a_batch_see_earlier_ones(self, backend: Backend) -> None:
        done = backend.write(
            [Put(record("k", 1)), Put(record("k", 2), expected=1), Delete("k", 2), Put(record("k", 3), expected=0)]
        )
        assert done == [True, True, True, True]
        assert backend.get(["k"])["k"].version == 3

    def test_many_at_once_are_written_and_read(self, backend: Backend) -> None:
        keys = [f"k{n:05}" for n in range(3_000)]
        assert all(backend.write([Put(record(key, n + 1)) for n, key in enumerate(keys)]))
        assert backend.count() == 3_000
        assert set(backend.get(keys)) == set(keys)
        assert backend.write([]) == []
        assert backend.get([]) == {}

    def test_a_scan_meets_every_record_once_in_the_order_of_keys(self, backend: Backend) -> None:
        keys = ["B", "a", "a/1", "b", "z", "é", "ü/1", "中", "🔑"]
        backend.write([Put(record(key, n + 1)) for n, key in enumerate(reversed(keys))])
        seen: list[str] = []
        while page := backend.scan(seen[-1] if seen else "", 2):
            assert len(page) <= 2
            seen += [each.key for each in page]
        assert seen == keys

    def test_the_newest_come_first_for_each_agent_and_time(self, backend: Backend) -> None:
        backend.write(
            [
                Put(record("a1", 1, agent="alice", created=10.0)),
                Put(record("a2", 2, agent="alice", created=20.0, kind=MemoryKind.EPISODE)),
                Put(record("b1", 3, agent="bob", created=15.0)),
                Put(record("a3", 4, agent="alice", created=20.0)),
                Put(record("late", 5, agent="alice", created=5.0)),
                Put(record("house", 6, agent="alice", created=30.0, kind=MemoryKind.INTERNAL)),
            ]
        )

        def keys(*agents: str, limit: int = 10, **options: Any) -> list[str]:
            return [each.key for each in backend.recent(RecordFilter(agents=agents, **options), limit)]

        assert keys("alice") == ["a3", "a2", "a1", "late"]
        assert keys("alice", limit=2) == ["a3", "a2"]
        assert keys() == ["a3", "a2", "b1", "a1", "late"]
        assert keys("alice", "bob", after=10.0, before=20.0) == ["b1", "a1"]
        assert keys("alice", kinds=(MemoryKind.EPISODE,)) == ["a2"]
        assert keys("alice", kinds=(MemoryKind.INTERNAL,)) == ["house"]
        assert keys("nobody") == []

    def test_a_record_that_changes_hands_or_time_is_listed_where_it_is_now(self, backend: Backend) -> None:
        backend.write([Put(record("k", 1, agent="alice", created=10.0)), Put(record("l", 2, agent="bob", created=20.0))])
        backend.write([Put(record("k", 3, agent="bob", created=30.0))])
        assert backend.recent(RecordFilter(agents=("alice",)), 10) == []
        assert [each.key for each in backend.recent(RecordFilter(agents=("bob",)), 10)] == ["k", "l"]

    def test_threads_that_compete_for_a_version_are_granted_it_once(self, backend: Backend) -> None:
        backend.write([Put(record("k", 1))])
        granted: list[int] = []

        def compete(me: int) -> None:
            for turn in range(1, 21):
                # Each turn one of the four moves the version from `turn` on; the others wait for it to have moved.
                if backend.write([Put(record("k", turn + 1, value=bytes([me])), expected=turn)]) == [True]:
                    granted.append(turn)
                while backend.get(["k"])["k"].version <= turn:
                    pass

        run_together(*(lambda me=me: compete(me) for me in range(4)))
        assert sorted(granted) == list(range(1, 21))

    def test_threads_that_write_lose_nothing(self, backend: Backend) -> None:
        def write(me: int) -> None:
            for n in range(50):
                backend.write([Put(record(f"{me}/{n}", n + 1, agent=str(me), created=float(n)))])

        run_together(*(lambda me=me: write(me) for me in range(4)))
        assert backend.count() == 200
        assert len(backend.recent(RecordFilter(agents=("2",)), 100)) == 50

    def test_closing_twice_is_not_an_error(self, backend: Backend) -> None:
        backend.close()
        backend.close()


class ArchiveConformance(ManyLanguages, BackendConformance):
    """The contract of every archive. Override the fixture `archive`: it yields an empty one and closes it."""

    @pytest.fixture
    def archive(self) -> Iterator[Archive]:
        raise NotImplementedError("override the fixture `archive`")

    @pytest.fixture
    def backend(self, archive: Archive) -> Backend:
        return archive

    def found(self, archive: Archive, *words: str, **options: Any) -> list[str]:
        return [hit.record.key for hit in archive.search(SearchQuery(words, **options))]

    def test_a_search_finds_words_whatever_their_ending(self, archive: Archive) -> None:
        archive.write(
            [
                Put(record("loan", 1, agent="alice", text="Bob was lending me five coins")),
                Put(record("cake", 2, agent="alice", text="We baked a cake")),
                Put(record("none", 3, agent="alice")),
            ]
        )
        assert self.found(archive, "lend") == ["loan"]
        assert self.found(archive, "coin", "lends") == ["loan"]
        assert self.found(archive, "baking") == ["cake"]
        assert self.found(archive, "unicorn") == []

    def test_a_search_takes_any_word_and_ranks_more_and_rarer_ones_first(self, archive: Archive) -> None:
        archive.write([Put(record(f"common{n}", n + 1, text=f"the market was open, number {n}")) for n in range(20)])
        archive.write(
            [
                Put(record("both", 30, text="the market sells marzipan")),
                Put(record("rare", 31, text="marzipan tastes sweeter than sugar candy")),
            ]
        )
        found = self.found(archive, "market", "marzipan")
        assert found[:2] == ["both", "rare"]
        assert len(found) == 22
        scores = [hit.score for hit in archive.search(SearchQuery(("market", "marzipan")))]
        assert scores == sorted(scores, reverse=True)
        assert min(scores) > 0

    def test_the_context_counts_less_than_the_text(self, archive: Archive) -> None:
        archive.write(
            [
                Put(record("near", 1, text="nothing to see", context="a zeppelin passed")),
                Put(record("itself", 2, text="a zeppelin passed", context="nothing to see")),
                Put(record("far", 3, text="nothing to see", context="a bird flew")),
            ]
        )
        assert self.found(archive, "zeppelin") == ["itself", "near"]

    def test_a_search_stays_with_its_agents_kinds_and_times(self, archive: Archive) -> None:
        archive.write(
            [
                Put(record("a", 1, agent="alice", text="harvest", created=10.0)),
                Put(record("b", 2, agent="bob", text="harvest", created=20.0, kind=MemoryKind.EPISODE)),
                Put(record("c", 3, agent="carol", text="harvest", created=30.0)),
                Put(record("h", 4, agent="alice", text="harvest", created=30.0, kind=MemoryKind.INTERNAL)),
            ]
        )
        assert sorted(self.found(archive, "harvest")) == ["a", "b", "c"]
        assert self.found(archive, "harvest", agents=("alice",)) == ["a"]
        assert sorted(self.found(archive, "harvest", agents=("alice", "bob"))) == ["a", "b"]
        assert self.found(archive, "harvest", kinds=(MemoryKind.EPISODE,)) == ["b"]
        assert self.found(archive, "harvest", after=20.0, before=30.0) == ["b"]
        assert len(self.found(archive, "harvest", limit=2)) == 2

    def test_deferred_work_ends_and_changes_no_answer(self, archive: Archive) -> None:
        archive.write([Put(record(f"k{n}", n + 1, text="apple")) for n in range(1_200)])
        assert any(not archive.do_deferred_work() for _ in range(100))
        assert len(self.found(archive, "apple", limit=2_000)) == 1_200

    def test_a_search_sees_a_change_at_once(self, archive: Archive) -> None:
        archive.write([Put(record("k", 1, agent="alice", text="apple"))])
        assert self.found(archive, "apple") == ["k"]
        archive.write([Put(record("k", 2, agent="alice", text="banana", context="cherry"))])
        assert self.found(archive, "apple") == []
        assert self.found(archive, "banana") == ["k"]
        assert self.found(archive, "cherry") == ["k"]
        archive.write([Put(record("k", 3, agent="bob", text="banana"))])
        assert self.found(archive, "banana", agents=("alice",)) == []
        assert self.found(archive, "cherry") == []
        archive.write([Delete("k", 3)])
        assert self.found(archive, "banana") == []

    def test_words_of_a_query_language_are_just_words(self, archive: Archive) -> None:
        archive.write([Put(record("k", 1, text="near and or not null drop table"))])
        for word in ("near", "and", "or", "not", "null", "drop"):
            assert self.found(archive, word) == ["k"] or word in ("and", "or", "not")
        assert self.found(archive, "日本語") == []

    def test_records_that_entered_a_tier_before_a_time_are_due(self, archive: Archive) -> None:
        archive.write(
            [Put(record(f"s{n}", n + 1, tier=Tier.SHORT, entered=float(n // 2))) for n in range(10)]
            + [Put(record("i", 20, tier=Tier.INTERMEDIATE)), Put(record("h", 21, kind=MemoryKind.INTERNAL))]
        )
        seen: list[tuple[float, str]] = []
        while page := archive.due(Tier.SHORT, 4.0, seen[-1] if seen else (float("-inf"), ""), limit=3):
            seen += [(each.entered, each.key) for each in page]
        assert [key for _, key in seen] == [f"s{n}" for n in range(8)]
        assert [each.key for each in archive.due(Tier.INTERMEDIATE, 1.0)] == ["i"]
        assert archive.due(Tier.LONG, 1.0) == []

    def test_expired_records_are_listed_in_order(self, archive: Archive) -> None:
        archive.write(
            [
                Put(record("b", 1, expires=10.0)),
                Put(record("a", 2, expires=10.0)),
                Put(record("first", 3, expires=5.0)),
                Put(record("later", 4, expires=11.0)),
                Put(record("never", 5)),
            ]
        )
        assert [each.key for each in archive.expired(10.0)] == ["first", "a", "b"]
        assert [each.key for each in archive.expired(10.0, after=(10.0, "a"))] == ["b"]
        assert [each.key for each in archive.expired(10.0, limit=1)] == ["first"]
        assert archive.get(["first"])["first"].expires == 5.0

    def test_a_touch_adds_up_and_leaves_the_version(self, archive: Archive) -> None:
        archive.write([Put(record("k", 3, access_count=1, last_access=5.0))])
        assert archive.write([Touch("k", 2, 9.0), Touch("k", 1, 7.0), Touch("missing", 1, 1.0)]) == [True, True, False]
        there = archive.get(["k"])["k"]
        assert (there.access_count, there.last_access, there.version) == (4, 9.0, 3)

    def test_memories_that_cite_another_are_found(self, archive: Archive) -> None:
        archive.write(
            [
                Put(record("two", 2, agent="alice", sources=("e1", "e2"), created=2.0)),
                Put(record("one", 1, agent="alice", sources=("e1",), created=1.0)),
                Put(record("bobs", 3, agent="bob", sources=("e1",))),
            ]
        )
        assert [each.key for each in archive.citing("alice", "e1")] == ["one", "two"]
        archive.write([Put(record("one", 4, agent="alice", sources=("e3",)))])
        archive.write([Delete("two", 2)])
        assert archive.citing("alice", "e1") == []
        assert [each.key for each in archive.citing("alice", "e3")] == ["one"]
        assert archive.citing("alice", "e2") == []

    def test_vectors_come_by_version(self, archive: Archive) -> None:
        vector = struct.pack("<2f", 1.0, 0.0)
        archive.write([Put(record(f"k{n}", n, agent="alice", model="m", vector=vector)) for n in (3, 1, 2)])
        archive.write(
            [Put(record("other", 9, agent="alice", model="n", vector=vector)), Put(record("none", 10, agent="alice"))]
        )
        assert [each.key for each in archive.vectors("alice", "m")] == ["k1", "k2", "k3"]
        assert [(each.key, each.version) for each in archive.vectors("alice", "m", after=1, limit=1)] == [("k2", 2)]
        assert archive.vectors("alice", "m")[0].vector == vector
        archive.write([Put(record("k2", 11, agent="alice", model="m", vector=vector)), Delete("k3", 3)])
        assert [(each.key, each.version) for each in archive.vectors("alice", "m")] == [("k1", 1), ("k2", 11)]
        assert archive.vectors("bob", "m") == []

    def test_records_are_tallied_by_tier_and_kind(self, archive: Archive) -> None:
        archive.write(
            [
                Put(record("a", 1, agent="alice", kind=MemoryKind.EPISODE)),
                Put(record("b", 2, agent="alice", kind=MemoryKind.EPISODE, tier=Tier.LONG)),
                Put(record("c", 3, agent="bob", kind=MemoryKind.EPISODE)),
            ]
        )
        assert dict(archive.tally("alice")) == {(Tier.SHORT, "episode"): 1, (Tier.LONG, "episode"): 1}
        assert archive.tally()[Tier.SHORT, "episode"] == 2
        assert dict(archive.tally("nobody")) == {}

    def test_the_newest_version_is_never_forgotten(self, archive: Archive) -> None:
        assert archive.newest() == 0
        archive.write([Put(record("a", 7)), Put(record("b", 3))])
        assert archive.newest() >= 7
        archive.write([Delete("a", 7)])
        assert archive.newest() >= 7

    def test_decisions_of_applied_changes_are_stored_newest_first(self, archive: Archive) -> None:
        def decided(n: int, action: MaintenanceAction) -> MaintenanceDecision:
            return MaintenanceDecision(float(n), f"i{n % 2}", f"k{n % 2}", "alice", action, Tier.SHORT, None, "time is up")

        made = [decided(n, MaintenanceAction.KEPT) for n in range(4)]
        gone = decided(5, MaintenanceAction.EXPIRED)
        puts = [Put(record(f"k{n % 2}", n + 1), note=each) for n, each in enumerate(made)]
        assert archive.write([*puts, Put(record("k0", 9), expected=1, note=decided(7, MaintenanceAction.KEPT))]) == [
            True
        ] * 4 + [False]
        assert archive.write([Delete("k1", 2, decided(8, MaintenanceAction.EXPIRED)), Delete("k1", 4, gone)]) == [False, True]
        assert archive.decisions() == [gone, *reversed(made)]
        assert archive.decisions("k0") == [made[2], made[0]]
        assert archive.decisions(limit=1) == [gone]

    def test_searches_beside_writers_see_whole_records(self, archive: Archive) -> None:
        random = stream(3)
        words = [f"word{n}" for n in range(30)]

        def write(me: int) -> None:
            for n in range(40):
                text = " ".join(random.choices(words, k=5))
                archive.write([Put(record(f"{me}/{n % 10}", me + 4 * n + 1, agent=str(me), text=text))])

        def search() -> None:
            for n in range(40):
                for hit in archive.search(SearchQuery((words[n % 30],))):
                    assert words[n % 30] in hit.record.text.split()

        run_together(lambda: write(0), lambda: write(1), search, search)
        assert archive.count() == 20
