"""The fishers' meeting: each month, before they decide, they bargain about a quota.

One after the other, each offers a quota. Later offers move towards the last offers of the others. If all offers are equal,
the fishers agree; otherwise, after the last turn, the lower median of the offers counts.
The result is proposed to the judge like any other quota. It depends on the seed alone.
"""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from coterie.meetings import (
    Accept,
    Decline,
    Invitation,
    MaxTurns,
    Meeting,
    MeetingEnded,
    Meetings,
    RoundRobin,
    TextSaid,
    YourTurn,
)
from coterie.messaging import Message, Request
from coterie.runtime import Agent, AgentRef, Dispatcher, Runtime, on

_AGREED = "agreed"


class Bargaining(BaseModel):
    """The settings of the bargaining."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    rounds: int = Field(default=4, ge=1, le=1_000)
    """The number of turns of each fisher."""
    yields: float = Field(default=0.5, ge=0, le=1)
    """The concession of a fisher towards the mean of the others' last offers, from 0 to 1."""


class Agreement(msgspec.Struct, frozen=True):
    """The result of a meeting."""

    quota: int
    """The quota for each fisher."""
    agreed: bool
    """Whether all offers were equal."""
    spokesman: str
    """The fisher that proposes it to the judge."""
    digest: str = ""
    """Of the minutes."""


class Prepare(Message):
    """Tells a fisher's delegate the amount that the fisher would take alone."""

    wish: int


class Bargain(Request[Agreement]):
    """Hold the meeting of a month."""

    month: int
    wishes: dict[str, int]


class Delegate(Agent):
    """Speaks for one fisher."""

    def __init__(self, yields: float) -> None:
        self._yields = yields
        self._wish = 0

    @on
    def prepare(self, message: Prepare) -> None:
        """Store the amount that the fisher wants."""
        self._wish = message.wish

    @on
    def invited(self, message: Invitation) -> Accept | Decline | bool:  # noqa: ARG002 - it always comes
        """Accept the invitation."""
        return Accept()

    @on
    async def speak(self, message: YourTurn) -> None:
        """Offer a quota."""
        meeting = self.context.use(Meetings).meeting(message.meeting)
        offers = offers_of(meeting)
        others = [offer for name, offer in offers.items() if name != meeting.me]
        offer = offers.get(meeting.me, self._wish)
        if others:
            offer = round(offer + self._yields * (statistics.fmean(others) - offer))
        everybody = len(offers.keys() | {meeting.me}) == len(meeting.members) - 1
        agreed = everybody and all(other == offer for other in others)
        await meeting.say({"quota": offer, "state": _AGREED} if agreed else {"quota": offer})


class Convener(Agent):
    """Calls the meeting of each month, and says nothing in it."""

    def __init__(self, bargaining: Bargaining, delegates: dict[str, AgentRef]) -> None:
        self._bargaining = bargaining
        self._delegates = delegates
        self._ended: dict[str, asyncio.Event] = {}

    @on(interleave=True)
    async def bargain(self, message: Bargain) -> Agreement:
        """Hold the meeting of a month, to its end."""
        names = sorted(message.wishes)
        delegates = [self._delegates[name] for name in names]
        for name, delegate in zip(names, delegates, strict=True):
            delegate.tell(Prepare(message.wishes[name]))
        meeting = await self.context.use(Meetings).call(
            f"the quota of month {message.month}",
            delegates,
            floor=RoundRobin(order=tuple(names)),
            ending=MaxTurns(self._bargaining.rounds * len(names)) | TextSaid(_AGREED),
            parameters={"month": message.month},
            record=f"month-{message.month:04d}{'' if len(names) == len(self._delegates) else '-' + names[0]}",
        )
        await self._ended.setdefault(meeting.id, asyncio.Event()).wait()
        offers = offers_of(meeting)
        quota = statistics.median_low(offers.values())
        spokesman = next(name for name in names if offers[name] == quota)
        return Agreement(quota, len(set(offers.values())) == 1, spokesman, meeting.digest())

    @on
    def ended(self, message: MeetingEnded) -> None:
        """Wake the thread that waits for the meeting."""
        self._ended.setdefault(message.meeting, asyncio.Event()).set()


class Council:
    """A runtime with a delegate of each fisher, for their meetings. Use it in a ``with`` block. Safe from any thread."""

    def __init__(
        self, bargaining: Bargaining, names: list[str], dispatcher: Dispatcher | None = None, minutes: Path | None = None
    ) -> None:
        self._runtime = Runtime("council", dispatcher=dispatcher, ask_timeout=None)
        self._runtime.provide(Meetings(folder=minutes))
        delegates = {name: self._runtime.spawn(Delegate, bargaining.yields, name=name) for name in names}
        self._convener = self._runtime.spawn(Convener, bargaining, delegates)

    async def bargain(self, month: int, wishes: dict[str, int]) -> Agreement:
        """Hold the meeting of a month for the fishers in `wishes`, and return its agreement. Await it on any event loop."""
        return await self._convener.ask(Bargain(month, wishes))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self._runtime.stop(drain=kind is None)

    def __deepcopy__(self, memo: object) -> Council:
        return self


def offers_of(meeting: Meeting) -> dict[str, Any]:
    """Return the last offer of each member."""
    return {utterance.by: utterance.content["quota"] for utterance in meeting.transcript}
