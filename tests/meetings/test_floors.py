"""The floor is enforced by the runtime, whatever agents do."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from coterie.errors import ContributionRefused, InvalidSetting, NotYourTurn
from coterie.meetings import (
    Chair,
    ContractNet,
    Decided,
    Floor,
    Lasted,
    MaxTurns,
    Meeting,
    MeetingEnded,
    MeetingView,
    Open,
    RaisedHands,
    RoundRobin,
    Selector,
    Silence,
    TextSaid,
    YourTurn,
    read_minutes,
)
from coterie.meetings.state.events import FloorFailed, MeetingOpened
from coterie.testing import ManualClock, wait_until_idle
from tests.meetings.people import House, house

NAMES = ("ada", "ben", "cleo")


class Broken(Floor, frozen=True, kw_only=True):
    """A policy that raises whenever it is asked."""

    def next(self, state: MeetingView, last: str) -> tuple[str, ...]:
        raise RuntimeError("no idea who is next")

    def objection(self, state: MeetingView, by: str, event: Any) -> str:
        raise RuntimeError("no idea who may")


def say(text: Any) -> Callable[[Meeting], Awaitable[int]]:
    return lambda meeting: meeting.say(text)


def failures(each: House, agent: Any, id_: str) -> list[str]:
    entries = each.see(agent, id_, lambda meeting: meeting.transcript.entries)
    return [entry.event.reason for entry in entries if isinstance(entry.event, FloorFailed)]


def test_on_an_open_floor_everybody_speaks_at_any_time() -> None:
    with house() as each:
        members = [each.member(name) for name in NAMES]
        id_ = each.call(members[0], members[1:], floor=Open())
        for member in (members[2], members[2], members[0]):
            each.use(member, id_, say("x"))
        assert each.see(members[1], id_, lambda meeting: [said.by for said in meeting.transcript]) == ["cleo", "cleo", "ada"]


def test_a_round_robin_goes_round_in_the_order_of_joining_the_caller_first() -> None:
    with house() as each:
        members = [each.member(name) for name in NAMES]
        id_ = each.call(members[0], members[1:], floor=RoundRobin())
        with pytest.raises(NotYourTurn, match="turn of ada"):
            each.use(members[1], id_, say("me first"))
        for turn in range(6):
            each.use(members[turn % 3], id_, say(turn))
            for other in (turn, turn + 2):
                with pytest.raises(NotYourTurn):
                    each.use(members[other % 3], id_, say("too early"))
        wait_until_idle(each.runtime)
        assert [message.turn for message in each.sent(members[1], YourTurn)] == [2, 5]


def test_a_member_outside_the_order_of_a_round_robin_only_listens() -> None:
    with house() as each:
        members = [each.member(name) for name in NAMES]
        id_ = each.call(members[0], members[1:], floor=RoundRobin(order=(members[2], "ben")))
        each.use(members[2], id_, say(1))
        each.use(members[1], id_, say(2))
        with pytest.raises(NotYourTurn):
            each.use(members[0], id_, say(3))
        each.use(members[2], id_, lambda meeting: meeting.pass_turn())
        each.use(members[1], id_, say(4))


def test_raised_hands_speak_in_their_order() -> None:
    with house() as each:
        members = [each.member(name) for name in NAMES]
        id_ = each.call(members[0], members[1:], floor=RaisedHands())
        with pytest.raises(ContributionRefused, match="raise a hand"):
            each.use(members[0], id_, say("x"))
        for number in (2, 0, 1):
            each.use(members[number], id_, lambda meeting: meeting.raise_hand())
        each.use(members[0], id_, lambda meeting: meeting.lower_hand())
        with pytest.raises(NotYourTurn, match="turn of cleo"):
            each.use(members[1], id_, say("x"))
        each.use(members[2], id_, say("first"))
        each.use(members[1], id_, say("second"))
        with pytest.raises(ContributionRefused, match="raise a hand"):
            each.use(members[1], id_, say("third"))


def test_a_chair_gives_the_floor_and_gets_it_back() -> None:
    with house() as each:
        members = [each.member(name) for name in NAMES]
        id_ = each.call(members[0], members[1:], floor=Chair())
        with pytest.raises(NotYourTurn):
            each.use(members[1], id_, say("x"))
        with pytest.raises(ContributionRefused, match="only the chair, ada"):
            each.use(members[1], id_, lambda meeting: meeting.give_floor("ben"))
        each.use(members[0], id_, say("order!"))
        each.use(members[0], id_, lambda meeting: meeting.give_floor(members[1]))
        each.use(members[0], id_, say("briefly, please"))
        each.use(members[1], id_, say("thanks"))
        with pytest.raises(NotYourTurn):
            each.use(members[1], id_, say("and another thing"))
        each.use(members[0], id_, lambda meeting: meeting.leave())
        each.use(members[1], id_, say("I am the chair now"))


def test_a_selector_picks_the_next_speaker() -> None:
    order = ["ben", "ben", "cleo", None]
    with house() as each:
        members = [each.member(name) for name in NAMES]
        id_ = each.call(members[0], members[1:], floor=Selector(function=lambda state: order[min(state.turns, 3)]))
        with pytest.raises(NotYourTurn):
            each.use(members[0], id_, say("x"))
        each.use(members[1], id_, say(1))
        each.use(members[1], id_, say(2))
        each.use(members[2], id_, say(3))
        for member in members:
            each.use(member, id_, say("anybody"))


def test_a_selector_that_raises_or_picks_a_stranger_is_recorded_and_the_meeting_goes_on() -> None:
    def choose(state: MeetingView) -> str:
        if state.turns == 0:
            return "nobody of that name"
        raise RuntimeError("out of ideas")

    with house() as each:
        members = [each.member(name) for name in NAMES]
        id_ = each.call(members[0], members[1:], floor=Selector(function=choose))
        for turn in range(4):
            each.use(members[turn % 3], id_, say(turn))
        found = failures(each, members[2], id_)
        assert "nobody of that name" in found[0]
        assert "out of ideas" in found[1]


def test_a_policy_that_raises_is_recorded_and_the_floor_goes_round() -> None:
    with house() as each:
        members = [each.member(name) for name in NAMES]
        id_ = each.call(members[0], members[1:], floor=Broken())
        for turn in range(4):
            with pytest.raises(NotYourTurn):
                each.use(members[(turn + 1) % 3], id_, say("not I"))
            each.use(members[turn % 3], id_, say(turn))
        assert any("no idea" in reason for reason in failures(each, members[1], id_))
        assert len({each.see(member, id_, lambda meeting: meeting.digest()) for member in members}) == 1


def test_a_contract_net_goes_from_announcement_to_report() -> None:
    with house() as each:
        members = [each.member(name) for name in NAMES]
        ada, ben, cleo = members
        id_ = each.call(ada, [ben, cleo], floor=ContractNet())
        for member in (ada, ben):
            with pytest.raises((ContributionRefused, NotYourTurn)):
                each.use(member, id_, lambda meeting: meeting.bid(3))
        each.use(ada, id_, lambda meeting: meeting.announce({"mend": "net"}))
        each.use(cleo, id_, lambda meeting: meeting.bid(7))
        with pytest.raises((ContributionRefused, NotYourTurn)):
            each.use(ada, id_, lambda meeting: meeting.award("cleo"))  # ben has not bid yet
        with pytest.raises(NotYourTurn):
            each.use(cleo, id_, lambda meeting: meeting.bid(6))
        each.use(ben, id_, lambda meeting: meeting.bid(None))
        with pytest.raises(ContributionRefused, match="has not bid"):
            each.use(ada, id_, lambda meeting: meeting.award(ben))
        each.use(ada, id_, lambda meeting: meeting.award(cleo))
        with pytest.raises(NotYourTurn):
            each.use(ben, id_, lambda meeting: meeting.report("done"))
        each.use(cleo, id_, lambda meeting: meeting.report("mended"))
        (contract,) = each.see(ben, id_, lambda meeting: meeting.state.contracts)
        assert (contract.task, contract.bids, contract.winner, contract.result, contract.state) == (
            {"mend": "net"},
            {"cleo": 7},
            "cleo",
            "mended",
            "done",
        )
        each.use(ada, id_, lambda meeting: meeting.announce("the next"))


def test_a_missed_turn_is_recorded_and_passed_on() -> None:
    clock = ManualClock()
    with house(clock=clock) as each:
        members = [each.member(name) for name in NAMES]
        id_ = each.call(members[0], members[1:], floor=RoundRobin(turn_limit=5))
        clock.advance(4.9, lambda: wait_until_idle(each.runtime))
        each.use(members[0], id_, say("just in time"))
        clock.advance(5, lambda: wait_until_idle(each.runtime))
        state = each.see(members[0], id_, lambda meeting: meeting.state)
        assert [(missed.member, missed.turn) for missed in state.missed] == [("ben", 2)]
        assert state.turn.holders == ("cleo",)
        with pytest.raises(NotYourTurn):
            each.use(members[1], id_, say("too late"))


def test_bidders_and_winners_that_miss_their_time_lose_it() -> None:
    clock = ManualClock()
    with house(clock=clock) as each:
        ada, ben, cleo = (each.member(name) for name in NAMES)
        id_ = each.call(ada, [ben, cleo], floor=ContractNet(turn_limit=5))
        clock.advance(20, lambda: wait_until_idle(each.runtime))  # announcing takes as long as it takes
        each.use(ada, id_, lambda meeting: meeting.announce("a"))
        each.use(ben, id_, lambda meeting: meeting.bid(1))
        clock.advance(5, lambda: wait_until_idle(each.runtime))
        each.use(ada, id_, lambda meeting: meeting.award("ben"))
        clock.advance(5, lambda: wait_until_idle(each.runtime))
        state = each.see(cleo, id_, lambda meeting: meeting.state)
        assert [missed.member for missed in state.missed] == ["cleo", "ben"]
        assert state.contract is not None
        assert (state.contract.state, state.contract.bids) == ("awarding", {})


# How meetings end by themselves.


def ended(each: House, agent: Any) -> str:
    wait_until_idle(each.runtime)
    found = each.sent(agent, MeetingEnded)
    return found[0].reason if found else ""


def test_so_many_turns_end_a_meeting() -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        id_ = each.call(ada, [ben], max_turns=3)
        for _ in range(3):
            assert ended(each, ben) == ""
            each.use(ada, id_, say("x"))
        assert ended(each, ben) == "3 turns are over"


@pytest.mark.parametrize(
    ("content", "ends"), [("well done!", True), ({"status": "done"}, True), ({"a": "undone"}, False), ("no", False)]
)
def test_something_said_ends_a_meeting(content: Any, ends: bool) -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        id_ = each.call(ada, [ben], ending=TextSaid("done"))
        each.use(ben, id_, say(content))
        assert bool(ended(each, ada)) is ends


def test_silence_and_time_end_a_meeting_and_conditions_combine() -> None:
    clock = ManualClock()
    with house(clock=clock) as each:

        def advance(seconds: float) -> None:
            clock.advance(seconds, lambda: wait_until_idle(each.runtime))

        def call(ending: Any, **options: Any) -> tuple[Any, str]:
            guest = each.member(f"guest-{clock.monotonic()}-{ending}"[:40])
            caller = each.member(f"caller-{clock.monotonic()}-{ending}"[:40])
            return guest, each.call(caller, [guest], ending=ending, **options)

        guest, id_ = call(Silence(30) | MaxTurns(20))
        advance(20)
        each.use(guest, id_, say("still here"))
        advance(29)
        assert ended(each, guest) == ""
        advance(1)
        assert ended(each, guest) == "nobody spoke for 30 s"

        guest, id_ = call(None, time_limit=10)
        advance(10)
        assert ended(each, guest) == "10 s are over"

        guest, id_ = call(TextSaid("done") & Lasted(10) & MaxTurns(1))
        each.use(guest, id_, say("done"))
        advance(9)
        assert ended(each, guest) == ""
        advance(1)
        assert ended(each, guest).count(" and ") == 2


def test_a_vote_is_counted_and_can_end_a_meeting() -> None:
    with house() as each:
        members = [each.member(name) for name in NAMES]
        id_ = each.call(members[0], members[1:], ending=Decided("quota 10"))
        each.use(members[0], id_, lambda meeting: meeting.put_to_vote("quota 10"))
        with pytest.raises(ContributionRefused, match="perhaps"):
            each.use(members[0], id_, lambda meeting: meeting.vote("quota 10", "perhaps"))
        ada, ben, cleo = members
        for member, choice in ((ada, "no"), (ada, "yes"), (ben, "yes"), (cleo, "no")):
            each.use(member, id_, lambda meeting: meeting.vote("quota 10", choice))
        state = each.see(members[1], id_, lambda meeting: meeting.state)
        assert state.motions["quota 10"].tally == {"yes": 2, "no": 1}
        assert "all have voted" in ended(each, members[1])


def test_invalid_settings_of_policies_and_conditions_are_refused() -> None:
    for wrong in (
        lambda: RoundRobin(turn_limit=0),
        lambda: MaxTurns(0),
        lambda: TextSaid(""),
        lambda: Silence(-1),
        lambda: Selector(function=3),
        lambda: MaxTurns(1) | "done",  # type: ignore[operator] # that is the point
        lambda: RoundRobin(order=(1, 2)),
    ):
        with pytest.raises(InvalidSetting):
            wrong()


@pytest.mark.parametrize(
    ("ending", "when", "reason"),
    [
        (Lasted(1) & TextSaid("done") | Lasted(3), 3, "3 s are over"),
        (Silence(1) & TextSaid("done") | Silence(5), 5, "nobody spoke for 5 s"),
        ((Lasted(1) & TextSaid("done") | Lasted(9)) & Lasted(5), 9, "9 s are over and 5 s are over"),
        (MaxTurns(20) | TextSaid("hm") & Silence(4), 4, "ada said 'hm' and nobody spoke for 4 s"),
        (TextSaid("hm") & TextSaid("well"), 0, "ada said 'hm' and ada said 'well'"),
        (TextSaid("hm") & MaxTurns(2), 0, "ada said 'hm' and 2 turns are over"),
        (TextSaid("hm", by="ben") | Lasted(2), 2, "2 s are over"),
    ],
)
def test_conditions_that_combine_hold_when_they_say(ending: Any, when: int, reason: str) -> None:
    clock = ManualClock()
    with house(clock=clock) as each:
        ada, ben = each.member("ada"), each.member("ben")
        id_ = each.call(ada, [ben], ending=ending)
        for text in ("hm", "well"):
            each.use(ada, id_, say(text))
        for _ in range(when):
            assert ended(each, ben) == ""
            clock.advance(1, lambda: wait_until_idle(each.runtime))
        wait_until_idle(each.runtime)
        assert ended(each, ben) == reason


class Odd(Floor, frozen=True, kw_only=True):
    """A policy that answers nonsense."""

    answer: Any = ()
    seconds: Any = None

    def next(self, state: MeetingView, last: str) -> tuple[str, ...]:
        answer: tuple[str, ...] = self.answer
        return answer

    def limit(self, state: MeetingView, holders: tuple[str, ...]) -> float | None:
        seconds: float | None = self.seconds
        return seconds


@pytest.mark.parametrize("answer", [None, "ben", 5, ("nobody",), (5,), (["ben"],)])
def test_a_policy_that_chooses_an_absent_member_is_recorded_and_the_floor_goes_round(answer: Any) -> None:
    with house() as each:
        members = [each.member(name) for name in NAMES]
        id_ = each.call(members[0], members[1:], floor=Odd(answer=answer))
        for member in (*members, members[0]):
            each.use(member, id_, say("x"))
        assert "the policy's choice" in failures(each, members[1], id_)[0]
        assert len({each.see(member, id_, lambda meeting: meeting.digest()) for member in members}) == 1


@pytest.mark.parametrize("seconds", ["soon", -1, 0, float("nan"), float("inf")])
def test_a_policy_that_sets_no_possible_limit_is_recorded_and_sets_none(seconds: Any) -> None:
    with house() as each:
        ada, ben = each.member("ada"), each.member("ben")
        id_ = each.call(ada, [ben], floor=Odd(answer=["ben"], seconds=seconds))
        each.use(ben, id_, say("x"))
        assert "the policy's limit" in failures(each, ada, id_)[0]
        assert each.see(ada, id_, lambda meeting: meeting.state.missed) == ()
        assert each.see(ada, id_, lambda meeting: meeting.state.turn.holders) == ("ben",)


def test_the_names_under_which_logs_store_the_policies_do_not_change(tmp_path: Path) -> None:
    # Recorded meetings have them in their digests; they are those of the modules in which the policies once were.
    names = {
        Open(): "coterie.meetings.floor.policy:Open",
        RoundRobin(): "coterie.meetings.floor.policy:RoundRobin",
        RaisedHands(): "coterie.meetings.floor.policy:RaisedHands",
        Chair(): "coterie.meetings.floor.chaired:Chair",
        Selector(function=len): "coterie.meetings.floor.chaired:Selector",
        ContractNet(): "coterie.meetings.floor.contract_net:ContractNet",
        Broken(): "tests.meetings.test_floors:Broken",
    }
    for floor, name in names.items():
        folder = tmp_path / type(floor).__name__
        with house(folder=folder) as each:
            each.call(each.member("ada"), floor=floor)
        (path,) = folder.glob("*.jsonl")
        entry = read_minutes(path)[0]
        assert isinstance(entry.event, MeetingOpened)
        assert entry.event.floor.kind == name


def test_a_condition_keeps_its_stored_name() -> None:
    assert msgspec.json.encode(TextSaid("done")) == b'{"type":"Said","text":"done","by":""}'
