"""The conformance suite of the journal of conversations, over every database. Override `open`."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coterie.conversation import Operation, OperationState, TurnOutcome
from coterie.conversation.entries import ConversationEntry, ToolCallsEntry, TurnEndedEntry, UserMessageEntry
from coterie.conversation.events import Lane
from coterie.conversation.journal import Journal, LogRecord, key_of
from coterie.conversation.operations import machine
from coterie.errors import ConversationTaken
from coterie.errors.conversation import TransitionRefused
from coterie.kernel import SystemClock
from coterie.models import ToolCall
from coterie.storage import Database
from coterie.testing.waiting import run_together

_S = OperationState

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def an_operation(number: int = 1, **facts: Any) -> Operation:
    """Return a new operation."""
    return Operation(number=number, tool="tool", arguments={"a": 1}, **facts)


class JournalConformance:
    """Each case gets an empty database."""

    def open(self) -> Database:
        """Return the database. Called again within a case it is the same one."""
        raise NotImplementedError("override `open`")

    @pytest.fixture
    def journal(self) -> Any:
        """The journal of a fresh database, closed at the end of the case."""
        with self.open() as database:
            yield Journal(database, SystemClock())

    # The log.

    def test_written_entries_are_there_when_the_conversation_is_opened_again(self, journal: Journal) -> None:
        first = journal.open("a", 100)
        assert (first.epoch, first.records, first.operations, first.last_turn) == (1, [], [], 0)
        entries: list[ConversationEntry] = [
            UserMessageEntry(turn=1, text="close it\0 \U0001f600", id="m1"),
            ToolCallsEntry(turn=1, text="", calls=(ToolCall("c1", "tool", {"a": [1, None]}),)),
            TurnEndedEntry(turn=1, lane=Lane.MAIN, outcome=TurnOutcome.ANSWERED, text="yes", whole="yes"),
        ]
        records = [LogRecord(number, 5.0, entry) for number, entry in enumerate(entries, 1)]
        journal.write("a", 1, records, [an_operation(call="c1")]).result()
        again = journal.open("a", 100)
        assert (again.epoch, again.last_turn, again.last_operation) == (2, 1, 1)
        assert list(again.records) == records
        assert list(again.operations) == [an_operation(call="c1")]
        assert list(journal.open("a", 2).records) == records[1:]
        assert journal.between("a", 1, 2) == records[1:2]
        assert journal.open("b", 100).records == []
        assert journal.namespaces() == ["a", "b"]

    def test_all_of_a_write_is_there_or_nothing(self, journal: Journal) -> None:
        epoch = journal.open("a", 100).epoch
        journal.write("a", epoch, [], [an_operation()]).result()
        said = LogRecord(1, 5.0, UserMessageEntry(turn=1, text="x"))
        late = msgspec.structs.replace(an_operation(), epoch=7)
        with pytest.raises(ConversationTaken):
            journal.write("a", epoch, [said], [late]).result()
        assert journal.open("a", 100).records == []

    def test_an_earlier_owner_is_refused(self, journal: Journal) -> None:
        old = journal.open("a", 100).epoch
        new = journal.open("a", 100).epoch
        said = LogRecord(1, 5.0, UserMessageEntry(turn=1, text="x"))
        with pytest.raises(ConversationTaken):
            journal.write("a", old, [said]).result()
        with pytest.raises(ConversationTaken):
            journal.note("a", old, "k", 1).result()
        journal.write("a", new, [said]).result()

    def test_a_message_of_one_id_is_taken_in_once(self, journal: Journal) -> None:
        epoch = journal.open("a", 100).epoch
        journal.write("a", epoch, [LogRecord(1, 5.0, UserMessageEntry(turn=1, text="x", id="m\0"))]).result()
        assert journal.turn_said("a", "m\0") == 1
        assert journal.turn_said("a", "m") is None
        assert journal.turn_said("b", "m\0") is None
        with pytest.raises(ConversationTaken):
            journal.write("a", epoch, [LogRecord(2, 5.0, UserMessageEntry(turn=2, text="x", id="m\0"))]).result()

    def test_notes_are_kept_replaced_and_deleted(self, journal: Journal) -> None:
        epoch = journal.open("a", 100).epoch
        for value in (1, {"a": [2]}, "three"):
            journal.note("a", epoch, "k\0\ud800", value).result()
            assert journal.open("a", 100).notes == {"k\0\ud800": value}
            epoch += 1
        journal.note("a", epoch, "k\0\ud800", None).result()
        assert journal.open("a", 100).notes == {}

    # The ledger.

    def test_of_two_transitions_from_one_epoch_the_first_counts(self, journal: Journal) -> None:
        epoch = journal.open("a", 100).epoch
        running = machine.begin(an_operation(), 1.0)
        journal.write("a", epoch, [], [an_operation()]).result()
        journal.ledger.transition("a", running).result()
        journal.ledger.transition("a", machine.end(running, _S.SUCCEEDED, 2.0, "first")).result()
        with pytest.raises(TransitionRefused, match="epoch 1"):
            journal.ledger.transition("a", machine.end(running, _S.FAILED, 2.0, "second")).result()
        kept = journal.ledger.one("a", 1)
        assert kept is not None
        assert (kept.state, kept.content) == (_S.SUCCEEDED, "first")

    def test_of_many_writers_at_once_one_wins_every_step(self, journal: Journal) -> None:
        journal.write("a", journal.open("a", 100).epoch, [], [an_operation()]).result()
        wins = [0] * 4

        def write(me: int) -> None:
            while True:
                now = journal.ledger.one("a", 1)
                assert now is not None
                if now.epoch >= 20:
                    return
                try:
                    journal.ledger.transition("a", machine.change(now, line=str(me))).result()
                except TransitionRefused:
                    continue
                wins[me] += 1

        run_together(*(lambda me=me: write(me) for me in range(4)))
        assert sum(wins) == 20

    def test_a_checkpoint_counts_only_while_its_attempt_runs(self, journal: Journal) -> None:
        journal.write("a", journal.open("a", 100).epoch, [], [an_operation()]).result()
        running = machine.begin(an_operation(), 1.0)
        assert journal.ledger.keep("a", 1, 1, b"early").result() is False
        journal.ledger.transition("a", running).result()
        assert journal.ledger.keep("a", 1, 1, b"kept").result() is True
        assert journal.ledger.keep("a", 1, 2, b"of another attempt").result() is False
        journal.ledger.transition("a", machine.end(running, _S.SUCCEEDED, 2.0)).result()
        assert journal.ledger.keep("a", 1, 1, b"late").result() is False
        assert journal.ledger.checkpoint("a", 1) == b"kept"

    def test_undelivered_outcomes_are_found_until_their_delivery(self, journal: Journal) -> None:
        epoch = journal.open("a", 100).epoch
        running = machine.begin(an_operation(), 1.0)
        done = machine.end(running, _S.SUCCEEDED, 4.0, "yes")
        journal.write("a", epoch, [], [an_operation(), an_operation(2)]).result()
        for each in (running, done):
            journal.ledger.transition("a", each).result()
        assert [each.number for each in journal.open("a", 100).operations] == [1, 2]
        journal.ledger.transition("a", machine.change(done, delivered=True)).result()
        assert [each.number for each in journal.open("a", 100).operations] == [2]
        assert [each.number for each in journal.ledger.all("a")] == [1, 2]
        assert journal.ledger.times("tool") == [3.0]

    def test_an_operation_is_found_by_its_key(self, journal: Journal) -> None:
        epoch = journal.open("a", 100).epoch
        journal.write("a", epoch, [], [an_operation(key="bill/\0ü"), an_operation(2, key="bill/\0ü")]).result()
        found = journal.ledger.by_key("a", "bill/\0ü")
        assert found is not None
        assert found.number == 2
        assert journal.ledger.by_key("a", "bill/") is None
        assert journal.ledger.by_key("b", "bill/\0ü") is None

    def test_any_text_and_any_namespace_come_back_as_they_were(self) -> None:
        with self.open() as database:
            journal = Journal(database, SystemClock())

            @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
            @given(st.lists(TEXTS.filter(bool), min_size=1, max_size=3), TEXTS)
            def holds(namespace: list[str], text: str) -> None:
                key = key_of(tuple(namespace))
                opened = journal.open(key, 1)
                last = opened.records[-1].sequence if opened.records else 0
                entry = UserMessageEntry(turn=opened.last_turn + 1, text=text)
                journal.write(key, opened.epoch, [LogRecord(last + 1, 1.0, entry)]).result()
                assert journal.open(key, 1).records[-1].entry == entry

            holds()
