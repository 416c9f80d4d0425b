"""End the agents of conversations in an orderly way, from any event loop or by blocking a thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import msgspec

from coterie.conversation.session.messages import DrainSession
from coterie.conversation.state import ConversationState
from coterie.errors import CoterieError
from coterie.runtime import AgentRef, Reply

_MARGIN = 1.0
"""Seconds of real time that an agent has beyond its limits to answer that all is recorded."""


class EndingConversation(msgspec.Struct, frozen=True):
    """A conversation that accepts no more requests, and its agent. A passivated conversation has no agent."""

    state: ConversationState
    agent: AgentRef | None


async def end_all(ending: Sequence[EndingConversation], grace: float) -> None:
    """Drain the agents, all at the same time, stop them, and end their readers."""
    try:
        drained = [asyncio.ensure_future(_outcome(each)) for each in _drained(ending, grace)]
        if drained:
            # Real time, because a manual clock may stand still.
            await asyncio.wait(drained, timeout=_limit(ending, grace))
    finally:
        stopped = _stopped(ending)
    for each in stopped:
        await each


def end_all_blocking(ending: Sequence[EndingConversation], grace: float) -> None:
    """Do the same as `end_all`, and block this thread."""
    try:
        left = _limit(ending, grace)
        for each in _drained(ending, grace):
            # The replies come at about the same time, so the limit holds for all together.
            with contextlib.suppress(CoterieError):
                each.result(left)
    finally:
        stopped = _stopped(ending)
    for reply in stopped:
        reply.result()


async def _outcome(reply: Reply[None]) -> None:
    with contextlib.suppress(CoterieError):  # an agent that has failed has nothing more to record
        await reply


def _drained(ending: Sequence[EndingConversation], grace: float) -> list[Reply[None]]:
    return [each.agent.ask(DrainSession(grace=grace), timeout=None) for each in ending if each.agent is not None]


def _stopped(ending: Sequence[EndingConversation]) -> list[Reply[None]]:
    for each in ending:
        each.state.event_stream.close()
    return [each.agent.stop(drain=False) for each in ending if each.agent is not None]


def _limit(ending: Sequence[EndingConversation], grace: float) -> float:
    return grace + max((each.state.host.settings.cancel_grace for each in ending), default=0.0) + _MARGIN
