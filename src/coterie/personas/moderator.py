"""A moderated conversation: participants take turns until all of them are silent."""

from __future__ import annotations

from coterie.errors import DeliveryError, HandlerFailed, describe
from coterie.messaging import Request
from coterie.personas.agent.messages import Dialogue, DialogueLine, Perceive, StartEpisode
from coterie.personas.agent.state import Episode
from coterie.personas.mind.state import TALK, ActionOutcome, Stimulus, StimulusKind
from coterie.runtime import Agent, AgentRef, on


class Converse(Request[Dialogue]):
    """Asks a moderator to run a conversation."""

    participants: tuple[AgentRef, ...]
    opening: str = ""
    """The first text to all, without a speaker; empty for no such text."""
    turns: int = 12
    """Turns at most, over all."""
    steps: int | None = None
    """Steps at most in a turn."""
    label: str = "conversation"
    """The name of the conversation in recordings."""


class Moderator(Agent):
    """Gives the floor in turn and delivers speech to its target or to all. Runs several conversations at once.

    A participant that has stopped, or whose mind fails, takes no further part; the dialogue records it.
    """

    @on(interleave=True)
    async def converse(self, message: Converse) -> Dialogue:
        """Run a conversation, and return its dialogue."""
        return await _Conversation(message).run()


class _Conversation:
    def __init__(self, message: Converse) -> None:
        self._message = message
        self._present = list(message.participants)
        self._lines: list[DialogueLine] = []
        # The lines that each participant perceives at its next turn, without its own.
        self._news: dict[str, list[Stimulus]] = {each.name: [] for each in self._present}

    async def run(self) -> Dialogue:
        if self._message.opening:
            self._pass_on(DialogueLine("", self._message.opening))
        turn = quiet = 0
        while turn < self._message.turns and self._present:
            participant = self._present[turn % len(self._present)]
            turn += 1
            lines = await self._turn(participant, turn)
            if lines is None:
                turn -= 1
                continue
            quiet = 0 if lines else quiet + 1
            for line in lines:
                self._pass_on(line)
            if quiet >= len(self._present):
                await self._tell_the_rest()
                return Dialogue(tuple(self._lines), "nobody had anything more to say")
        await self._tell_the_rest()
        return Dialogue(tuple(self._lines), "its turns were over" if self._present else "nobody was left")

    async def _turn(self, participant: AgentRef, turn: int) -> list[DialogueLine] | None:
        """Give the floor to one participant; return its speech, or None if it has left."""
        news = tuple(self._news[participant.name])
        self._news[participant.name] = []
        request = StartEpisode(self._message.steps, f"{self._message.label}/turn {turn}", silent=True, stimuli=news)
        try:
            episode: Episode = await participant.ask(request, timeout=None)
        except DeliveryError as error:
            place = self._present.index(participant)
            self._present.remove(participant)
            # The next participant takes this turn.
            if self._present and place < len(self._present):
                self._present = self._present[place:] + self._present[:place]
            cause = error.__cause__ if isinstance(error, HandlerFailed) and error.__cause__ is not None else error
            self._lines.append(DialogueLine(participant.name, "", "", len(self._lines) + 1, {"left": describe(cause)}))
            return None
        return [
            DialogueLine(participant.name, each.action.content, each.action.target)
            for each in episode.records
            if each.action.kind == TALK and each.outcome is ActionOutcome.DONE
        ]

    def _pass_on(self, line: DialogueLine) -> None:
        self._lines.append(DialogueLine(line.speaker, line.text, line.target, len(self._lines) + 1))
        for name, news in self._news.items():
            if name != line.speaker and line.target in ("", name):
                news.append(Stimulus(StimulusKind.CONVERSATION, line.text, line.speaker))

    async def _tell_the_rest(self) -> None:
        """Deliver the last lines to participants that had no later turn."""
        for participant in self._present:
            if news := self._news[participant.name]:
                try:
                    await participant.ask(Perceive(tuple(news)))
                except DeliveryError as error:
                    self._lines.append(DialogueLine(participant.name, "", "", len(self._lines) + 1, {"left": describe(error)}))
