"""What no future can carry still ends the await."""

import pytest

from coterie import Agent, Request, Runtime, on
from coterie.errors import HandlerFailed


class Take(Request[int]):
    """Call something that raises StopIteration."""


class Blocking(Agent):
    @on(raises=RuntimeError)
    async def take(self, _message: Take) -> int:
        return await self.context.run_blocking(lambda: next(iter(())))


def test_a_blocking_call_that_raises_stop_iteration_ends() -> None:
    with Runtime() as runtime, pytest.raises(HandlerFailed, match="raised StopIteration"):
        runtime.spawn(Blocking).ask(Take(), timeout=5).result(5)
