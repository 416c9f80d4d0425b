from __future__ import annotations

import abc
import functools
import itertools
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Union

import pytest

from coterie import Agent, Message, Request, Runtime, Stream, on
from coterie.errors import DefinitionError, NotInAgent, Unhandled
from coterie.runtime.definition.handlers import nearest

if TYPE_CHECKING:
    from nowhere import Nothing  # type: ignore[import-not-found] # what only type checkers see must not matter


class Numbers(Stream[int]):
    pass


class MoreNumbers(Stream[int]):
    pass


class EvenMoreNumbers(MoreNumbers):
    pass


class Base(Message):
    n: int = 0


class Derived(Base):
    pass


class MoreDerived(Derived):
    pass


class Other(Request[str]):
    pass


class Another(Request[str]):
    pass


class Catcher(Agent):
    """Says which of its handlers was called."""

    @on
    def base(self, message: Base) -> str:
        return "base"

    @on
    def derived(self, message: Derived) -> str:
        return "derived"

    @on
    def either(self, message: Other | Another) -> Nothing:
        return "either"


class OldUnion(Agent):
    @on
    def either(self, message: Union[Other, Another]) -> str:  # noqa: UP007 - the old way must work too
        return "either"


class CatchAll(Catcher):
    @on
    def anything(self, message: Message) -> str:
        return "anything"

    @on
    def base(self, message: Base) -> str:
        return "overridden"


class Quiet(Catcher):
    def base(self, message: Base) -> str:
        return "without the decorator"


class Replaced(Catcher):
    @on
    def my_own(self, message: Base) -> str:
        return "replaced"


def called(kind: type[Agent], message: Message) -> Any:
    handler = nearest(kind.__coterie_table__(), type(message))
    return None if handler is None else handler.function(kind(), message)


def test_a_handler_is_chosen_by_the_type_of_the_message() -> None:
    assert called(Catcher, Base()) == "base"
    assert called(Catcher, Derived()) == "derived"
    assert called(Catcher, Other()) == "either"
    assert called(Catcher, Another()) == "either"
    assert called(OldUnion, Another()) == "either"


def test_the_nearest_base_class_wins() -> None:
    assert called(Catcher, MoreDerived()) == "derived"
    assert called(CatchAll, MoreDerived()) == "derived"


def test_a_message_without_a_handler_is_handled_only_by_a_handler_for_all() -> None:
    class Stray(Message):
        pass

    assert called(Catcher, Stray()) is None
    assert called(CatchAll, Stray()) == "anything"


def test_subclasses_override_handlers_as_they_override_methods() -> None:
    assert called(CatchAll, Base()) == "overridden"
    assert called(Quiet, Base()) == "without the decorator"
    assert called(Replaced, Base()) == "replaced"
    assert called(Replaced, Derived()) == "derived"


def test_mixins_bring_their_handlers() -> None:
    class Mixin:
        @on
        def base(self, message: Base) -> str:
            return "mixed in"

    class Mixed(Mixin, Agent):
        pass

    assert called(Mixed, Base()) == "mixed in"


def test_messages_may_be_defined_in_a_function_and_after_the_agent() -> None:
    class Early(Message):
        pass

    class Local(Agent):
        @on
        def early(self, message: Early) -> str:
            return "early"

    assert called(Local, Early()) == "early"
    assert called(Forward, Later()) == "later"


class Forward(Agent):
    @on
    def later(self, message: Later) -> str:
        return "later"


class Later(Message):
    pass


class Never(Agent):
    @on
    def never(self, message: Missing) -> None: ...  # type: ignore[name-defined] # noqa: F821 - on purpose


def test_a_type_that_is_never_defined_is_named_when_the_agent_is_spawned() -> None:
    with (
        Runtime() as runtime,
        pytest.raises(DefinitionError, match=r"Never\.never: the type of 'message'.*'Missing' is not defined"),
    ):
        runtime.spawn(Never)


def untyped(self: Any, message):  # type: ignore[no-untyped-def]
    ...


def alone(self: Any) -> None: ...


def crowded(self: Any, message: Base, more: int) -> None: ...


def keyword(self: Any, *, message: Base) -> None: ...


def wrong(self: Any, message: int) -> None: ...


