import threading
from typing import Any, Protocol

import pytest

from coterie import Agent, Dedicated, Leased, MailboxPolicy, Message, MessagePriority, Runtime, Supervision, on
from coterie.errors import InvalidMessage, InvalidSetting, ServiceMissing, UnknownAgent
from coterie.testing.conformance.base import Echo, Note, Recorder


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"switch_interval": 0}, r"Runtime\.switch_interval=0: need a number above 0"),
        ({"stall_after": -1}, r"Runtime\.stall_after=-1"),
        ({"stall_after": float("nan")}, r"Runtime\.stall_after=nan"),
        ({"stop_timeout": None}, r"Runtime\.stop_timeout=None"),
        ({"ask_timeout": "1"}, r"Runtime\.ask_timeout='1': need a number of at least 0, or None"),
        ({"dead_letters": -1}, r"Runtime\.dead_letters=-1: need a whole number"),
        ({"dispatcher": Leased}, r"Runtime\.dispatcher=the class Leased: need an instance of a dispatcher"),
        ({"dispatcher": "leased"}, r"Runtime\.dispatcher='leased'"),
        ({"supervision": "one-for-all"}, r"Runtime\.supervision='one-for-all': need a policy: Supervision"),
        ({"mailbox": 5}, r"Runtime\.mailbox=5: need a policy: MailboxPolicy"),
    ],
)
def test_an_invalid_option_is_refused_and_leaves_nothing(options: dict[str, Any], error: str) -> None:
    before = threading.active_count()
    with pytest.raises(InvalidSetting, match=error):
        Runtime(**options)
    assert threading.active_count() == before
    with Runtime() as runtime:
        assert runtime.spawn(Recorder).ask(Echo(1)).result(10) == 1


def test_policies_say_which_of_their_values_is_wrong() -> None:
    with pytest.raises(InvalidSetting, match=r"MailboxPolicy\.capacity='4'"):
        MailboxPolicy(capacity="4")  # type: ignore[arg-type] # on purpose
    with pytest.raises(InvalidSetting, match=r'Supervision\.strategy=\'all\': need one of "one-for-one"'):
        Supervision(strategy="all")  # type: ignore[arg-type] # on purpose
    with pytest.raises(InvalidSetting, match=r"Supervision\.backoff=inf"):
        Supervision(backoff=float("inf"))
    assert Supervision(strategy="one-for-all") == Supervision(strategy="ONE_FOR_ALL")  # type: ignore[arg-type] # a name will do


def test_an_agent_that_could_not_be_spawned_does_not_keep_its_name() -> None:
    class Broken(Dedicated):
        def open(self, resources: object) -> Any:
            raise LookupError("no such scheduler")

    with Runtime() as runtime:
        with pytest.raises(InvalidSetting, match=r"spawn\.mailbox=5"):
            runtime.spawn(Recorder, name="taken", mailbox=5)  # type: ignore[arg-type] # on purpose
        with pytest.raises(LookupError):
            runtime.spawn(Recorder, name="taken", dispatcher=Broken())
        assert runtime.spawn(Recorder, name="taken").ask(Echo(1)).result(10) == 1


@pytest.mark.parametrize("priority", [5, -1, 2, "high", None])
def test_a_priority_is_one_of_the_three(priority: Any) -> None:
    with Runtime() as runtime:
        agent = runtime.spawn(Recorder)
        with pytest.raises(InvalidSetting, match="priority"):
            agent.tell(Note(1), priority=priority)
        with pytest.raises(InvalidSetting, match="priority"):
            agent.ask(Echo(1), priority=priority)
        assert agent.ask(Echo(1), priority=MessagePriority.HIGH).result(10) == 1


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "1", True])
def test_times_are_numbers_of_seconds(seconds: Any) -> None:
    with Runtime() as runtime:
        agent = runtime.spawn(Recorder)
        with pytest.raises(InvalidSetting, match="ttl"):
            agent.tell(Note(1), ttl=seconds)
        with pytest.raises(InvalidSetting, match="timeout"):
            agent.ask(Echo(1), timeout=seconds)
        with pytest.raises(InvalidSetting, match="timeout"):
            runtime.stop(timeout=seconds)
        assert agent.ask(Echo(1), timeout=10).result() == 1


class Reminded(Agent):
    @on
    def echo(self, message: Echo) -> int:
        with pytest.raises(InvalidMessage):
            self.context.after(0, "text")  # type: ignore[arg-type] # on purpose
        with pytest.raises(InvalidSetting, match="every=0"):
            self.context.every(0, message)
        with pytest.raises(InvalidMessage):
            self.context.publish("topic", Message)  # type: ignore[arg-type] # on purpose
        return message.n


def test_only_messages_are_sent_in_whatever_way() -> None:
    with Runtime() as runtime:
        assert runtime.spawn(Reminded).ask(Echo(1)).result(10) == 1
        for send in (lambda what: runtime.publish("topic", what), runtime.broadcast):
            for what in ("text", Note, None):
                with pytest.raises(InvalidMessage):
                    send(what)  # type: ignore[arg-type] # on purpose
        assert list(runtime.dead_letters) == []


def test_an_agent_of_another_runtime_is_unknown_here() -> None:
    with Runtime() as one, Runtime() as other:
        stranger = one.spawn(Recorder)
        other.spawn(Recorder)
        for what in (other.pause, other.resume, other.inspect):
            with pytest.raises(UnknownAgent):
                what(stranger)


class Store(Protocol):
    def get(self, key: str) -> str: ...


class Shop(Agent):
    @on
    def echo(self, message: Echo) -> int:
        store = self.context.use(Store)  # type: ignore[type-abstract] # type checkers see no harm in classes only
        return len(store.get("x"))


def test_a_service_is_found_by_the_protocol_it_was_provided_as() -> None:
    class Shelf:
        def get(self, key: str) -> str:
            return key * 3

    with Runtime(supervision=Supervision(max_restarts=10, backoff=0)) as runtime:
        runtime.provide(Shelf())
        shop = runtime.spawn(Shop)
        reply = shop.ask(Echo(1))
        with pytest.raises(Exception, match="Store"):
            reply.result(10)
        assert isinstance(getattr(reply.exception(), "__cause__", None), ServiceMissing)
        runtime.provide(Shelf(), Store)
        assert shop.ask(Echo(1)).result(10) == 3
