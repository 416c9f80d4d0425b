"""The watches by agents of other nodes: they last while their nodes are heard, whatever comes in between."""

from collections.abc import Callable
from typing import Any

import pytest

from coterie import AgentDown
from coterie.kernel import Address
from coterie.runtime.nodes import remote_watches
from coterie.runtime.nodes.remote_watches import RemoteWatches
from coterie.runtime.nodes.wire import WatchFrame

THERE = "there-1"
WATCHED, WATCHER = Address("here", "agent", 1), Address(THERE, "watcher", 7)


class Watched:
    """An agent of this node; `meanwhile` is called once, in the middle of the next call."""

    def __init__(self) -> None:
        self.watchers: set[Any] = set()
        self.meanwhile: Callable[[], None] | None = None

    def watch(self, watcher: Any) -> None:
        self.interrupt()
        self.watchers.add(watcher)

    def unwatch(self, watcher: Any) -> None:
        self.interrupt()
        self.watchers.discard(watcher)

    def interrupt(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()


class Here:
    """The agents of this node, and the nodes that are lost."""

    def __init__(self) -> None:
        self.agents = {WATCHED: Watched()}
        self.told: list[tuple[str, Any]] = []
        self.lost: set[str] = set()
        self.watches = RemoteWatches(self, self.lost.__contains__)

    @property
    def agent(self) -> Watched:
        return self.agents[WATCHED]

    def recipient(self, address: Address) -> Any:
        return self.agents.get(address)

    def reference(self, address: Address) -> Any:
        return Reference(self, address)

    def watch(self, *, on: bool = True) -> None:
        self.watches.take(THERE, WatchFrame(WATCHED, WATCHER, on))

    def lose(self) -> None:
        self.lost.add(THERE)
        self.watches.look(THERE)

    def find(self) -> None:
        self.lost.discard(THERE)
        self.watches.look(THERE)

    def forget(self) -> None:
        self.lost.discard(THERE)
        self.watches.look(THERE, forget=True)


class Reference:
    def __init__(self, here: Here, address: Address) -> None:
        self.here = here
        self.address = address

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and other.address == self.address

    def __hash__(self) -> int:
        return hash(self.address)

    def tell(self, message: AgentDown) -> None:
        self.here.told.append((message.reason, self.address))


@pytest.fixture
def here() -> Here:
    return Here()


def test_a_watch_ends_with_its_node_and_begins_again_if_that_is_heard_again(here: Here) -> None:
    here.watch()
    assert len(here.agent.watchers) == 1
    here.lose()
    assert not here.agent.watchers
    here.find()
    assert len(here.agent.watchers) == 1
    here.watch(on=False)
    assert not here.agent.watchers
    assert not here.watches._peers


def test_a_watch_whose_agent_has_ended_while_its_node_was_lost_is_told_then(here: Here) -> None:
    here.watch()
    here.lose()
    del here.agents[WATCHED]
    here.find()
    assert here.told == [("stopped", WATCHER)]
    assert not here.watches._peers


def test_a_watch_that_was_ended_after_the_loss_does_not_begin_again(here: Here) -> None:
    here.watch()
    here.lose()
    here.watch(on=False)
    here.find()
    assert not here.agent.watchers
    assert not here.watches._peers


def test_a_node_that_is_forgotten_leaves_nothing(here: Here) -> None:
    here.watch()
    here.lose()
    here.forget()
    here.find()
    assert not here.agent.watchers
    assert not here.watches._peers


@pytest.mark.parametrize(
    ("meanwhile", "watches"),
    [
        (["lose"], 0),
        (["lose", "find"], 1),
        (["lose", "forget"], 0),
        (["watch", "lose"], 0),
        (["unwatch"], 0),
        (["unwatch", "watch"], 1),
        (["lose", "unwatch", "find"], 0),
    ],
)
@pytest.mark.parametrize("begun", ["watch", "unwatch", "lose", "find"])
def test_what_comes_in_the_middle_of_a_change_comes_after_it(
    here: Here, begun: str, meanwhile: list[str], watches: int
) -> None:
    steps = {
        "watch": here.watch,
        "unwatch": lambda: here.watch(on=False),
        "lose": here.lose,
        "find": here.find,
        "forget": here.forget,
    }
    if begun != "watch":
        here.watch()
    if begun == "find":
        here.lose()

    def interrupt() -> None:
        if begun in ("unwatch", "lose"):
            # As if it had begun only now.
            steps["find"]()
            steps["watch"]()
        for step in meanwhile:
            steps[step]()

    here.agent.meanwhile = interrupt
    steps[begun]()
    assert len(here.agent.watchers) == watches
    assert bool(here.watches._peers) == (watches > 0 or (meanwhile[-1] == "lose"))


def test_a_node_that_watches_agents_which_end_keeps_no_record_of_them(here: Here) -> None:
    for number in range(10, 1_010):
        address = Address("here", "agent", number)
        here.agents[address] = Watched()
        here.watches.take(THERE, WatchFrame(address, WATCHER, on=True))
        del here.agents[address]
    assert len(here.watches._peers[THERE].present) <= remote_watches._SWEEP


def test_a_failing_agent_stops_no_later_watch(here: Here) -> None:
    def fail() -> None:
        raise OSError("no")

    here.agent.meanwhile = fail
    with pytest.raises(OSError, match="no"):
        here.watch()
    here.watch()
    assert len(here.agent.watchers) == 1