def half_wrong(self: Any, message: Base | int) -> None: ...


def quoted(self: Any, message: list[Base]) -> None: ...


@pytest.mark.parametrize(
    ("method", "problem"),
    [
        (untyped, "its parameter 'message' has no type; annotate it with the message class"),
        (alone, "a handler takes self and one message"),
        (crowded, "a handler takes self and one message"),
        (keyword, "a handler takes self and one message"),
        (wrong, "int is not a message class; handle subclasses of Message or Request"),
        (half_wrong, "int is not a message class"),
        (quoted, "is not a message class"),
    ],
)
def test_an_invalid_handler_is_named_where_its_class_is_defined(method: Callable[..., Any], problem: str) -> None:
    # A copy, so that the mark is not left on what other tests use.
    function = types.FunctionType(method.__code__, method.__globals__, method.__name__)
    function.__annotations__ = method.__annotations__
    with pytest.raises(DefinitionError, match=method.__name__) as caught:
        type("Bad", (Agent,), {"handler": on(function), "__module__": __name__})
    assert problem in str(caught.value)


def test_two_handlers_for_one_type_are_refused() -> None:
    with pytest.raises(DefinitionError, match=r"Twice: one and two both handle Base; leave one of them"):

        class Twice(Agent):
            @on
            def one(self, message: Base) -> None: ...

            @on
            def two(self, message: Base | Other) -> None: ...


def test_invalid_options_are_refused() -> None:
    with pytest.raises(DefinitionError, match="tried at least once"):
        on(attempts=0)(quoted)
    with pytest.raises(DefinitionError, match="give exception classes"):
        on(raises=ValueError("x"))(quoted)  # type: ignore[call-overload] # on purpose
    with pytest.raises(DefinitionError, match="put @on right above its def"):
        on(staticmethod(quoted))


def test_half_a_pair_of_snapshot_and_restore_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"only one of snapshot and restore"):

        class Half(Agent):
            def snapshot(self) -> int:
                return 1


def test_a_supervision_that_is_none_is_refused() -> None:
    with pytest.raises(DefinitionError, match="set it to a Supervision"):

        class Lax(Agent):
            supervision = "lax"  # type: ignore[assignment] # on purpose


def test_an_abstract_agent_cannot_be_spawned() -> None:
    class Abstract(Agent, abc.ABC):
        @abc.abstractmethod
        def missing(self) -> None: ...

    with Runtime() as runtime, pytest.raises(DefinitionError, match=r"Abstract: it has abstract methods"):
        runtime.spawn(Abstract)


def test_an_agent_that_was_not_spawned_can_be_tested_but_has_no_context() -> None:
    agent = Catcher()
    assert agent.base(Base()) == "base"
    with pytest.raises(NotInAgent, match="the context of Catcher exists only while the agent runs"):
        _ = agent.context


