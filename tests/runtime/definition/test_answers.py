"""A handler whose declared answer contradicts its request is refused when its class is defined."""

from __future__ import annotations

import functools
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, NewType, NoReturn, Optional, Protocol, TypeVar, Union

import pytest

from coterie import Agent, Message, Reply, ReplyStream, Request, Runtime, Stream, on
from coterie.errors import DefinitionError

if TYPE_CHECKING:
    from nowhere import Nothing  # type: ignore[import-not-found]  # noqa: F401 - only type checkers see it

T = TypeVar("T")
Number = NewType("Number", int)


class Note(Message):
    pass


class Whole(Request[int]):
    pass


class Words(Request[list[str]]):
    pass


class Perhaps(Request[int | None]):
    pass


class Done(Request[None]):
    pass


class Animal:
    pass


class Dog(Animal):
    pass


class Fetch(Request[Dog]):
    pass


class Fraction(Request[float]):
    pass


class Box(Request[list[T]], Generic[T]):
    pass


class BoxOfWords(Box[str]):
    pass


class Pair(Request[tuple[int, str]]):
    pass


class Table(Request[Mapping[str, int]]):
    pass


class Anything(Request[Any]):
    pass


class Sized(Protocol):
    size: int


class Measure(Request[Sized]):
    pass


@dataclass
class Size:
    size: int


class Choice(Request[Literal["yes", "no"]]):
    pass


def define(message: object, answer: object, *, waits: bool = False) -> type[Agent]:
    """Define an agent whose handler takes a message and declares an answer."""

    def handle(self: Any, message: Any) -> Any: ...

    async def handle_later(self: Any, message: Any) -> Any: ...

    handler = handle_later if waits else handle
    handler.__annotations__ = {"message": message, "return": answer}
    handler.__qualname__ = "Handling.handle"
    return type("Handling", (Agent,), {"handle": on(handler)})


WRONG: list[tuple[object, object]] = [
    (Whole, str),
    (Whole, None),
    (Whole, int | str),
    (Whole, str | None),
    (Whole, list[int]),
    (Whole, Reply[str]),
    (Whole, Coroutine[Any, Any, str]),
    (Whole, Literal["one"]),
    (Whole | Note, str),
    (Whole | Words, int),
    (Whole | Words, int | bytes | list[str]),
    (Words, list[int]),
    (Words, tuple[str, ...]),
    (Words, "list[bytes]"),
    (Perhaps, str),
    (Done, int),
    (Fetch, Message),
    (Fraction, str),
    (Box[int], list[str]),
    (BoxOfWords, list[int]),
    (Pair, tuple[str, int]),
    (Pair, tuple[int, str, int]),
    (Table, dict[str, str]),
    (Choice, Literal["perhaps"]),
    (Choice, int),
]

RIGHT: list[tuple[object, object]] = [
    (Whole, int),
    (Whole, bool),
    (Whole, Number),
    (Whole, int | None),  # None where it postpones the request
    (Whole, Any),
    (Whole, object),
    (Whole, NoReturn),
    (Whole, T),
    (Whole, Reply[int]),
    (Whole, Reply[int] | int),
    (Whole, Reply),
    (Whole, Awaitable[int]),
    (Whole, Literal[1, 2]),
    (Whole, "Nothing"),
    (Whole, "int"),
    (Whole | Note, Union[int, None]),  # noqa: UP007 - as people write it
    (Whole | Words, int | list[str]),
    (Note, str),
    (Words, list),
    (Words, list[Any]),
    (Words, Sequence[str]),
    (Words, Iterable[str]),
    (Perhaps, Optional[int]),  # noqa: UP045 - as above
    (Perhaps, None),
    (Done, None),
    (Fetch, Dog),
    (Fetch, Animal),
    (Fraction, int),
    (Box, list[int]),
    (Box[int], list[int]),
    (BoxOfWords, list[str]),
    (Pair, tuple[int, str]),
    (Pair, tuple),
    (Table, dict[str, int]),
    (Anything, bytes),
    (Request, str),
    (Request[int], int),
    (Measure, Size),
    (Choice, str),
    (Choice, Literal["yes"]),
]


