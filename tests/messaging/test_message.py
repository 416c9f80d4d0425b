from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pytest

from coterie import Message, Request
from coterie.errors import DefinitionError
from coterie.kernel import Address
from coterie.messaging import DeadLetter, Reason
from coterie.messaging.dead_letters import DeadLetters
from coterie.messaging.message import reply_type

T = TypeVar("T")


class Add(Request[int]):
    amount: int
    note: str = "none"


class AddMore(Add):
    more: int = 0


class Loose(Request):  # type: ignore[type-arg] # on purpose
    pass


class Typed(Request[list[T]], Generic[T]):
    pass


class Filled(Typed[tuple[int, int]]):
    pass


K = TypeVar("K")


class Turned(Request[dict[T, K]], Generic[K, T]):
    pass


class Plain(Turned[int, str]):
    pass


class Note(Message):
    text: str


def test_messages_are_values() -> None:
    assert Add(1) == Add(amount=1, note="none")
    assert hash(Add(1)) == hash(Add(1))
    assert repr(AddMore(1, more=2)) == "AddMore(amount=1, note='none', more=2)"
    with pytest.raises(AttributeError, match="immutable"):
        Add(1).amount = 2  # type: ignore[misc] # on purpose
    with pytest.raises(TypeError):
        Add()  # type: ignore[call-arg] # on purpose


def test_a_request_has_the_type_of_its_answer() -> None:
    assert reply_type(Add) is int
    assert reply_type(AddMore) is int
    assert reply_type(Typed) == list[Any]
    assert reply_type(Filled) == list[tuple[int, int]]
    assert reply_type(Plain) == dict[str, int]
    assert reply_type(Loose) is Any
    assert reply_type(Note) is Any


def letter(n: int, reason: Reason = Reason.EXPIRED) -> DeadLetter:
    return DeadLetter(Note(str(n)), Address("node", "agent", 1), Address("node", "sender", 2), reason, 0.0, "too late")


def test_dead_letters_keep_the_latest_and_count_all(caplog: pytest.LogCaptureFixture) -> None:
    letters = DeadLetters(keep=5)
    for n in range(150):
        letters.add(letter(n, Reason.STOPPED if n % 3 else Reason.EXPIRED))
    assert [each.message for each in letters] == [Note(str(n)) for n in range(145, 150)]
    assert len(letters) == 5
    assert letters.total == 150
    assert letters.counts == {Reason.EXPIRED: 50, Reason.STOPPED: 100}
    assert len(caplog.records) == 11
    assert str(letter(1)) == "Note from sender to agent was not handled: its time had run out (too late)"


def test_dead_letters_can_be_added_while_they_are_looked_at() -> None:
    letters = DeadLetters()
    for n in range(10):
        letters.add(letter(n))
    for each in letters:
        letters.add(each)
    assert letters.total == 20


@pytest.mark.parametrize("options", [{}, {"frozen": True}])
def test_a_message_is_no_dataclass(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=r"Wrong: a message is no dataclass; leave out @dataclass"):

        @dataclass(**options)
        class Wrong(Message):  # type: ignore[misc] # that is the test
            text: str = ""


def test_a_message_has_no_constructor_of_its_own() -> None:
    with pytest.raises(DefinitionError, match=r"Wrong: a message has no __init__ of its own.*a class method that makes one"):

        class Wrong(Message):
            text: str

            def __init__(self, text: str) -> None: ...
