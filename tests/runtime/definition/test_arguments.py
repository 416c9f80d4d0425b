"""What an agent gets of the arguments that it is spawned with."""

import asyncio
import queue
import random
import threading
from dataclasses import dataclass
from typing import Any
from unittest.mock import Mock

import pytest

from coterie import Agent, Request, Runtime, on
from coterie.errors import DefinitionError


class Same(Request[bool]):
    pass


class Holder(Agent):
    expected: Any = None

    def __init__(self, value: Any) -> None:
        self.value = value

    @on
    def same(self, message: Same) -> bool:
        return self.value is type(self).expected


@dataclass
class Settings:
    limit: object


class Client:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.cache: dict[str, str] = {}


LOOP_BOUND = {
    "Semaphore": lambda: asyncio.Semaphore(2),
    "Lock": asyncio.Lock,
    "Event": asyncio.Event,
    "Condition": asyncio.Condition,
    "Barrier": lambda: asyncio.Barrier(2),
    "PriorityQueue": asyncio.PriorityQueue,
    "BoundedSemaphore": lambda: {"nested": [(asyncio.BoundedSemaphore(1),)]},
    "Queue": lambda: Settings(asyncio.Queue()),
    r"Lock ": Client,
}


@pytest.mark.parametrize("name", LOOP_BOUND)
def test_arguments_that_serve_one_event_loop_are_refused_by_name(name: str) -> None:
    with Runtime() as runtime:
        with pytest.raises(DefinitionError, match=rf"Holder, argument 1: an asyncio\.{name.strip()} serves one event loop"):
            runtime.spawn(Holder, LOOP_BOUND[name]())
        with pytest.raises(DefinitionError, match=r"argument 'value'.*to share, give"):
            runtime.spawn(Holder, value=LOOP_BOUND[name]())
        assert runtime.agents() == []


@pytest.mark.parametrize(
    ("value", "same"),
    [
        (threading.Semaphore(2), True),
        (threading.Event(), True),
        (queue.SimpleQueue(), True),
        (Mock(), True),
        ([1, 2], False),
        (random.Random(7), False),
    ],
)
def test_data_is_copied_and_shared_objects_are_not(value: Any, same: bool) -> None:
    Holder.expected = value
    with Runtime() as runtime:
        assert runtime.spawn(Holder, value).ask(Same()).result(10) is same


def test_a_mock_within_data_is_the_mock_of_the_test() -> None:
    mock = Mock()

    class Calling(Holder):
        def __init__(self, value: Any) -> None:
            super().__init__(value)
            value["log"][0](len(value["other"]))

    with Runtime() as runtime:
        runtime.spawn(Calling, {"log": [mock], "other": [1, 2, 3]}).ask(Same()).result(10)
    mock.assert_called_once_with(3)
