"""The eleven checks of the first meetings, written afresh, and five faults that meetings elsewhere once had."""

from typing import Any

import pytest

from coterie.errors import InvitationDeclined, MeetingClosed, NotAMember, UnknownMeeting
from coterie.meetings import (
    Decline,
    Invitation,
    MeetingCancelled,
    MeetingEnded,
    MeetingNews,
    Open,
    RoundRobin,
    Utterance,
    Welcome,
)
from coterie.meetings.state.events import Joined, Left
from coterie.testing import ManualClock, eventually, wait_until_idle
from tests.meetings.people import house


def test_ids_are_unique_and_tell_the_caller() -> None:
    with house() as one, house() as two:
        ids = []
        for each in (one, two):
            callers = [each.member("ada"), each.member("ben")]
            ids += [(each, each.call(caller, []), caller.name) for caller in callers for _ in range(3)]
        assert len({id_ for _, id_, _ in ids}) == 12
        for each, id_, name in ids:
            assert each.meetings.caller_of(id_) == name
        with pytest.raises(UnknownMeeting):
            one.meetings.caller_of(ids[-1][1])


def test_participants_are_added_and_removed() -> None:
    with house() as each:
        ada, ben, cleo = (each.member(name) for name in ("ada", "ben", "cleo"))
        id_ = each.call(ada, [ben])
        assert each.see(ada, id_, lambda meeting: meeting.members) == ("ada", "ben")
        each.use(ada, id_, lambda meeting: meeting.invite(cleo))
        assert each.see(ben, id_, lambda meeting: meeting.members) == ("ada", "ben", "cleo")
        each.use(ben, id_, lambda meeting: meeting.leave("home"))
        assert each.see(cleo, id_, lambda meeting: meeting.members) == ("ada", "cleo")
        with pytest.raises(NotAMember):
            each.use(ben, id_, lambda meeting: meeting.say("I am still here"))


def test_a_meeting_is_created_with_its_topic_and_pending_invitations() -> None:
    clock = ManualClock()
    with house(clock=clock) as each:
        ada, ben = each.member("ada"), each.member("ben")
        zoe = each.member("zoe", "silence")
        id_ = each.call(ada, [ben], optional=[zoe], topic="the lake")
        status = each.meetings.status(id_)
        assert (status.topic, status.members, status.pending) == ("the lake", ("ada", "ben"), ("zoe",))
        clock.advance(10, lambda: wait_until_idle(each.runtime))
        status = each.meetings.status(id_)
        assert status.pending == ()
        assert "did not answer" in status.declined["zoe"]


def test_a_message_reaches_the_history_of_every_member() -> None:
    with house() as each:
        members = [each.member(name) for name in ("ada", "ben", "cleo")]
        id_ = each.call(members[0], members[1:])
        sequence = each.use(members[1], id_, lambda meeting: meeting.say({"fish": 10}))
        for member in members:
            (said,) = each.see(member, id_, lambda meeting: list(meeting.transcript))
            assert (said.sequence, said.by, said.content) == (sequence, "ben", {"fish": 10})


def test_a_broadcast_reaches_all_but_the_speaker() -> None:
    with house() as each:
        members = [each.member(f"m{number}") for number in range(6)]
        stranger = each.member("stranger")
        id_ = each.call(members[0], members[1:])
        each.use(members[2], id_, lambda meeting: meeting.say("hello"))
        wait_until_idle(each.runtime)
        assert [each.contents(member) for member in members] == [["hello"], ["hello"], [], ["hello"], ["hello"], ["hello"]]
        assert each.contents(stranger) == []


def test_an_invitation_ends_in_real_membership() -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        id_ = each.call(ada, [ben], topic="budget", parameters={"money": 3})
        wait_until_idle(each.runtime)
        (invitation,) = each.sent(ben, Invitation)
        assert (invitation.meeting, invitation.caller, invitation.required) == (id_, "ada", True)
        assert (invitation.topic, invitation.guests, dict(invitation.parameters)) == ("budget", ("ben",), {"money": 3})
        (welcome,) = each.sent(ben, Welcome)
        assert (welcome.meeting, welcome.members, welcome.again) == (id_, ("ada", "ben"), False)
        each.use(ben, id_, lambda meeting: meeting.say("here I am"))
        wait_until_idle(each.runtime)
        assert each.contents(ada) == ["here I am"]


def test_participation_changes_while_the_meeting_goes_on() -> None:
    with house() as each:
        members = [each.member(name) for name in ("ada", "ben", "cleo")]
        id_ = each.call(members[0], members[1:])
        wait_until_idle(each.runtime)
        each.use(members[2], id_, lambda meeting: meeting.leave())
        each.use(members[0], id_, lambda meeting: meeting.say("two of us"))
        wait_until_idle(each.runtime)
        assert each.contents(members[2]) == []
        assert each.contents(members[1]) == ["two of us"]
        events = [news.event for news in each.sent(members[1], MeetingNews)]
        assert events == [Left("cleo")]
        each.use(members[1], id_, lambda meeting: meeting.invite(members[2]))
        wait_until_idle(each.runtime)
        assert [utterance.content for utterance in each.sent(members[2], Welcome)[-1].history] == ["two of us"]
        assert any(isinstance(news.event, Joined) for news in each.sent(members[1], MeetingNews))


