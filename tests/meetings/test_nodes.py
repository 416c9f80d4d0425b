"""Members on several nodes, over a transport on which everything goes wrong."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from coterie import AgentRef, Runtime
from coterie.errors import InvitationDeclined, NoQuorum
from coterie.errors.meetings import ContributionRefused, GuestUnreachable
from coterie.meetings import Decline, MeetingCancelled, MeetingEnded, Meetings, Welcome
from coterie.meetings.state.events import Spoke
from coterie.messaging import LocalTransport
from coterie.testing import LossyTransport, ManualClock, eventually, wait_until_idle
from tests.meetings.people import Do, House, Member
from tests.runs import runs


@contextmanager
def nodes(count: int, transport: Any, clock: Any = None) -> Iterator[list[House]]:
    with ExitStack() as stack:
        houses = []
        for number in range(count):
            runtime = stack.enter_context(
                Runtime(f"n{number}", transport=transport, stop_timeout=2.0, **({"clock": clock} if clock is not None else {}))
            )
            houses.append(House(runtime, runtime.provide(Meetings(patience=20.0))))
        yield houses


def far(house: House, agent: AgentRef) -> AgentRef:
    return house.runtime.reference(str(agent.address))


def pass_together(clock: ManualClock, houses: list[House], seconds: float) -> None:
    """Let time pass in tenths of seconds, and all agents finish what they do in each."""
    for _ in range(round(seconds * 10)):
        clock.advance(0.1)
        for each in houses:
            wait_until_idle(each.runtime)


def test_members_on_three_nodes_hear_each_other_and_agree() -> None:
    with nodes(3, LocalTransport()) as (one, two, three):
        ada, ben, cleo = one.member("ada"), two.member("ben"), three.member("cleo")
        id_ = one.call(ada, [far(one, ben), far(one, cleo)])
        one.use(ada, id_, lambda meeting: meeting.say("hello"))
        two.use(ben, id_, lambda meeting: meeting.say("hi"))
        three.use(cleo, id_, lambda meeting: meeting.say({"fish": [1, 2]}))
        for each, agent in ((one, ada), (two, ben), (three, cleo)):
            said = partial(each.see, agent, id_, lambda meeting: [utterance.content for utterance in meeting.transcript])
            # Who is elsewhere is told a moment after a majority has it.
            eventually(lambda: said() == ["hello", "hi", {"fish": [1, 2]}])
        one.use(ada, id_, lambda meeting: meeting.close("fine"))


def test_two_agents_of_one_name_on_two_nodes_are_two_members() -> None:
    with nodes(2, LocalTransport()) as (one, two):
        ada, other = one.member("ada"), two.member("ada")
        id_ = one.call(ada, [far(one, other)])
        names = one.see(ada, id_, lambda meeting: meeting.members)
        assert names == ("ada", f"ada@{two.runtime.node}")


def test_guests_elsewhere_decline_and_are_told() -> None:
    with nodes(2, LocalTransport()) as (one, two):
        ada, ben, no = one.member("ada"), two.member("ben"), two.member("no", Decline("busy"))
        with pytest.raises(InvitationDeclined, match="no declined: busy"):
            one.call(ada, [far(one, ben), far(one, no)])
        eventually(lambda: len(two.sent(ben, MeetingCancelled)) == 1)
        eventually(lambda: two.meetings.held == ())


def test_a_guest_whose_caller_is_lost_before_the_opening_is_told() -> None:
    clock = ManualClock()
    wire = LossyTransport(1, clock=clock)
    with nodes(2, wire, clock) as (one, two):
        ada, zoe, ben = one.member("ada"), one.member("zoe", "silence"), two.member("ben")

        async def call(agent: Member) -> str:
            return (await agent.context.use(Meetings).call("lake", [far(one, ben), zoe], timeout=5)).id

        ada.ask(Do(call), timeout=90)
        pass_together(clock, [one, two], 1)
        assert len(two.meetings.held) == 1
        wire.partition([one.runtime.node], [two.runtime.node])
        pass_together(clock, [one, two], 7)
        clock.advance(60)
        eventually(lambda: two.meetings.held == ())
        assert "nothing more was heard" in two.sent(ben, MeetingCancelled)[0].reason


def test_a_node_without_meetings_has_no_guests() -> None:
    wire = LocalTransport()
    with nodes(1, wire) as (one,), Runtime("bare", transport=wire) as bare:
        stranger = bare.spawn(Member, True, name="stranger")
        with pytest.raises(GuestUnreachable, match="no meetings are held there"):
            one.call(one.member("ada"), [one.runtime.reference(str(stranger.address))])


@pytest.mark.parametrize("seed", runs(1))
def test_views_converge_under_loss_repetition_reordering_and_a_partition(seed: int) -> None:
    """20 % of all frames dropped, 20 % repeated, 20 % reordered; and for five virtual seconds two nodes are cut off."""
    clock = ManualClock()
    wire = LossyTransport(seed, drop=0.2, duplicate=0.2, reorder=0.2, delay=(0.001, 0.01), behind=0.3, clock=clock)
    with nodes(5, wire, clock) as houses:

        def pass_time(seconds: float) -> None:
            pass_together(clock, houses, seconds)

        agents = [each.member(f"m{number}") for number, each in enumerate(houses)]
        here = houses[0]
        guests = [far(here, agent) for agent in agents[1:]]

        async def call(agent: Member) -> str:
            return (await agent.context.use(Meetings).call("lake", guests, timeout=60)).id

        opening = agents[0].ask(Do(call), timeout=90)
        for _ in range(60):
            if opening.done:
                break
            pass_time(0.5)
        id_ = opening.result(5)
        replies = []

        def say(number: int, text: str) -> None:
            async def work(agent: Member) -> int:
                return await agent.meeting(id_).say(text)

            replies.append((text, agents[number].ask(Do(work), timeout=60)))

        pass_time(2)
        for number in range(5):
            say(number, f"before {number}")
            pass_time(0.2)
        names = [each.runtime.node for each in houses]
        wire.partition(names[:2], names[2:])  # the caller is in the minority
        for number in range(5):
            say(number, f"apart {number}")
            pass_time(1.0)
        wire.heal()
        for number in range(5):
            say(number, f"after {number}")
            pass_time(0.2)
        for _ in range(80):
            if all(reply.done for _, reply in replies):
                break
            pass_time(0.5)
        pass_time(8)
        digests = {each.see(agent, id_, lambda meeting: meeting.digest()) for each, agent in zip(houses, agents, strict=True)}
        assert len(digests) == 1
        entries = houses[0].see(agents[0], id_, lambda meeting: meeting.transcript.entries)
        said = [entry.event.content for entry in entries if isinstance(entry.event, Spoke)]
        assert len(said) == len(set(said))
        acknowledged = {text for text, reply in replies if reply.exception() is None}
        assert acknowledged <= set(said)
        assert len(acknowledged) >= 10
        for text, reply in replies:
            error = reply.exception()
            assert error is None or isinstance(error.__cause__, NoQuorum), (text, error)
        for each, agent in zip(houses[1:], agents[1:], strict=True):
            assert len(each.sent(agent, Welcome)) == 1


def call_all(houses: list[House], agents: list[AgentRef], wait: Callable[[], None]) -> str:
    """Have the first agent call a meeting of all; return its id."""
    guests = [far(houses[0], agent) for agent in agents[1:]]

    async def call(agent: Member) -> str:
        return (await agent.context.use(Meetings).call("lake", guests, timeout=60)).id

    opening = agents[0].ask(Do(call), timeout=90)
    wait()
    id_: str = opening.result(5)
    return id_


def test_a_node_that_is_cut_off_hears_no_quorum_and_catches_up() -> None:
    clock = ManualClock()
    wire = LossyTransport(1, delay=(0.001, 0.002), clock=clock)
    with nodes(3, wire, clock) as houses:

        def pass_time(seconds: float) -> None:
            pass_together(clock, houses, seconds)

        agents = [each.member(f"m{number}") for number, each in enumerate(houses)]
        id_ = call_all(houses, agents, lambda: pass_time(3))

        def say(number: int, text: str) -> Any:
            async def work(agent: Member) -> int:
                return await agent.meeting(id_).say(text)

            return agents[number].ask(Do(work), timeout=60)

        wire.partition([houses[0].runtime.node], [each.runtime.node for each in houses[1:]])
        lonely = say(0, "alone")
        pass_time(8)
        together = say(1, "without the caller")
        pass_time(2)
        assert together.result(5) > 0
        assert not lonely.done
        pass_time(15)
        assert isinstance(lonely.exception().__cause__, NoQuorum)
        wire.heal()
        pass_time(10)
        views = [each.see(agent, id_, lambda meeting: meeting.digest()) for each, agent in zip(houses, agents, strict=True)]
        assert len(set(views)) == 1
        said = houses[0].see(agents[0], id_, lambda meeting: [utterance.content for utterance in meeting.transcript])
        assert said == ["without the caller"]


def test_after_a_cut_of_twenty_seconds_all_copies_of_a_meeting_are_the_same_and_nothing_is_in_twice(tmp_path: Path) -> None:
    """Longer than the silence after which a node counts as lost: then it is heard again."""
    clock = ManualClock()
    wire = LossyTransport(1, delay=(0.001, 0.002), clock=clock)
    with ExitStack() as stack:
        houses = []
        for number in range(3):
            runtime = stack.enter_context(
                Runtime(f"n{number}", transport=wire, stop_timeout=2.0, node_timeout=5.0, clock=clock)
            )
            meetings = runtime.provide(Meetings(folder=tmp_path / str(number), patience=30.0))
            houses.append(House(runtime, meetings))

        def pass_time(seconds: float) -> None:
            pass_together(clock, houses, seconds)

        agents = [each.member(f"m{number}") for number, each in enumerate(houses)]
        id_ = call_all(houses, agents, lambda: pass_time(1.5))

        def say(number: int, text: str) -> Any:
            async def work(agent: Member) -> int:
                return await agent.meeting(id_).say(text)

            return agents[number].ask(Do(work), timeout=90)

        early = say(2, "early")
        pass_time(1)
        wire.partition([houses[2].runtime.node], [each.runtime.node for each in houses[:2]])
        late = say(2, "late")
        pass_time(10)
        meanwhile = say(0, "meanwhile")
        pass_time(10)
        assert meanwhile.result(5) > early.result(5)
        assert not late.done
        wire.heal()
        pass_time(5)
        assert late.result(5) > meanwhile.result(5)

        async def close(agent: Member) -> None:
            await agent.meeting(id_).close("fine")

        closing = agents[1].ask(Do(close), timeout=90)
        pass_time(1)
        # Only the caller may close it.
        refused = closing.exception()
        assert refused is not None
        assert isinstance(refused.__cause__, ContributionRefused)
        agents[0].ask(Do(close), timeout=90)
        # The minutes are written when all know of the end.
        pass_time(6)
        endings = [each.sent(agent, MeetingEnded) for each, agent in zip(houses, agents, strict=True)]
        assert [[ended.outcome for ended in each] for each in endings] == [["fine"]] * 3
        # None is told its own words.
        heard = [each.contents(agent) for each, agent in zip(houses, agents, strict=True)]
        assert heard == [["early", "late"], ["early", "meanwhile", "late"], ["meanwhile"]]
    minutes = [next((tmp_path / str(number)).glob("*.md")).read_text() for number in range(3)]
    assert len(set(minutes)) == 1
