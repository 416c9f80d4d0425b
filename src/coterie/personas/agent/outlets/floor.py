"""Personas in meetings: they come when they are invited, hear what is said, and speak when they have the floor."""

from __future__ import annotations

from collections.abc import Mapping

from coterie.errors import MeetingError, describe
from coterie.meetings import Meeting
from coterie.personas.mind.actions import Result
from coterie.personas.mind.state import ActionOutcome, PersonaAction


class MeetingChannel:
    """Gathers what is said in a turn, and says it as one utterance, for a turn has one. For one episode."""

    def __init__(self, meeting: Meeting, who: str) -> None:
        self._meeting = meeting
        self._who = who
        self._said: list[PersonaAction] = []

    def accessible(self) -> Mapping[str, str]:
        """Return who else is a member."""
        return {name: "is in the meeting with you" for name in sorted(self._meeting.members) if name != self._who}

    async def talk(self, action: PersonaAction) -> Result:
        """Gather what is to be said."""
        if action.target and action.target not in self.accessible():
            return ActionOutcome.REFUSED, f"{action.target} is not in the meeting"
        self._said.append(action)
        return None

    async def reach_out(self, action: PersonaAction) -> Result:
        """Say whether somebody is here; nobody is brought."""
        name = action.target or action.content
        return (
            f"{name} is in the meeting"
            if name in self.accessible()
            else (ActionOutcome.REFUSED, f"{name} is not in the meeting")
        )

    async def speak(self) -> str:
        """Say what was gathered, or pass. Return why the meeting did not take it; an empty text if it did."""
        try:
            if not self._said:
                await self._meeting.pass_turn()
                return ""
            targets = {action.target for action in self._said}
            only = targets.pop() if len(targets) == 1 else ""
            await self._meeting.say("\n".join(action.content for action in self._said), to=only or ())
        except MeetingError as error:
            # The turn was over, or the meeting: that is in the minutes, and no fault of whoever spoke.
            return describe(error)
        return ""
