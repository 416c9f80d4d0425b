"""Bad input and faults: a typed error or a recorded event each, and the meeting goes on."""

from pathlib import Path
from typing import Any

import pytest

from coterie import Runtime
from coterie.errors import (
    ContributionRefused,
    EncodeFailed,
    InvalidSetting,
    InvitationDeclined,
    InvitationUnanswered,
    MeetingClosed,
    NotAMember,
    NotInAgent,
    UnknownMeeting,
)
from coterie.errors.meetings import GuestUnreachable, QuorumMissed
from coterie.meetings import Invitation, MeetingCancelled, MeetingEnded, MeetingNews, Meetings, RoundRobin, Welcome
from coterie.meetings.host.messages import ReplicaMessages
from coterie.meetings.state.events import Crashed, LeaderChanged, Left
from coterie.testing import ManualClock, eventually, wait_until_idle
from tests.meetings.people import Do, Member, house


async def crash(agent: Member) -> None:
    raise RuntimeError(f"{agent.context.self_ref.name} fell over")


def test_an_unknown_guest_is_named() -> None:
    with house() as each:
        with pytest.raises(GuestUnreachable, match="nobody cannot be reached") as caught:
            each.call(each.member("ada"), ["nobody"])
        assert "nobody" in caught.value.unreachable


def test_a_stopped_guest_is_named_and_one_that_is_optional_only_recorded() -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        ben.stop().result(5)
        with pytest.raises(GuestUnreachable) as caught:
            each.call(ada, [ben])
        assert "has stopped" in caught.value.unreachable["ben"]
        id_ = each.call(ada, [], optional=[ben])
        eventually(lambda: "ben" in each.meetings.status(id_).declined)


def test_a_silent_guest_that_is_required_is_named_once_its_time_is_over() -> None:
    clock = ManualClock()
    with house(clock=clock) as each:
        ada, ben, zoe = each.member("ada"), each.member("ben"), each.member("zoe", "silence")

        async def call(agent: Member) -> Any:
            return await agent.context.use(Meetings).call("budget", [ben, zoe], timeout=5)

        reply = ada.ask(Do(call), timeout=60)
        clock.advance(4.9, lambda: wait_until_idle(each.runtime))
        assert not reply.done
        clock.advance(0.2, lambda: wait_until_idle(each.runtime))
        error = reply.exception()
        assert error is not None
        assert isinstance(error.__cause__, InvitationUnanswered)
        assert list(error.__cause__.silent) == ["zoe"]
        assert len(each.sent(ben, MeetingCancelled)) == 1


def test_a_guest_whose_handler_fails_or_returns_an_invalid_answer_has_declined() -> None:
    with house() as each:
        ada, broken, odd = each.member("ada"), each.member("broken", "crash"), each.member("odd", 7)
        with pytest.raises(InvitationDeclined, match="no time for this"):
            each.call(ada, [broken])
        with pytest.raises(InvitationDeclined, match="neither Accept"):
            each.call(ada, [odd])


def test_a_missed_quorum_names_the_missing_guests() -> None:
    with house() as each:
        ada, ben, no = each.member("ada"), each.member("ben"), each.member("no", False)
        with pytest.raises(QuorumMissed, match="2 of the 3"):
            each.call(ada, [], optional=[ben, no], quorum=3)
        id_ = each.call(ada, [], optional=[ben, no], quorum=2)
        assert each.see(ada, id_, lambda meeting: meeting.members) == ("ada", "ben")
        each.use(ben, id_, lambda meeting: meeting.leave())
        wait_until_idle(each.runtime)
        assert "1 of the 2" in each.sent(ada, MeetingEnded)[0].reason


def test_a_closed_meeting_takes_nothing_and_is_closed_once() -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        id_ = each.call(ada, [ben])
        with pytest.raises(ContributionRefused, match="ada called the meeting and closes it"):
            each.use(ben, id_, lambda meeting: meeting.close("I won"))
        each.use(ada, id_, lambda meeting: meeting.close({"won": "nobody"}))
        late = each.member("late")
        for what in (
            lambda meeting: meeting.say("x"),
            lambda meeting: meeting.close("again"),
            lambda meeting: meeting.leave(),
            lambda meeting: meeting.invite(late),
        ):
            for member in (ada, ben):
                with pytest.raises(MeetingClosed):
                    each.use(member, id_, what)
        assert each.see(ben, id_, lambda meeting: meeting.outcome) == {"won": "nobody"}