def test_the_caller_does_not_wait_for_itself() -> None:
    with house() as each:
        ada = each.member("ada", "silence")
        id_ = each.call(ada, [], timeout=0.05)
        assert each.see(ada, id_, lambda meeting: meeting.members) == ("ada",)
        assert each.sent(ada, Invitation) == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"quorum": 2},
        {"floor": RoundRobin(turn_limit=5), "quorum": 3, "max_turns": 9},
        {"optional": True, "time_limit": 60.0, "parameters": {"a": [1, {"b": None}]}},
        {"closes_with_caller": True, "timeout": 3.0},
    ],
)
def test_the_parameters_of_a_meeting_reach_every_member(options: dict[str, Any]) -> None:
    with house() as each:
        ada, ben, cleo = (each.member(name) for name in ("ada", "ben", "cleo"))
        invite = [ben] if options.get("optional") else [ben, cleo]
        given = {**options, "optional": [cleo] if options.get("optional") else []}
        id_ = each.call(ada, invite, **given)
        for member in (ada, ben):
            state = each.see(member, id_, lambda meeting: meeting.state)
            assert state.quorum == options.get("quorum", 1)
            assert state.floor == options.get("floor", Open())
            assert dict(state.parameters) == options.get("parameters", {})
            assert state.closes_with_caller == options.get("closes_with_caller", False)
            assert (state.ending is not None) == bool({"max_turns", "time_limit"} & set(options))


def test_the_state_of_an_agent_shows_its_meetings() -> None:
    with house() as each:
        ada, ben, cleo = (each.member(name) for name in ("ada", "ben", "cleo"))
        first = each.call(ada, [ben], topic="one")
        second = each.call(cleo, [ada], topic="two")
        assert {status.id: status.topic for status in each.meetings.of(ada)} == {first: "one", second: "two"}
        assert [status.id for status in each.meetings.of("ben")] == [first]
        each.use(ada, first, lambda meeting: meeting.close("done"))
        eventually(lambda: not each.meetings.of(ben))
        assert (each.meetings.status(first).is_open, each.meetings.status(first).outcome) == (False, "done")


# What once went wrong elsewhere.


def test_a_rejection_that_lands_before_anybody_waits_counts() -> None:
    with house() as each:
        ada, slow = each.member("ada"), each.member("slow")
        no = each.member("no", Decline("never"))
        each.runtime.pause(slow)  # the rejection is there long before the last answer
        with pytest.raises(InvitationDeclined) as caught:
            each.call(ada, [no, slow], timeout=5)
        assert caught.value.declined == {"no": "never"}
        each.runtime.resume(slow)


def test_an_optional_guest_that_is_silent_delays_nothing() -> None:
    clock = ManualClock()
    with house(clock=clock) as each:
        ada, ben, zoe = each.member("ada"), each.member("ben"), each.member("zoe", "silence")
        id_ = each.call(ada, [ben], optional=[zoe], quorum=2, timeout=5)  # no time passes on this clock
        assert each.see(ben, id_, lambda meeting: meeting.members) == ("ada", "ben")


def test_a_duplicate_join_counts_once() -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        id_ = each.call(ada, [ben])
        with pytest.raises(Exception, match="member already"):
            each.use(ada, id_, lambda meeting: meeting.invite(ben))
        assert each.see(ada, id_, lambda meeting: meeting.members) == ("ada", "ben")
        assert len(each.sent(ben, Welcome)) == 1


def test_after_the_close_nothing_is_left_running() -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        before = len(each.runtime.agents())
        ids = [each.call(ada, [ben]) for _ in range(5)]
        for id_ in ids:
            each.use(ada, id_, lambda meeting: meeting.close())
        eventually(lambda: len(each.runtime.agents()) == before)
        assert each.meetings.held == ()
        assert len(each.sent(ben, MeetingEnded)) == 5
        with pytest.raises(MeetingClosed):
            each.use(ben, ids[0], lambda meeting: meeting.say("anybody?"))


def test_a_guest_that_declined_is_sent_nothing_more() -> None:
    with house() as each:
        ada, ben, no = each.member("ada"), each.member("ben"), each.member("no", Decline("busy"))
        id_ = each.call(ada, [ben], optional=[no])
        # The call does not wait for an optional guest; one that has not answered by the end is told of it.
        eventually(lambda: "no" in each.meetings.status(id_).declined)
        each.use(ada, id_, lambda meeting: meeting.say("secret"))
        each.use(ada, id_, lambda meeting: meeting.close())
        wait_until_idle(each.runtime)
        assert each.contents(ben) == ["secret"]
        assert [type(message) for message in each.sent(no, object)] == [Invitation]


def test_all_invited_agents_learn_that_a_meeting_is_not_held() -> None:
    with house() as each:
        ada, ben, zoe = each.member("ada"), each.member("ben"), each.member("zoe")
        no = each.member("no", Decline("busy"))
        with pytest.raises(InvitationDeclined):
            each.call(ada, [ben, no], optional=[zoe])
        wait_until_idle(each.runtime)
        for guest in (ben, zoe, no):
            (cancelled,) = each.sent(guest, MeetingCancelled)
            assert "no declined: busy" in cancelled.reason
        assert each.sent(ben, Utterance) == []
