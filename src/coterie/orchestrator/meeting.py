"""A run that is one meeting: its members are spawned, the meeting is called, and its utterances are the steps."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from coterie.meetings import MeetingEnded, Meetings
from coterie.messaging import Request
from coterie.orchestrator.kind import MeetingRun, RunContext
from coterie.runtime import Agent, AgentRef, Runtime, on


class HeldMeeting(msgspec.Struct, frozen=True):
    """A meeting that has ended."""

    utterances: tuple[dict[str, Any], ...]
    outcome: Any
    digest: str


class _Hold(Request[HeldMeeting]):
    members: tuple[AgentRef, ...]


class _Caller(Agent):
    """Calls the meeting, says nothing in it, and waits for its end."""

    def __init__(self, run: MeetingRun) -> None:
        self._run = run
        self._ended = asyncio.Event()

    @on(interleave=True)
    async def hold(self, message: _Hold) -> HeldMeeting:
        meeting = await self.context.use(Meetings).call(
            self._run.topic, list(message.members), floor=self._run.floor, ending=self._run.ending, record="meeting"
        )
        await self._ended.wait()
        utterances = tuple({"by": each.by, "content": each.content} for each in meeting.transcript)
        return HeldMeeting(utterances, meeting.state.outcome, meeting.digest())

    @on
    def ended(self, message: MeetingEnded) -> None:  # noqa: ARG002 - there is one meeting
        self._ended.set()


def hold_meeting(run: MeetingRun, context: RunContext) -> tuple[Any, str]:
    """Hold the meeting, record its utterances as steps, and return its outcome and its digest."""
    with Runtime("meeting", dispatcher=run.dispatcher, ask_timeout=None) as runtime:
        runtime.provide(Meetings(folder=context.meetings))
        members = tuple(runtime.spawn(kind, *arguments, name=name) for name, (kind, arguments) in run.members.items())
        held = runtime.spawn(_Caller, run, name="caller").ask(_Hold(members)).result()
    for utterance in held.utterances:
        context.step(utterance)
    return held.outcome, held.digest