def test_only_members_are_heard() -> None:
    with house() as each:
        ada, ben, eve = each.member("ada"), each.member("ben"), each.member("eve")
        id_ = each.call(ada, [ben])
        with pytest.raises(UnknownMeeting, match="not a member"):
            each.use(eve, id_, lambda meeting: meeting.say("hello"))
        each.use(ben, id_, lambda meeting: meeting.leave())
        with pytest.raises(NotAMember):
            each.use(ben, id_, lambda meeting: meeting.say("one more thing"))


def test_contributions_that_cannot_be_recorded_are_refused() -> None:
    with house() as each:
        ada = each.member("ada")
        id_ = each.call(ada)
        for content in (object(), 2**70, "half \ud800 a character", {"a": [2**70]}, {1, object()}):
            with pytest.raises(EncodeFailed):
                each.use(ada, id_, lambda meeting: meeting.say(content))
        with pytest.raises(EncodeFailed):
            each.use(ada, id_, lambda meeting: meeting.leave("\ud800"))
        with pytest.raises(InvalidSetting):
            each.call(ada, topic="\ud800")
        said = {"list": [1]}
        each.use(ada, id_, lambda meeting: meeting.say(said))
        said["list"].append(2)  # nobody can change the minutes behind their back
        assert each.see(ada, id_, lambda meeting: meeting.transcript[0].content) == {"list": [1]}


def test_invalid_arguments_are_refused() -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        for wrong in (
            {"invite": ben},
            {"invite": [ada]},
            {"invite": [ben, ben]},
            {"invite": [ben], "optional": [ben]},
            {"invite": [ben], "quorum": 3},
            {"timeout": 0},
            {"floor": "round robin"},
            {"topic": 5},
            {"ending": "done"},
            {"parameters": {"a": object()}},
            {"max_turns": 0},
        ):
            with pytest.raises(InvalidSetting):
                each.call(ada, **wrong)
        id_ = each.call(ada, [ben])
        for what, problem in (
            (lambda meeting: meeting.react(99, "+1"), "no event 99"),
            (lambda meeting: meeting.say("x", to="eve"), "eve is not a member"),
            (lambda meeting: meeting.vote("x", "yes"), "no motion"),
            (lambda meeting: meeting.lower_hand(), "has not raised"),
        ):
            with pytest.raises(ContributionRefused, match=problem):
                each.use(ben, id_, what)


def test_a_call_from_outside_of_agents_is_refused() -> None:
    with Runtime() as runtime:
        coroutine = runtime.provide(Meetings()).call("budget")
        with pytest.raises(NotInAgent):
            coroutine.send(None)


def test_a_member_that_crashes_while_it_has_the_floor_loses_the_turn_and_is_back() -> None:
    with house() as each:
        members = [each.member(name) for name in ("ada", "ben", "cleo")]
        id_ = each.call(members[0], members[1:], floor=RoundRobin())
        each.use(members[0], id_, lambda meeting: meeting.say("before"))
        with pytest.raises(RuntimeError, match="fell over"):
            each.do(members[1], crash)
        eventually(lambda: each.see(members[2], id_, lambda meeting: meeting.state.turn.holders) == ("cleo",))
        (missed,) = each.see(members[2], id_, lambda meeting: meeting.state.missed)
        assert (missed.member, missed.turn) == ("ben", 2)
        eventually(lambda: each.sent(members[1], Welcome))
        (welcome,) = each.sent(members[1], Welcome)  # it has forgotten the first
        assert (welcome.again, [said.content for said in welcome.history]) == (True, ["before"])
        each.use(members[2], id_, lambda meeting: meeting.say("x"))
        each.use(members[0], id_, lambda meeting: meeting.say("y"))
        each.use(members[1], id_, lambda meeting: meeting.say("I am back"))
        assert len({each.see(member, id_, lambda meeting: meeting.digest()) for member in members}) == 1