@pytest.mark.parametrize(("message", "answer"), WRONG, ids=str)
def test_an_answer_that_contradicts_the_request_is_refused(message: object, answer: object) -> None:
    with pytest.raises(DefinitionError, match="expects"):
        define(message, answer)


@pytest.mark.parametrize(("message", "answer"), RIGHT, ids=str)
def test_an_answer_that_may_be_right_is_taken(message: object, answer: object) -> None:
    assert define(message, answer).__coterie_table__()


def test_an_async_handler_is_held_to_what_its_await_gives() -> None:
    define(Whole, int, waits=True)
    with pytest.raises(DefinitionError):
        define(Whole, str, waits=True)


def test_the_error_names_class_handler_answer_and_request() -> None:
    with pytest.raises(DefinitionError) as caught:

        class Counter(Agent):
            @on
            def add(self, message: Whole) -> str:
                return "one"

    for part in ("Counter.add", "returns str", "Whole expects int"):
        assert part in str(caught.value)


def test_a_subclass_that_overrides_a_handler_is_held_to_it() -> None:
    class Counter(Agent):
        @on
        def add(self, message: Whole) -> int:
            return 1

    with pytest.raises(DefinitionError, match="Wrong"):

        class Wrong(Counter):
            def add(self, message: Whole) -> str:  # type: ignore[override] # what is refused
                return ""

    class Right(Counter):
        def add(self, message):  # type: ignore[no-untyped-def] # as people write it
            return 1

    assert Right.__coterie_table__()


def test_a_decorator_may_change_the_answer() -> None:
    def as_text(method: Callable[[Any, Any], int]) -> Callable[[Any, Any], str]:
        @functools.wraps(method)
        def call(self: Any, message: Any) -> str:
            return str(method(self, message))

        return call

    class Text(Request[str]):
        pass

    class Teller(Agent):
        @on
        @as_text
        def tell(self, message: Text) -> int:
            return 1

    with Runtime() as runtime:
        assert runtime.spawn(Teller).ask(Text()).result(10) == "1"


class Early(Agent):
    @on
    def early(self, message: Whole) -> Late:
        return Late()


class Late(Message):
    pass


def test_an_answer_that_is_defined_later_is_refused_at_spawn() -> None:
    with Runtime() as runtime:
        for _ in range(2):
            with pytest.raises(DefinitionError, match="Late"):
                runtime.spawn(Early)


class Tokens(Stream[str]):
    pass


def stream_handler(declared: object, how: str) -> type[Agent]:
    """Return an agent class whose handler of `Tokens` declares a return type."""

    async def stream(self: object, message: Tokens) -> AsyncIterator[Any]:
        yield "a"

    def items(self: object, message: Tokens) -> Iterator[Any]:
        yield "a"

    def passed_on(self: object, message: Tokens) -> Any:
        return ["a"]

    method: Any = {"stream": stream, "items": items, "passed on": passed_on}[how]
    method.__annotations__["return"] = declared
    return type("Teller", (Agent,), {method.__name__: on(method)})


@pytest.mark.parametrize(
    ("declared", "how"),
    [
        (AsyncIterator[int], "stream"),
        (AsyncGenerator[int, None], "stream"),
        ("AsyncIterator[int]", "stream"),
        (int, "stream"),
        (None, "stream"),
        (Iterator[int], "items"),
        (Generator[bytes, None, None], "items"),
        (list[int], "passed on"),
        (ReplyStream[int], "passed on"),
    ],
)
def test_items_that_contradict_the_stream_are_refused(declared: object, how: str) -> None:
    with pytest.raises(DefinitionError, match="but Tokens expects items of str"):
        stream_handler(declared, how)


@pytest.mark.parametrize(
    ("declared", "how"),
    [
        (AsyncIterator[str], "stream"),
        (AsyncIterator, "stream"),
        (AsyncIterator[object], "stream"),
        (AsyncIterator[Any], "stream"),
        (AsyncIterator[str | int], "stream"),
        (AsyncGenerator[str, None], "stream"),
        (Generator[str, int, int], "items"),
        (Iterable[str], "items"),
        (list[str], "passed on"),
        (ReplyStream[str], "passed on"),
        (dict[str, int], "passed on"),
        (Any, "passed on"),
    ],
)
def test_items_that_may_be_right_are_taken(declared: object, how: str) -> None:
    stream_handler(declared, how)
