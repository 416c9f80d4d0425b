"""What is kept of agents that have ended, and of errors."""

import gc
import logging
import traceback
import weakref
from collections.abc import Iterator

import pytest

from coterie import Agent, Message, Request, Runtime, Supervision, on
from coterie.errors import AgentStopped, HandlerFailed, describe
from coterie.errors.general import RemoteError
from coterie.errors.records import without_frames
from coterie.kernel import Address
from coterie.messaging import DeadLetter, LocalTransport, Reason
from coterie.messaging.dead_letters import DeadLetters
from coterie.testing import eventually


class Page(bytearray):
    """A large local variable."""


class Note(Message):
    text: str = ""


class Ask(Request[int]):
    pass


kept: list[weakref.ref[Page]] = []


class FailsInHandler(Agent):
    def __init__(self, page: Page) -> None:
        kept.append(weakref.ref(page))
        self.page = page

    @on
    def note(self, message: Note) -> None:
        page = Page(1_000)
        kept.append(weakref.ref(page))
        raise ValueError("x")

    @on
    def refuse(self, message: Ask) -> int:
        raise ValueError("cannot read caf\udce9.txt")


class FailsInConstructor(Agent):
    def __init__(self, page: Page) -> None:
        kept.append(weakref.ref(page))
        local = Page(1_000)
        kept.append(weakref.ref(local))
        raise ValueError("x")


@pytest.fixture
def unlogged() -> Iterator[None]:
    """Keep pytest from holding what is logged, with its frames."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Log nothing: pytest-xdist cannot send a captured text with an unpaired surrogate."""
    caplog.set_level(logging.CRITICAL, logger="coterie")


@pytest.mark.parametrize("kind", [FailsInHandler, FailsInConstructor])
def test_an_agent_that_failed_for_good_keeps_neither_frames_nor_arguments_alive(kind: type[Agent]) -> None:
    kept.clear()
    with Runtime(supervision=Supervision(max_restarts=0)) as runtime:
        agents = [runtime.spawn(kind, Page(1_000)) for _ in range(5)]
        for agent in agents:
            agent.tell(Note())
        eventually(lambda: not runtime.agents())

        def dropped() -> bool:
            gc.collect()
            return all(each() is None for each in kept)

        eventually(dropped)
        assert all(health.last_error for health in runtime.health().values())
        with pytest.raises(AgentStopped, match="failed for good") as caught:
            agents[0].ask(Ask()).result()
        cause = caught.value.__cause__
        assert cause is not None
        assert "x" in str(cause)
        assert "raise ValueError" in "".join(traceback.format_exception(cause))


class Picky(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


def test_an_error_without_frames_keeps_its_type_where_it_can() -> None:
    with pytest.raises(KeyError) as caught:
        raise KeyError("name") from OSError(2, "no such file")
    copy = without_frames(caught.value)
    assert isinstance(copy, KeyError)
    assert copy.args == ("name",)
    assert copy.__traceback__ is None
    assert isinstance(copy.__cause__, OSError)
    assert copy.__cause__.errno == 2
    assert isinstance(without_frames(Picky(1, 2)), Picky | RemoteError)
    assert "1 and 2" in str(without_frames(Picky(1, 2)))
    assert isinstance(without_frames(ValueError(Page(10))), RemoteError)
    assert len(str(without_frames(ValueError("x" * 1_000_000)))) < 10_000
    assert len(describe(ValueError("x" * 1_000_000))) < 10_000


def test_the_traceback_of_a_reply_does_not_grow_with_each_reader() -> None:
    with Runtime(supervision=Supervision(max_restarts=9)) as runtime:
        reply = runtime.spawn(FailsInHandler, Page(1)).ask(Ask())
        lengths = set()
        for _ in range(5):
            with pytest.raises(HandlerFailed) as caught:
                reply.result()
            lengths.add(len(traceback.extract_tb(caught.value.__traceback__)))
        assert len(lengths) == 1


def test_dead_letters_are_bounded_by_the_bytes_of_their_messages() -> None:
    letters = DeadLetters(keep=1_000, most_bytes=100_000)
    address = Address("node", "name", 1)
    for number in range(100):
        letters.add(DeadLetter(Note(text=f"{number}" + "x" * 10_000), address, None, Reason.STOPPED, 0.0))
    assert 5 <= len(letters) <= 10
    assert letters.total == 100
    assert str(list(letters)[-1].message.text).startswith("99")  # type: ignore[attr-defined] # it is a note


def test_an_error_that_cannot_be_encoded_arrives_at_another_node_as_text() -> None:
    wire = LocalTransport()
    with Runtime("x", transport=wire) as here, Runtime("y", transport=wire) as there:
        agent = here.reference(str(there.spawn(FailsInHandler, Page(1)).address))
        with pytest.raises(HandlerFailed, match=r"ValueError: cannot read caf\\udce9\.txt"):
            agent.ask(Ask(), timeout=10.0).result()
