"""Generic messages keep the types of their parts on a wire."""

import dataclasses
from contextlib import ExitStack
from typing import Any, Generic, TypeVar

import pytest

from coterie import Agent, AgentRef, HandlerFailed, Message, Request, Runtime, on
from coterie.errors import CodecError
from coterie.messaging import LocalTransport

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Point:
    x: int


@dataclasses.dataclass(frozen=True)
class Name:
    text: str


class Box(Request[str], Generic[T]):
    item: T


class PointBox(Box[Point]):
    pass


class Pair(Message, Generic[T]):
    one: T
    two: list[T]


class GetPair(Request[Pair[Point]]):
    pass


class Same(Request[T], Generic[T]):
    item: T


class Points(Agent):
    @on
    def box(self, message: Box[Point]) -> str:
        return f"{type(message).__name__} of {message.item!r}"

    @on
    def pair(self, message: GetPair) -> Pair[Point]:
        return Pair(one=Point(1), two=[Point(2)])

    @on
    def same(self, message: Same[Point]) -> Point:
        return message.item


class Names(Agent):
    @on
    def box(self, message: Box[Name] | PointBox) -> str:
        return f"{type(message).__name__} of {message.item!r}"


class House:
    def __init__(self, stack: ExitStack, how: str) -> None:
        if how == "nodes":
            wire = LocalTransport()
            self.here = stack.enter_context(Runtime("here", transport=wire))
            self.there = stack.enter_context(Runtime("there", transport=wire))
        else:
            self.here = self.there = stack.enter_context(Runtime(strict=how == "strict"))

    def spawn(self, kind: type[Agent]) -> AgentRef:
        return self.here.reference(self.there.spawn(kind).address)


@pytest.mark.parametrize("how", ["by reference", "strict", "nodes"])
def test_a_generic_message_arrives_with_the_types_that_its_handler_names(how: str) -> None:
    with ExitStack() as stack:
        house = House(stack, how)
        points, names = house.spawn(Points), house.spawn(Names)
        assert points.ask(Box[Point](item=Point(1))).result(10) == "Box of Point(x=1)"
        assert names.ask(Box[Name](item=Name("a"))).result(10) == "Box of Name(text='a')"
        assert names.ask(PointBox(item=Point(2))).result(10) == "PointBox of Point(x=2)"
        assert points.ask(PointBox(item=Point(2))).result(10) == "PointBox of Point(x=2)"


@pytest.mark.parametrize("how", ["by reference", "strict", "nodes"])
def test_a_generic_answer_arrives_with_the_types_that_its_request_names(how: str) -> None:
    with ExitStack() as stack:
        points = House(stack, how).spawn(Points)
        assert points.ask(GetPair()).result(10) == Pair(one=Point(1), two=[Point(2)])


def test_the_type_of_an_answer_may_be_an_argument_of_its_request() -> None:
    with Runtime(strict=True) as runtime:
        assert runtime.spawn(Points).ask(Same[Point](item=Point(3))).result(10) == Point(3)


@pytest.mark.parametrize("how", ["strict", "nodes"])
def test_a_generic_message_of_another_type_is_refused(how: str) -> None:
    with ExitStack() as stack:
        points = House(stack, how).spawn(Points)
        wrong: Any = Box(item=Name("a"))
        with pytest.raises((HandlerFailed, CodecError), match="cannot decode"):
            points.ask(wrong).result(10)


class Anything(Agent):
    @on
    def box(self, message: Box) -> str:  # type: ignore[type-arg] # without an argument, on purpose
        return repr(message.item)


@pytest.mark.parametrize("how", ["strict", "nodes"])
def test_an_object_in_a_generic_message_whose_handler_names_no_types_is_refused(how: str) -> None:
    with ExitStack() as stack:
        anything = House(stack, how).spawn(Anything)
        assert anything.ask(Box(item=[1, "two"])).result(10) == "[1, 'two']"
        with pytest.raises((HandlerFailed, CodecError), match=r"annotate its handler with them, such as Box\[Item\]"):
            anything.ask(Box(item=Name("a"))).result(10)


class Count(int):
    pass


class HowMany(Request[int]):
    pass


class Counting(Agent):
    @on
    def count(self, message: HowMany) -> int:
        return Count(3)


def test_a_number_of_a_class_of_its_own_arrives_as_the_number() -> None:
    with Runtime(strict=True) as runtime:
        assert runtime.spawn(Counting).ask(HowMany()).result(10) == 3
