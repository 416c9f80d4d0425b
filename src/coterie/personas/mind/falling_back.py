"""A mind that has another to fall back on."""

from __future__ import annotations

import asyncio
from typing import Any

from coterie.errors import describe
from coterie.kernel import Checkpointable, check_number
from coterie.personas.mind.contract import Decision, Mind, Situation, as_decision


class FallbackMind:
    """Has one mind decide, and another where the first raises, or takes more than `timeout` seconds.

    The decision then says why, and the agent records it. Errors named in `raises` are passed on.
    """

    def __init__(
        self, first: Mind, fallback: Mind, *, timeout: float | None = None, raises: tuple[type[Exception], ...] = ()
    ) -> None:
        check_number("FallbackMind.timeout", timeout, above=0, optional=True)
        self.first = first
        self.fallback = fallback
        self._timeout = timeout
        self._raises = raises

    async def decide(self, situation: Situation) -> Decision:
        """Return what the first decides, or else the other. Raises what the other raises."""
        try:
            async with asyncio.timeout(self._timeout) as limit:
                return as_decision(await self.first.decide(situation))
        except self._raises:
            raise
        except Exception as error:  # noqa: BLE001 - why it was is part of the decision
            late = isinstance(error, TimeoutError) and limit.expired()
            reason = f"it took more than {self._timeout:g} s" if late and self._timeout is not None else describe(error)
        decision = as_decision(await self.fallback.decide(situation))
        return Decision(decision.actions, decision.mental_state, reason, decision.attempts)

    def snapshot(self) -> Any:
        """Return the states of both, where they have one."""
        return [each.snapshot() if isinstance(each, Checkpointable) else None for each in (self.first, self.fallback)]

    def restore(self, state: Any) -> None:
        """Give both their states back."""
        for each, kept in zip((self.first, self.fallback), state, strict=True):
            if isinstance(each, Checkpointable) and kept is not None:
                each.restore(kept)
