"""The registry keeps nothing of agents that have ended."""

import gc
import weakref

import pytest

from coterie import Agent, AgentDown, AgentRef, Message, Request, Runtime, on
from coterie.errors import DefinitionError
from coterie.runtime.cells.cell import AgentCell
from coterie.testing import eventually


class Watch(Request[None]):
    whom: AgentRef
    on: bool = True


class Events(Request[list[str]]):
    pass


class Watcher(Agent):
    def __init__(self) -> None:
        self.news: list[str] = []

    @on
    def watch(self, message: Watch) -> None:
        (self.context.watch if message.on else self.context.unwatch)(message.whom)

    @on
    def down(self, message: AgentDown) -> None:
        self.news.append(message.agent.name)

    @on
    def told(self, message: Events) -> list[str]:
        return self.news


def test_an_ended_watcher_is_not_kept_by_the_watched_agent() -> None:
    with Runtime() as runtime:
        watched = runtime.spawn(Watcher, name="watched")
        for _ in range(20):
            watcher = runtime.spawn(Watcher)
            watcher.ask(Watch(whom=watched)).result(10)
            watcher.stop().result(10)
            del watcher

        def kept() -> int:
            gc.collect()
            return sum(type(thing) is AgentCell and thing.services is services for thing in gc.get_objects())

        services = runtime._services
        eventually(lambda: kept() <= 2)  # a thread may still have the latest in its hands


def test_a_watcher_keeps_nothing_of_ended_agents_and_is_notified_of_each() -> None:
    with Runtime() as runtime:
        watcher = runtime.spawn(Watcher)
        registry = runtime._services.registry
        for number in range(10):
            agent = runtime.spawn(Watcher, name=f"a{number}")
            watcher.ask(Watch(whom=agent)).result(10)
            if number % 2:
                watcher.ask(Watch(whom=agent, on=False)).result(10)
            agent.stop().result(10)
        eventually(lambda: len(watcher.ask(Events()).result(10)) == 5)
        assert watcher.ask(Events()).result(10) == [f"a{number}" for number in range(0, 10, 2)]
        assert registry._watchers == {}
        assert not any(registry._watched_by.values())


class Follow(Request[None]):
    topic: str
    give_up: bool = False


class Follower(Agent):
    @on
    def follow(self, message: Follow) -> None:
        (self.context.unsubscribe if message.give_up else self.context.subscribe)(message.topic)


def test_topics_that_no_agent_follows_any_more_are_not_kept() -> None:
    with Runtime() as runtime:
        one, two = runtime.spawn(Follower), runtime.spawn(Follower)
        topics = runtime._services.registry._topics
        for agent in (one, two):
            for number in range(3):
                agent.ask(Follow(topic=f"session/{number}")).result(10)
        for number in range(3):
            one.ask(Follow(topic=f"session/{number}", give_up=True)).result(10)
        assert len(topics) == 3
        two.stop().result(10)
        assert topics == {}


class SpawnOne(Request[str]):
    pass


class Parent(Agent):
    @on
    def spawn(self, message: SpawnOne) -> str:
        return self.context.spawn(Follower).name


def test_the_names_that_children_got_are_forgotten_with_their_parent() -> None:
    with Runtime() as runtime:
        for _ in range(5):
            parent = runtime.spawn(Parent)
            assert parent.ask(SpawnOne()).result(10) == f"{parent.name}/follower-1"
            assert parent.ask(SpawnOne()).result(10) == f"{parent.name}/follower-2"
            parent.stop().result(10)
        assert runtime._services.registry._default_names == {0: {"parent": 5}}


def test_agent_and_message_classes_that_are_given_up_are_not_kept() -> None:
    def use(runtime: Runtime) -> list[weakref.ref[type]]:
        class Note(Message):
            text: str

        class Passing(Agent):
            @on
            def note(self, message: Note) -> None: ...

        agent = runtime.spawn(Passing)
        agent.tell(Note(text="once"))
        agent.stop().result(10)
        return [weakref.ref(Passing), weakref.ref(Note)]

    def gone() -> bool:
        gc.collect()
        return all(each() is None for each in kept)

    with Runtime() as runtime:
        kept = use(runtime)
        eventually(gone)  # a thread may still have the latest in its hands


class News(Message):
    text: str


class Told(Request[list[str]]):
    pass


class Reader(Agent):
    subscribes_to = ("news", "sports")

    def __init__(self) -> None:
        self.told: list[str] = []

    @on
    def news(self, message: News) -> None:
        self.told.append(message.text)

    @on
    def read(self, message: Told) -> list[str]:
        return self.told


def test_a_message_published_right_after_a_spawn_reaches_all_subscriptions_of_the_class() -> None:
    with Runtime() as runtime:
        readers = [runtime.spawn(Reader) for _ in range(50)]
        assert runtime.publish("news", News(text="first")) == 50
        assert runtime.publish("sports", News(text="second")) == 50
        assert all(reader.ask(Told()).result(10) == ["first", "second"] for reader in readers)


def test_a_class_that_subscribes_to_no_names_is_refused() -> None:
    with pytest.raises(DefinitionError, match="give names of topics"):
        type("Wrong", (Agent,), {"subscribes_to": "news"})
