"""Types that msgspec does not decode, or would decode to something else."""

import datetime as dt
import enum
import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

import pytest

from coterie import Message, Request
from coterie.errors import EncodeFailed
from coterie.errors.definition import DecodeFailed
from coterie.kernel import Codec
from coterie.kernel.codec import Packed


class Mixed(enum.Enum):
    NUMBER = 1
    TEXT = "x"
    FRACTION = 1.5
    PAIR = (1, "a")
    NOTHING = None


class Letter(enum.Enum):
    A = "a"


@dataclass
class Circle:
    radius: float
    kind: Mixed = Mixed.NUMBER


@dataclass
class Square:
    side: float
    holes: "list[Circle | Square]" = field(default_factory=list)


@dataclass
class Other:
    side: float
    holes: list[str]


class Event(Message):
    at: int


class Opened(Event):
    by: str


class Closed(Event):
    pass


class Wrapped(Request[int]):
    inner: Message
    shape: Circle | Square | None = None
    more: dict[str, list[Circle | Square]] | None = None
    pairs: tuple[Circle | Square, int] | None = None
    many: tuple[Circle | Square, ...] = ()
    data: bytes | str = ""
    kind: Mixed = Mixed.TEXT
    kinds: frozenset[Mixed] = frozenset()
    event: Event | None = None
    noted: Annotated[Circle | Square, "as a note"] | int = 0


EVERYTHING = [
    Wrapped(Opened(1, "Ada")),
    Wrapped(Wrapped(Closed(2), kind=Mixed.PAIR), shape=Circle(1.0, Mixed.FRACTION)),
    Wrapped(Closed(3), shape=Square(2.0, [Circle(1.0), Square(3.0)]), more={"a": [Square(1.0), Circle(2.0)]}),
    Wrapped(Closed(4), pairs=(Square(1.0), 5), many=(Circle(1.0), Square(2.0)), data=b"\\x00", kind=Mixed.NOTHING),
    Wrapped(Closed(5), kinds=frozenset({Mixed.PAIR, Mixed.NUMBER}), data="text", event=Opened(6, "Bob")),
    Wrapped(Closed(6), event=Closed(7), noted=Square(1.0)),
]


@pytest.mark.parametrize("message", EVERYTHING, ids=range(len(EVERYTHING)))
def test_a_message_of_types_that_are_told_apart_by_their_values_survives(message: Wrapped) -> None:
    codec = Codec()
    again = codec.unpack(codec.pack(message), Message)
    assert again == message
    assert type(again) is Wrapped
    assert type(again.inner) is type(message.inner)
    assert again.kind is message.kind


def test_a_field_of_a_base_class_takes_what_is_derived_from_it_only() -> None:
    class Narrow(Message):
        event: Event

    codec = Codec()
    codec.register(Narrow)
    packed = codec.pack(Narrow(Opened(1, "Ada")))
    assert codec.unpack(packed, Message) == Narrow(Opened(1, "Ada"))
    foreign = Packed(packed.kind, packed.body.replace(b"Opened", b"Narrow"))
    with pytest.raises(DecodeFailed, match="the class 'Narrow', a Event, is not known here"):
        codec.unpack(foreign, Message)
    unknown = Packed(packed.kind, packed.body.replace(b"Opened", b"Closer"))
    with pytest.raises(DecodeFailed, match="the class 'Closer', a Event, is not known here"):
        codec.unpack(unknown, Message)


def test_of_several_classes_of_one_name_the_registered_one_is_meant() -> None:
    def define() -> type[Event]:
        class Again(Event):
            pass

        return Again

    class Holding(Message):
        event: Event

    first, second = define(), define()
    codec = Codec()
    body = codec.pack(Holding(first(at=1)))
    with pytest.raises(DecodeFailed, match="the class 'Again', a Event, has several definitions here"):
        codec.unpack(body, Message)
    codec.register(second)
    held = codec.unpack(body, Holding).event
    assert type(held) is second


class Ambiguous(Message):
    shape: Square | Other


class Texts(Message):
    text: str | uuid.UUID


class Letters(Message):
    letters: list[str | Letter]


class Arrays(Message):
    many: list[int] | tuple[int, ...]


class Maps(Message):
    many: Circle | dict[str, Any]


class When(Message):
    when: dt.datetime | str


@pytest.mark.parametrize(
    ("message", "names"),
    [
        (Ambiguous(Square(1.0)), "Square and Other"),
        (Texts("x"), "str and UUID"),
        (Letters(["a"]), "str and Letter"),
        (Arrays([1]), "list and tuple"),
        (Maps(Circle(1.0)), "Circle and dict"),
        (When("now"), "datetime and str"),
    ],
)
def test_types_that_cannot_be_told_apart_are_refused_where_they_are_sent(message: Message, names: str) -> None:
    with pytest.raises(EncodeFailed, match=f"values of {names}.* could not be told apart where they arrive"):
        Codec().pack(message)


class Loose(Message):
    any_: Any = None
    plain: dict | None = None  # type: ignore[type-arg] # on purpose
    items: list[Any] | None = None
    either: Any | Circle = None
    typed: Circle | None = None


class Options(TypedDict):
    shape: Any


class Deep(Message):
    loose: list[Loose]
    options: Options | None = None


@pytest.mark.parametrize(
    ("message", "where"),
    [
        (Loose(any_=Circle(1.0)), "the field 'any_' of a Loose: its type does not name Circle"),
        (Loose(any_=[{"a": (Closed(1),)}]), "its type does not name Closed"),
        (Loose(any_=Letter.A), "its type does not name Letter"),
        (Loose(plain={"a": Circle(1.0)}), "the field 'plain' of a Loose: its type does not name Circle"),
        (Loose(items=[1, Square(1.0)]), "its type does not name Square"),
        (Deep([Loose(any_=Circle(1.0))]), "the field 'loose' of a Deep: its type does not name Circle"),
    ],
)
def test_an_object_that_would_arrive_as_plain_data_is_refused_where_it_is_sent(message: Message, where: str) -> None:
    with pytest.raises(EncodeFailed, match=where):
        Codec().pack(message)


def test_plain_data_may_be_where_the_type_is_open() -> None:
    codec = Codec()
    for message in (
        Loose(any_={"a": [1, "x", None, 1.5, b"y"]}, plain={"a": [1]}, items=[{}], either=Circle(1.0), typed=Circle(2.0)),
        Deep([Loose(any_=dt.datetime(2020, 1, 1, tzinfo=dt.UTC))], {"shape": 1}),
    ):
        packed = codec.pack(message)
        assert codec.unpack(packed, Message) is not None


def test_an_answer_that_would_arrive_as_plain_data_is_refused() -> None:
    codec = Codec()
    with pytest.raises(EncodeFailed, match="an answer: its type does not name Circle"):
        codec.encode_as([Circle(1.0)], Any)
    assert codec.decode(codec.encode_as([Circle(1.0)], list[Circle]), list[Circle]) == [Circle(1.0)]
    assert codec.decode(codec.encode_as(Square(1.0), Circle | Square), Circle | Square) == Square(1.0)


@pytest.mark.parametrize("kind", [Circle | Square, Mixed, list[Circle | Square], dict[str, Circle | Square], Event])
def test_data_that_are_wrong_are_refused(kind: Any) -> None:
    codec = Codec()
    for wrong in ({"radius": "text"}, [{"depth": 1}], {"a": {"radius": None}}, 17, "text", {"$type": "Opened", "at": "x"}):
        with pytest.raises(DecodeFailed):
            codec.decode(codec.encode(wrong), kind)
