"""Addressees, batches, reactions, hands, nested meetings, persons."""

import queue
from pathlib import Path

from coterie.meetings import (
    Accept,
    Batch,
    MeetingNews,
    Person,
    RaisedHands,
    Utterance,
    Utterances,
    read_minutes,
)
from coterie.meetings.minutes import read_json_lines
from coterie.meetings.state.events import Reacted
from coterie.testing import ManualClock, eventually, wait_until_idle
from tests.meetings.people import Member, house


def test_an_utterance_is_sent_to_its_addressees_alone_and_is_in_all_minutes() -> None:
    with house() as each:
        ada, ben, cleo = (each.member(name) for name in ("ada", "ben", "cleo"))
        id_ = each.call(ada, [ben, cleo])
        each.use(ada, id_, lambda meeting: meeting.say("psst", to=[cleo]))
        wait_until_idle(each.runtime)
        assert (each.contents(ben), each.contents(cleo)) == ([], ["psst"])
        assert each.see(ben, id_, lambda meeting: meeting.transcript[0].to) == ("cleo",)


def test_reactions_are_recorded_and_told() -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        id_ = each.call(ada, [ben])
        sequence = each.use(ada, id_, lambda meeting: meeting.say("10 each"))
        each.use(ben, id_, lambda meeting: meeting.react(sequence, "+1"))
        wait_until_idle(each.runtime)
        (reaction,) = each.see(ada, id_, lambda meeting: meeting.state.reactions)
        assert (reaction.by, reaction.to, reaction.sign) == ("ben", sequence, "+1")
        assert [news.event for news in each.sent(ada, MeetingNews)] == [Reacted(sequence, "+1")]


def test_batches_wait_for_quiet_and_at_most_for_their_ceiling() -> None:
    clock = ManualClock()
    with house(clock=clock) as each:
        ada = each.member("ada")
        ben = each.member("ben", Accept(batch=Batch(wait=1.0, ceiling=3.0)))
        id_ = each.call(ada, [ben])

        def batches() -> list[list[object]]:
            wait_until_idle(each.runtime)
            return [[said.content for said in batch.utterances] for batch in each.sent(ben, Utterances)]

        def say(text: str, **options: object) -> None:
            each.use(ada, id_, lambda meeting: meeting.say(text, **options))  # type: ignore[arg-type]

        say("a")
        clock.advance(0.9)
        say("b")
        clock.advance(0.9)
        assert batches() == []
        clock.advance(0.101)
        assert batches() == [["a", "b"]]
        for text in "cdef":
            say(text)
            clock.advance(0.9)
        assert batches() == [["a", "b"], ["c", "d", "e", "f"]]  # three seconds after the first
        say("g")
        say("h", to="ben")
        assert batches()[2:] == [["g", "h"]]  # at once
        assert each.sent(ben, Utterance) == []
        say("i")
        each.use(ada, id_, lambda meeting: meeting.close())
        assert batches()[3:] == [["i"]]


def test_an_utterance_of_a_person_brings_a_batch_at_once() -> None:
    clock = ManualClock()
    with house(clock=clock) as each:
        ada, paul = each.member("ada"), each.member("paul", Accept(person=True))
        ben = each.member("ben", Accept(batch=Batch(wait=10, ceiling=20)))
        id_ = each.call(ada, [ben, paul])
        each.use(ada, id_, lambda meeting: meeting.say("from an agent"))
        wait_until_idle(each.runtime)
        assert each.sent(ben, Utterances) == []
        each.use(paul, id_, lambda meeting: meeting.say("from a person"))
        wait_until_idle(each.runtime)
        (batch,) = each.sent(ben, Utterances)
        assert [said.content for said in batch.utterances] == ["from an agent", "from a person"]


def test_a_meeting_within_a_meeting_is_linked_both_ways(tmp_path: Path) -> None:
    with house(folder=tmp_path) as each:
        ada, ben, cleo = (each.member(name) for name in ("ada", "ben", "cleo"))
        outer = each.call(ada, [ben, cleo])

        async def side(agent: Member) -> str:
            inner = await agent.meeting(outer).call("a word", [cleo])
            return inner.id

        inner = each.do(ben, side)
        assert each.see(ada, outer, lambda meeting: meeting.state.nested) == ((inner, "a word"),)
        assert each.see(cleo, inner, lambda meeting: meeting.state.parent) == outer
        assert f"called meeting {inner} within this one" in each.see(
            ada, outer, lambda meeting: meeting.transcript.to_markdown()
        )


