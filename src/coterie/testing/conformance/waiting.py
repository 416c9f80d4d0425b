"""Cases of wait cycles: real ones raise at once, apparent ones do not."""

from __future__ import annotations

import asyncio

import pytest

from coterie import Agent, AgentRef, HandlerFailed, MailboxPolicy, Message, Request, on
from coterie.testing.conformance.base import Echo, Recorder, Suite


class Chain(Request[int]):
    """Goes along a chain of agents: each asks the next."""

    rest: list[AgentRef]


class BlockingChain(Request[int]):
    """The same, each blocking its thread."""

    rest: list[AgentRef]


class InterleavingChain(Request[int]):
    """The same, by handlers that interleave."""

    rest: list[AgentRef]


class GatheringChain(Request[int]):
    """The same, but each agent asks all remaining agents at once."""

    rest: list[AgentRef]


class Flood(Request[int]):
    """Makes an agent tell another more than its mailbox holds."""

    to: AgentRef


class Offers(Request[int]):
    """The same, by offers."""

    to: AgentRef


class BlockInterleaving(Request[int]):
    """Makes an interleaving handler ask its own agent, and block its thread."""

    of: AgentRef


class Drop(Message):
    """A message of a flood."""


class Link(Agent):
    @on
    async def chain(self, message: Chain) -> int:
        return await message.rest[0].ask(Chain(message.rest[1:])) if message.rest else 1

    @on
    def blocking_chain(self, message: BlockingChain) -> int:
        return message.rest[0].ask(BlockingChain(message.rest[1:])).result() if message.rest else 1

    @on(interleave=True)
    async def interleaving_chain(self, message: InterleavingChain) -> int:
        return await message.rest[0].ask(InterleavingChain(message.rest[1:])) if message.rest else 1

    @on
    async def gathering_chain(self, message: GatheringChain) -> int:
        if not message.rest:
            return 1
        first, *rest = message.rest
        answers = await asyncio.gather(first.ask(GatheringChain(rest)), *(each.ask(Echo(1)) for each in rest))
        return sum(answers)

    @on
    def echo(self, message: Echo) -> int:
        return message.n

    @on
    def drop(self, message: Drop) -> None: ...

    @on
    def flood(self, message: Flood) -> int:
        for _ in range(10):
            message.to.tell(Drop())
        return 1

    @on
    async def offers(self, message: Offers) -> int:
        for _ in range(10):
            await message.to.offer(Drop())
        return 1

    @on(interleave=True)
    async def block_interleaving(self, message: BlockInterleaving) -> int:
        return message.of.ask(Echo(1), timeout=None).result()


class Waiting(Suite):
    """Wait cycles."""

    def _assert_cycle(self, error: BaseException, *names: str) -> None:
        """Check that an error names a cycle, beginning with any of its agents."""
        circle = names[:-1]
        turned = [(*circle[n:], *circle[:n], circle[n]) for n in range(len(circle))]
        assert any(" -> ".join(each) in str(error) for each in turned), error

    def test_an_agent_that_asks_itself_gets_an_error_at_once(self) -> None:
        if not self.waits_are_seen:
            pytest.skip("the deadline decides")
        with self.runtime() as runtime:
            a = runtime.spawn(Link, name="a")
            for kind in (Chain, BlockingChain):
                with pytest.raises(HandlerFailed) as caught:
                    a.ask(kind([a])).result(5)
                self._assert_cycle(caught.value, a.name, a.name)

    def test_two_agents_that_wait_for_each_other_get_an_error_at_once(self) -> None:
        if not self.waits_are_seen:
            pytest.skip("the deadline decides")
        with self.runtime() as runtime:
            a, b = runtime.spawn(Link, name="a"), runtime.spawn(Link, name="b")
            for kind in (Chain, BlockingChain):
                with pytest.raises(HandlerFailed) as caught:
                    a.ask(kind([b, a])).result(5)
                self._assert_cycle(caught.value, b.name, a.name, b.name)
                assert a.ask(Chain([b])).result(5) == 1

    def test_longer_circles_are_named_whole(self) -> None:
        if not self.waits_are_seen:
            pytest.skip("the deadline decides")
        with self.runtime() as runtime:
            agents = [runtime.spawn(Link, name=name) for name in "abcd"]
            with pytest.raises(HandlerFailed) as caught:
                agents[0].ask(Chain([*agents[1:], agents[1]])).result(5)
            _, b, c, d = agents
            self._assert_cycle(caught.value, d.name, b.name, c.name, d.name)

    def test_circles_through_gathered_asks_are_found(self) -> None:
        if not self.waits_are_seen:
            pytest.skip("the deadline decides")
        with self.runtime() as runtime:
            a, b, c = (runtime.spawn(Link, name=name) for name in "abc")
            with pytest.raises(HandlerFailed) as caught:
                a.ask(GatheringChain([b, c, a])).result(5)
            assert "waiting would never end" in str(caught.value)

    def test_an_interleaving_handler_may_be_asked_back(self) -> None:
        with self.runtime() as runtime:
            a, b = runtime.spawn(Link, name="a"), runtime.spawn(Link, name="b")
            assert a.ask(InterleavingChain([b, a, b, a])).result(5) == 1
            assert a.ask(InterleavingChain([a])).result(5) == 1

    def test_a_long_chain_of_waiting_agents_is_not_a_deadlock(self) -> None:
        with self.runtime() as runtime:
            agents = [runtime.spawn(Link) for _ in range(30)]
            assert agents[0].ask(Chain(agents[1:])).result(10) == 1
            assert agents[0].ask(BlockingChain(agents[1:])).result(10) == 1

    def test_many_may_wait_for_one(self) -> None:
        with self.runtime() as runtime:
            last = runtime.spawn(Link)
            agents = [runtime.spawn(Link) for _ in range(20)]
            replies = [agent.ask(Chain([last])) for agent in agents]
            assert [reply.result(10) for reply in replies] == [1] * 20

    def test_an_agent_that_fills_its_own_mailbox_gets_an_error_at_once(self) -> None:
        if not (self.waits_are_seen and self.sender_sees_full):
            pytest.skip("the deadline decides")
        with self.runtime() as runtime:
            a = runtime.spawn(Link, name="a", mailbox=MailboxPolicy.wait(3, timeout=None))
            with pytest.raises(HandlerFailed) as caught:
                a.ask(Flood(a)).result(5)
            self._assert_cycle(caught.value, a.name, a.name)
            with pytest.raises(HandlerFailed) as caught:
                a.ask(Offers(a)).result(5)
            self._assert_cycle(caught.value, a.name, a.name)

    def test_an_interleaving_handler_that_blocks_its_thread_can_wait_in_a_circle_too(self) -> None:
        if not self.waits_are_seen:
            pytest.skip("the deadline decides")
        with self.runtime() as runtime:
            a = runtime.spawn(Link, name="a")
            with pytest.raises(HandlerFailed) as caught:
                a.ask(BlockInterleaving(a)).result(5)
            self._assert_cycle(caught.value, a.name, a.name)

    def test_waiting_from_outside_makes_no_circle(self) -> None:
        with self.runtime() as runtime:
            a = runtime.spawn(Recorder)
            assert [a.ask(Echo(n)).result(5) for n in range(3)] == [0, 1, 2]
