"""Topics and broadcasts over nodes."""

from coterie import Agent, AgentRef, Message, Request, Runtime, on
from coterie.network import NetworkTransport
from coterie.testing.waiting import eventually
from tests.network.nodes import topology


class News(Message):
    n: int


class Heard(Request[list[str]]):
    """Asks for the news that were heard, with their senders."""


class Late(Message):
    """A message that only one node handles."""


class Reader(Agent):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_start(self) -> None:
        self.context.subscribe("news")

    @on
    def news(self, message: News) -> None:
        sender = self.context.sender
        self.heard.append(f"{message.n} of {sender.name if sender is not None else 'outside'}")

    @on
    def tell(self, message: Heard) -> list[str]:
        return sorted(self.heard)


class Writer(Agent):
    @on
    def late(self, message: Late) -> None:
        self.context.publish("news", News(2))


def test_topics_and_broadcasts_reach_the_agents_of_all_nodes() -> None:
    nodes = topology("one", "two")
    here, there = NetworkTransport(nodes, "one"), NetworkTransport(nodes, "two")
    with Runtime("one", transport=here) as one, Runtime("two", transport=there) as two:
        readers = [runtime.spawn(Reader, name="reader") for runtime in (one, two)]

        def heard(reader: AgentRef) -> list[str]:
            return reader.ask(Heard()).result(10)

        assert [heard(reader) for reader in readers] == [[], []]
        here.address("two", "reader")
        there.address("one", "reader")
        assert one.publish("news", News(1)) == 1
        two.spawn(Writer, name="writer").tell(Late())
        assert one.broadcast(News(3)) == 1
        for reader in readers:
            eventually(lambda: heard(reader) == ["1 of outside", "2 of writer", "3 of outside"])
