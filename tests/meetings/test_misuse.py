"""Misuse of meetings is refused, and harms no meeting."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from coterie import on
from coterie.errors import ContributionRefused, InvalidSetting, InvitationUnanswered, MeetingClosed
from coterie.meetings import (
    Accept,
    Batch,
    Invitation,
    MaxTurns,
    Meeting,
    MeetingCancelled,
    MeetingEnded,
    MeetingNews,
    RoundRobin,
    TextSaid,
    Utterance,
    Utterances,
    Welcome,
    YourTurn,
)
from coterie.meetings.host.local_meeting import LocalMeeting
from coterie.meetings.state.events import Left
from coterie.testing import eventually, wait_until_idle
from tests.meetings.people import Do, Member, house

WRONG: list[Callable[[Meeting], Awaitable[Any]]] = [
    lambda meeting: meeting.say("x", to=5),  # type: ignore[arg-type]
    lambda meeting: meeting.say("x", to=[None]),  # type: ignore[list-item]
    lambda meeting: meeting.react(True, "x"),
    lambda meeting: meeting.put_to_vote("m", "yes"),
    lambda meeting: meeting.put_to_vote("m", [1, 2]),  # type: ignore[list-item]
    lambda meeting: meeting.put_to_vote("m", None),  # type: ignore[arg-type]
    lambda meeting: meeting.vote(["m"], "yes"),  # type: ignore[arg-type]
    lambda meeting: meeting.vote("m", ["yes"]),  # type: ignore[arg-type]
    lambda meeting: meeting.give_floor([]),  # type: ignore[arg-type]
    lambda meeting: meeting.award(5),  # type: ignore[arg-type]
    lambda meeting: meeting.leave(5),  # type: ignore[arg-type]
    lambda meeting: meeting.invite(5),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_arguments_of_the_wrong_kind_are_refused_where_they_are_given(number: int) -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        id_ = each.call(ada, [ben])
        with pytest.raises(InvalidSetting):
            each.use(ada, id_, WRONG[number])
        each.use(ben, id_, lambda meeting: meeting.say("all is well"))
        assert each.see(ben, id_, lambda meeting: meeting.members) == ("ada", "ben")


@pytest.mark.parametrize(
    "options", [{"parent": 5}, {"record": 5}, {"closes_with_caller": "no"}, {"batch": 5}, {"ending": TextSaid("x").matches}]
)
def test_options_of_the_wrong_kind_are_refused(options: dict[str, Any]) -> None:
    with house() as each, pytest.raises(InvalidSetting):
        each.call(each.member("ada"), **options)


def test_the_handle_of_another_member_is_refused() -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        id_ = each.call(ada, [ben])
        held = each.meetings.meeting(id_, "ada")

        async def borrow(_: Member) -> None:
            await held.say("I am ada, says ben")

        with pytest.raises(ContributionRefused, match="was used by ben"):
            each.do(ben, borrow)
        with pytest.raises(ContributionRefused, match="from outside"):
            asyncio.run(held.close())
        assert each.meetings.status(id_).sequence == 1


def test_an_invitation_that_is_taken_back_leaves_nothing_behind() -> None:
    with house() as each:
        ada, zoe = each.member("ada"), each.member("zoe", "silence")
        id_ = each.call(ada)

        async def give_up(agent: Member) -> None:
            await agent.meeting(id_).invite(zoe)

        reply = ada.ask(Do(give_up), timeout=30)
        eventually(lambda: each.meetings.status(id_).pending == ("zoe",))
        reply.cancel()
        eventually(lambda: each.meetings.status(id_).pending == ())
        eventually(lambda: each.sent(zoe, MeetingCancelled))
        with pytest.raises(InvitationUnanswered) as caught:  # and not: has been invited already
            each.use(ada, id_, lambda meeting: meeting.invite(zoe, timeout=0.05))
        assert list(caught.value.silent) == ["zoe"]


class Hesitant(Member):
    """Accepts once it is told to, whatever has become of the meeting."""

    def __init__(self) -> None:
        super().__init__()
        self.decided = asyncio.Event()

    @on(interleave=True, shield=True)
    async def invited(self, message: Invitation) -> bool:
        self.sent.append(message)
        await self.decided.wait()
        return True


def test_a_guest_that_accepts_after_the_end_is_told() -> None:
    with house() as each:
        ada = each.member("ada")
        late, slow = (each.runtime.spawn(Hesitant, name=name) for name in ("late", "slow"))
        id_ = each.call(ada, optional=[late])

        async def close_first(agent: Member) -> None:
            meeting = agent.meeting(id_)
            waiting = asyncio.ensure_future(meeting.invite(slow))
            while "slow" not in meeting.state.invitations:
                await asyncio.sleep(0)
            await meeting.close()
            with pytest.raises(MeetingClosed):
                await waiting

        async def decide(agent: Hesitant) -> None:
            agent.decided.set()

        reply = ada.ask(Do(close_first), timeout=30)
        eventually(lambda: not each.meetings.status(id_).is_open)
        for guest in (slow, late):
            each.do(guest, decide)
        reply.result(10)
        for guest in (slow, late):
            eventually(lambda: len(each.sent(guest, MeetingCancelled)) == 1)
            assert each.sent(guest, Welcome) == []


def test_a_member_that_left_is_sent_no_utterance_and_no_end() -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        id_ = each.call(ada, [ben])
        each.use(ben, id_, lambda meeting: meeting.leave())
        each.use(ada, id_, lambda meeting: meeting.say("alone"))
        each.use(ada, id_, lambda meeting: meeting.close())
        wait_until_idle(each.runtime)
        assert each.sent(ben, MeetingEnded) == each.sent(ben, Utterance) == []
        assert [news.event for news in each.sent(ben, MeetingNews)] == [Left("ben")]
        assert len(each.sent(ada, MeetingEnded)) == 1


async def crash(_: Member) -> None:
    raise RuntimeError("over the edge")


def test_a_batch_that_is_in_the_history_does_not_come_again_after_a_crash() -> None:
    with house() as each:
        ada = each.member("ada")
        ben = each.member("ben", Accept(batch=Batch(wait=60, ceiling=60)))
        id_ = each.call(ada, [ben])
        each.use(ada, id_, lambda meeting: meeting.say("one"))
        with pytest.raises(RuntimeError):
            each.do(ben, crash)
        eventually(lambda: each.sent(ben, Welcome))
        each.use(ada, id_, lambda meeting: meeting.close())
        wait_until_idle(each.runtime)
        (welcome,) = each.sent(ben, Welcome)
        assert [said.content for said in welcome.history] == ["one"]
        assert each.sent(ben, Utterances) == []


def test_a_crashed_member_that_gets_the_floor_back_gets_one_message() -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        id_ = each.call(ada, [ben], floor=RoundRobin(order=("ada",)))
        wait_until_idle(each.runtime)
        with pytest.raises(RuntimeError):
            each.do(ada, crash)
        eventually(lambda: each.sent(ada, YourTurn))
        each.use(ben, id_, lambda meeting: meeting.raise_hand())
        wait_until_idle(each.runtime)
        assert [turn.turn for turn in each.sent(ada, YourTurn)] == [2]
        kinds = [type(message) for message in each.sent(ada, Welcome | YourTurn)]  # type: ignore[arg-type]
        assert kinds == [Welcome, YourTurn]


def test_a_batch_is_sent_before_the_turn_of_its_member() -> None:
    batch = Batch(wait=60, ceiling=60)
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben", Accept(batch=batch))
        id_ = each.call(ada, [ben], floor=RoundRobin(), batch=batch)
        for member, text in ((ada, "one"), (ben, "two")):
            each.use(member, id_, lambda meeting: meeting.say(text))
        wait_until_idle(each.runtime)
        for member, text in ((ben, "one"), (ada, "two")):
            heard, turn = each.sent(member, Utterances | YourTurn)[-2:]  # type: ignore[arg-type]
            assert [said.content for said in heard.utterances] == [text]
            assert isinstance(turn, YourTurn)


def test_meetings_that_are_over_are_not_kept_for_ever() -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        each.meetings._bound_directory()._max_former = 5

        def hold(count: int) -> int:
            for _ in range(count):
                id_ = each.call(ada, [ben], ending=MaxTurns(1))
                each.use(ben, id_, lambda meeting: meeting.say("x"))
                eventually(lambda: id_ not in each.meetings.held)
                assert not each.see(ada, id_, lambda meeting: meeting.is_open)
            wait_until_idle(each.runtime)
            gc.collect()
            return sum(type(thing) is LocalMeeting for thing in gc.get_objects())

        assert hold(8) == hold(20)
        assert len(each.meetings._handles) <= 10