def test_minutes_are_in_the_folder_as_they_happen_and_as_markdown_at_the_end(tmp_path: Path) -> None:
    with house(folder=tmp_path) as each:
        ada, ben = each.member("ada"), each.member("ben")
        id_ = each.call(ada, [ben], topic="The *lake*")
        each.use(ben, id_, lambda meeting: meeting.say("a `tick`\nand a line"))
        (path,) = tmp_path.glob("*.jsonl")
        entries = each.see(ada, id_, lambda meeting: meeting.transcript.entries)
        assert tuple(read_minutes(path)) == entries
        transcript = each.see(ada, id_, lambda meeting: meeting.transcript)
        assert tuple(read_json_lines(transcript.to_json_lines())) == entries
        assert read_json_lines(transcript.to_json_lines()[:-3]) == list(entries[:-1])  # killed in the middle of a line
        each.use(ada, id_, lambda meeting: meeting.close({"quota": 10}))
        eventually(lambda: list(tmp_path.glob("*.md")))
        text = path.with_suffix(".md").read_text()
        assert "# The \\*lake\\*" in text
        assert "**ben**: a \\`tick\\` and a line" in text
        assert '`{"quota":10}`' in text


def test_a_person_reads_and_writes_lines() -> None:
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    written: list[str] = []
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        paul = each.runtime.spawn(Person, lines.get, written.append, decides=True, name="paul")
        lines.put("/accept\n")
        id_ = each.call(ada, [paul, ben], floor=RaisedHands())
        lines.put("too early\n")
        lines.put("/hand\n")
        eventually(lambda: "It is your turn" in written)
        lines.put("hello from a person\n")
        eventually(lambda: "hello from a person" in each.contents(ben))
        assert each.sent(ben, Utterance)[0].person
        each.use(ada, id_, lambda meeting: meeting.raise_hand())
        each.use(ada, id_, lambda meeting: meeting.say({"welcome": "paul"}))
        eventually(lambda: 'ada: {"welcome":"paul"}' in written)
        assert written[:3] == [
            "ada invites you to 'budget'",
            "/accept, or /decline REASON?",
            "You are in 'budget' with ada, paul, ben",
        ]
        assert any(line.startswith("! ") and "raise a hand" in line for line in written)
        lines.put("")  # the end of the input: the person has gone
        eventually(lambda: each.see(ada, id_, lambda meeting: meeting.members) == ("ada", "ben"))


def test_a_busy_member_gets_utterances_later_and_delays_no_other() -> None:
    with house() as each:
        ada, ben, cleo = (each.member(name) for name in ("ada", "ben", "cleo"))
        id_ = each.call(ada, [ben, cleo])
        wait_until_idle(each.runtime)
        each.runtime.pause(ben)
        each.runtime.pause(cleo)  # with the caller, a minority of agents; their replicas answer nevertheless
        for number in range(20):
            each.use(ada, id_, lambda meeting: meeting.say(number))
        assert each.meetings.status(id_).sequence == 21
        each.runtime.resume(ben)
        each.runtime.resume(cleo)
        wait_until_idle(each.runtime)
        assert each.contents(ben) == each.contents(cleo) == list(range(20))


def test_no_view_is_shared_by_reference() -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        id_ = each.call(ada, [ben], parameters={"a": [1]})
        states = [each.see(member, id_, lambda meeting: meeting.state) for member in (ada, ben)]
        replicas = [each.meetings.meeting(id_, name)._member.replica for name in ("ada", "ben")]
        owned = [*states, *(replica.state for replica in replicas)]
        assert len({id(state) for state in owned}) == 4
        for name in ("locations", "spoken", "accepted", "all_motions", "folded"):
            assert len({id(getattr(state, name)) for state in owned}) == 4
        assert len({id(replica.log.entries) for replica in replicas}) == 2
