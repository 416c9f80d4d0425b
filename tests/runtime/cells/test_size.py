"""The objects that an agent at rest consists of: the garbage collector looks at each of them, again and again."""

from __future__ import annotations

import gc
from contextvars import Context

from coterie import Agent, Request, Runtime, on

_AGENTS = 500
_MOST = 15
"""Objects of an agent that the collector tracks, with the agent itself and its reference."""


class Question(Request[int]):
    pass


class Small(Agent):
    def __init__(self) -> None:
        self.asked = 0

    @on
    def answer(self, message: Question) -> int:
        self.asked += 1
        return self.asked


def test_an_agent_at_rest_consists_of_few_objects() -> None:
    # The context variables of the caller would come on top.
    # Less than one more: threads of the runtime, and imports, that begin meanwhile.
    assert Context().run(_objects_of_an_agent) < _MOST + 1


def _objects_of_an_agent() -> float:
    with Runtime() as runtime:
        runtime.spawn(Small).ask(Question()).result(10)
        gc.collect()
        before = len(gc.get_objects())
        agents = [runtime.spawn(Small) for _ in range(_AGENTS)]
        for agent in agents:
            assert agent.ask(Question(), timeout=None).result(10) == 1
        del agent
        gc.collect()
        return (len(gc.get_objects()) - before) / _AGENTS


def test_the_context_of_an_agent_is_among_its_attributes_alone() -> None:
    class Guarded(Small):
        """Refuses attributes."""

        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(name)

        def __init__(self) -> None:
            pass

        @on
        def answer(self, message: Question) -> int:
            return len(self.context.self_ref.name)

    with Runtime() as runtime:
        assert runtime.spawn(Guarded, name="guarded").ask(Question()).result(10) == 7
        assert Guarded._coterie_context is None