@pytest.mark.parametrize("guests", [1, 2, 5])
def test_the_caller_may_stop_and_the_others_go_on(guests: int) -> None:
    with house() as each:
        ada, *others = [each.member(f"m{number}") for number in range(guests + 1)]
        id_ = each.call(ada, others)
        each.use(ada, id_, lambda meeting: meeting.say("carry on"))
        ada.stop().result(5)
        each.use(others[-1], id_, lambda meeting: meeting.say("we do"))
        entries = each.see(others[0], id_, lambda meeting: meeting.transcript.entries)
        kinds = [type(entry.event) for entry in entries]
        assert kinds.index(Left) < kinds.index(LeaderChanged)
        assert [entry.term for entry in entries][-1] == 2
        wait_until_idle(each.runtime)
        if guests > 1:
            assert "we do" in each.contents(others[0])
        each.use(others[0], id_, lambda meeting: meeting.close("without ada"))


def test_a_meeting_may_end_with_its_caller() -> None:
    with house() as each:
        ada, ben, cleo = (each.member(name) for name in ("ada", "ben", "cleo"))
        id_ = each.call(ada, [ben, cleo], closes_with_caller=True)
        ada.stop().result(5)
        eventually(lambda: each.sent(cleo, MeetingEnded))
        assert "ada, who called it, has left" in each.sent(cleo, MeetingEnded)[0].reason
        with pytest.raises(MeetingClosed):
            each.use(ben, id_, lambda meeting: meeting.say("hello?"))


def test_a_member_that_fails_for_good_leaves() -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        id_ = each.call(ada, [ben])
        ben.stop().result(5)
        eventually(lambda: each.see(ada, id_, lambda meeting: meeting.members) == ("ada",))
        ada.stop().result(5)
        eventually(lambda: each.meetings.held == ())


def test_a_member_that_crashes_elsewhere_gets_all_again_and_the_others_learn_of_its_crash() -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        id_ = each.call(ada, [ben])
        each.use(ada, id_, lambda meeting: meeting.say("one"))
        with pytest.raises(RuntimeError):
            each.do(ada, crash)
        eventually(lambda: any(isinstance(news.event, Crashed) for news in each.sent(ben, MeetingNews)))
        eventually(lambda: each.sent(ada, Welcome))
        assert [said.content for said in each.sent(ada, Welcome)[0].history] == ["one"]


def test_a_call_that_is_taken_back_is_called_off() -> None:
    with house() as each:
        ada, ben, zoe = each.member("ada"), each.member("ben"), each.member("zoe", "silence")

        async def call(agent: Member) -> Any:
            return await agent.context.use(Meetings).call("budget", [ben, zoe], timeout=30)

        reply = ada.ask(Do(call), timeout=60)
        # A guest that was not invited yet is told nothing.
        eventually(lambda: each.sent(ben, Invitation))
        reply.cancel()
        eventually(lambda: each.sent(ben, MeetingCancelled))
        eventually(lambda: not each.meetings.held)


def test_a_failed_replica_host_restarts_with_its_meeting() -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        id_ = each.call(ada, [ben])
        each.use(ada, id_, lambda meeting: meeting.say("before"))
        host = each.meetings._bound_directory().find(id_).host
        assert host is not None
        host.tell(ReplicaMessages("", None))  # type: ignore[arg-type] # that is the point
        each.use(ben, id_, lambda meeting: meeting.say("after"))
        wait_until_idle(each.runtime)
        assert [each.contents(ada), each.contents(ben)] == [["after"], ["before"]]


def test_minutes_that_cannot_be_written_do_not_end_a_meeting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with house(folder=tmp_path / "file") as each:
        ada, ben = each.member("ada"), each.member("ben")
        id_ = each.call(ada, [ben])
        each.use(ada, id_, lambda meeting: meeting.say("hello"))
        each.use(ada, id_, lambda meeting: meeting.close())
