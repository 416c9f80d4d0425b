"""Output channels of a persona: mailboxes, a simulation turn, a meeting, or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coterie.errors import DeliveryError, MeetingError, describe
from coterie.errors.personas import PersonaUnknown
from coterie.meetings import Meeting
from coterie.personas.agent.directory import PersonaDirectory
from coterie.personas.agent.messages import Introduce, Listen
from coterie.personas.mind.state import ActionOutcome, ActionResult, PersonaAction
from coterie.rounds import Turn


class MailboxChannel:
    """Delivers speech to the mailboxes of accessible personas."""

    def __init__(self, who: str, directory: PersonaDirectory) -> None:
        self._who = who
        self._directory = directory

    def accessible(self) -> Mapping[str, str]:
        """Return the names that the relations allow."""
        return self._directory.relations.accessible(self._who)

    async def talk(self, action: PersonaAction) -> ActionResult:
        """Send speech to one persona, or to all accessible ones."""
        accessible = self.accessible()
        names = list(accessible)
        if action.target:
            try:
                names = [self._directory.find(action.target).name]
            except PersonaUnknown as error:
                return ActionOutcome.REFUSED, str(error)
            if names[0] not in accessible:
                return ActionOutcome.REFUSED, f"{action.target} is not within reach; reach out first"
        lost = []
        for name in names:
            try:
                await self._directory.find(name).offer(Listen(action.content, self._who))
            except (DeliveryError, PersonaUnknown) as error:
                lost.append(f"{name} did not hear it: {describe(error)}")
        if lost:
            return (ActionOutcome.REFUSED if len(lost) == len(names) else ActionOutcome.DONE), "; ".join(lost)
        return None

    async def reach_out(self, action: PersonaAction) -> ActionResult:
        """Relate the two personas, and notify the other."""
        name = action.target or action.content
        try:
            other = self._directory.find(name)
        except PersonaUnknown as error:
            return ActionOutcome.REFUSED, str(error)
        if other.name == self._who:
            return ActionOutcome.REFUSED, "one reaches out to somebody else"
        new = self._directory.relations.between(self._who, other.name) is None
        if new:
            self._directory.relations.relate(self._who, other.name, action.content if action.target else "")
        try:
            await other.offer(Introduce(f"{self._who} is within reach now", self._who))
        except DeliveryError as error:
            if new:
                self._directory.relations.separate(self._who, other.name)
            return ActionOutcome.REFUSED, describe(error)
        return f"{other.name} is within reach now"


class SilentChannel:
    """Delivers nothing: the caller forwards the speech."""

    def __init__(self, accessible: Mapping[str, str]) -> None:
        self._accessible = accessible

    def accessible(self) -> Mapping[str, str]:
        """Return the given names."""
        return self._accessible

    async def talk(self, action: PersonaAction) -> ActionResult:  # noqa: ARG002 - as OutputChannel
        """Do nothing."""
        return None

    async def reach_out(self, action: PersonaAction) -> ActionResult:
        """Return whether a name is accessible; relations do not change."""
        name = action.target or action.content
        return f"{name} is within reach now" if name in self._accessible else (ActionOutcome.REFUSED, f"{name} is not here")


class TurnChannel:
    """Submits speech as intents: the world decides, so delivery does not depend on timing."""

    def __init__(self, turn: Turn, accessible: Mapping[str, str]) -> None:
        self._turn = turn
        self._accessible = accessible

    def accessible(self) -> Mapping[str, str]:
        """Return the names that the world allows."""
        return self._accessible

    async def talk(self, action: PersonaAction) -> ActionResult:
        """Submit the intent to speak."""
        if action.target and action.target not in self._accessible:
            return ActionOutcome.REFUSED, f"{action.target} is not within reach; reach out first"
        self._turn.intend("talk", **_plain(to=action.target, content=action.content))
        return None

    async def reach_out(self, action: PersonaAction) -> ActionResult:
        """Submit the intent to reach a persona."""
        name = action.target or action.content
        self._turn.intend("reach_out", **_plain(to=name, content=action.content if action.target else ""))
        return None


def _plain(**arguments: Any) -> dict[str, Any]:
    return arguments


class MeetingChannel:
    """Collects the speech of a turn and says it as one utterance, the only one a turn allows. For one episode."""

    def __init__(self, meeting: Meeting, who: str) -> None:
        self._meeting = meeting
        self._who = who
        self._said: list[PersonaAction] = []

    def accessible(self) -> Mapping[str, str]:
        """Return the other members."""
        return {name: "is in the meeting with you" for name in sorted(self._meeting.members) if name != self._who}

    async def talk(self, action: PersonaAction) -> ActionResult:
        """Add to the utterance of this turn."""
        if action.target and action.target not in self.accessible():
            return ActionOutcome.REFUSED, f"{action.target} is not in the meeting"
        self._said.append(action)
        return None

    async def reach_out(self, action: PersonaAction) -> ActionResult:
        """Return whether a name is a member; members are not invited."""
        name = action.target or action.content
        return (
            f"{name} is in the meeting"
            if name in self.accessible()
            else (ActionOutcome.REFUSED, f"{name} is not in the meeting")
        )

    async def speak(self) -> str:
        """Say the collected utterance, or pass. Return the reason of a refusal, or an empty text."""
        try:
            if not self._said:
                await self._meeting.pass_turn()
                return ""
            targets = {action.target for action in self._said}
            only = targets.pop() if len(targets) == 1 else ""
            await self._meeting.say("\n".join(action.content for action in self._said), to=only or ())
        except MeetingError as error:
            # The turn or the meeting was over, which is not a fault of the speaker. The minutes record it.
            return describe(error)
        return ""