def test_a_decorated_coroutine_is_still_awaited() -> None:
    def passing(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(self: Any, message: Other) -> Any:
            return method(self, message)

        return call

    class Decorated(Agent):
        @on
        @passing
        async def other(self, message: Other) -> str:
            return "awaited"

    with Runtime() as runtime:
        assert runtime.spawn(Decorated).ask(Other()).result(10) == "awaited"


def test_a_handler_cannot_yield_its_answer_to_a_message_that_is_no_stream() -> None:
    with pytest.raises(DefinitionError, match=r"numbers.*a handler cannot yield"):

        class Lazy(Agent):
            @on
            def numbers(self, message: Base) -> Any:
                yield 1

    with pytest.raises(DefinitionError, match=r"numbers.*a handler cannot yield"):

        class AsyncLazy(Agent):
            @on(interleave=True)
            async def numbers(self, message: Base) -> Any:
                yield 1

    with pytest.raises(DefinitionError, match=r"numbers.*a handler cannot yield its answer to Base, which is no Stream"):

        class HalfLazy(Agent):
            @on
            async def numbers(self, message: Numbers | Base) -> Any:
                yield 1


def test_a_handler_of_a_stream_gets_no_second_attempt() -> None:
    with pytest.raises(DefinitionError, match=r"numbers.*attempts=2; leave it out: items that were sent cannot be taken back"):

        class Again(Agent):
            @on(attempts=2)
            async def numbers(self, message: Numbers) -> Any:
                yield 1


def test_a_handler_of_a_stream_may_be_inherited_and_decorated_and_serve_subclasses() -> None:
    def twice(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(self: Any, message: Any) -> Any:
            return itertools.chain(function(self, message), function(self, message))

        return call

    class Yielding(Agent):
        @on
        @twice
        def numbers(self, message: Numbers) -> Iterator[int]:
            yield 1

        @on
        async def later(self, message: MoreNumbers) -> Iterator[int]:
            return iter([2, 3])

    class Heir(Yielding):
        async def later(self, message: MoreNumbers) -> Any:
            yield 4

    with Runtime() as runtime:
        agent, heir = runtime.spawn(Yielding), runtime.spawn(Heir)
        assert list(agent.stream(Numbers())) == [1, 1]
        assert list(agent.stream(MoreNumbers())) == list(agent.stream(EvenMoreNumbers())) == [2, 3]
        assert list(heir.stream(MoreNumbers())) == [4]


def test_two_handlers_of_one_name_are_not_mistaken_for_two() -> None:
    with pytest.raises(DefinitionError, match=r"handle.*would be lost; rename one"):

        class Twice(Agent):
            @on
            def handle(self, message: Base) -> None: ...

            @on  # type: ignore[no-redef] # on purpose
            def handle(self, message: Other) -> None: ...  # noqa: F811 - the same


def test_a_handler_is_a_method() -> None:
    with pytest.raises(DefinitionError, match=r"handle.*leave out @staticmethod"):

        class Static(Agent):
            @staticmethod
            @on
            def handle(agent: Any, message: Base) -> None: ...


def test_on_is_given_no_message_class() -> None:
    with pytest.raises(DefinitionError, match=r"annotate the method's parameter"):
        on(Base)


def _bare(function: Callable[..., Any]) -> Callable[..., Any]:
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


def test_a_decorator_that_hides_a_handler_is_named_where_the_class_is_defined() -> None:
    with pytest.raises(DefinitionError, match=r"Lost\.other: what a decorator above @on made of it .* use functools\.wraps"):

        class Lost(Agent):
            @_bare
            @on
            def other(self, message: Other) -> str:
                return "lost"

    def other(self: Any, message: Other) -> str:
        return "lost"

    with pytest.raises(DefinitionError, match="what a decorator above @on made of it"):
        type("Dynamic", (Agent,), {"other": _bare(on(other))})
    with pytest.raises(DefinitionError, match=r"use functools\.wraps in a decorator below @on"):

        class Hidden(Agent):
            @on
            @_bare
            def other(self, message: Other) -> str:
                return "hidden"


class _Wrapper:
    """A decorator that is an object, as of many libraries."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function

    def __call__(self, *args: Any) -> Any:
        return f"wrapped {self.function(*args)}"


def test_decorators_above_on_may_be_any_that_keep_the_method() -> None:
    class Decorated(Agent):
        @_Wrapper
        @on
        def other(self, message: Other) -> str:
            return "other"

        @functools.lru_cache  # noqa: B019 - that is the test
        @on
        def another(self, message: Another) -> str:
            return "another"

    with Runtime() as runtime:
        agent = runtime.spawn(Decorated)
        assert agent.ask(Other()).result(10) == "wrapped other"
        assert agent.ask(Another()).result(10) == "another"


def test_a_redefined_message_class_is_distinguished_from_a_missing_handler() -> None:
    def define() -> type[Request[int]]:
        class Ping(Request[int]):
            pass

        return Ping

    first, second = define(), define()

    class Ping(Request[int]):
        pass

    class Echo(Agent):
        @on
        def ping(self, message: first) -> int:  # type: ignore[valid-type] # made by a function
            return 1

    with Runtime() as runtime:
        echo = runtime.spawn(Echo)
        assert echo.ask(first()).result(10) == 1
        with pytest.raises(Unhandled, match=r"another class named .*Ping, which was defined a second time"):
            echo.ask(second()).result(10)
        assert [letter.detail for letter in runtime.dead_letters] == ["only for an earlier or later definition of its class"]
        with pytest.raises(Unhandled, match="it has no handler for that type, only for"):
            echo.ask(Ping()).result(10)
