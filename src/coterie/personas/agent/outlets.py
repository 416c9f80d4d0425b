"""Where what a persona says goes: to the others' mailboxes, into a round, onto the floor of a meeting, or nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from coterie.errors import DeliveryError, PersonaUnknown, describe
from coterie.personas.agent.messages import Listen, Meet
from coterie.personas.mind.actions import Result
from coterie.personas.mind.state import Action, Outcome
from coterie.personas.social.society import Society
from coterie.rounds import Turn


class Outlet(Protocol):
    """Carries what a persona directs at others. Used on the persona's own thread, for one episode."""

    def accessible(self) -> Mapping[str, str]:
        """Return whom it can talk to, and what they are to it."""
        ...

    async def talk(self, action: Action) -> Result:
        """Say something."""
        ...

    async def reach_out(self, action: Action) -> Result:
        """Get within reach of somebody."""
        ...


class Mailboxes:
    """Tells the others, as messages. Who is not within reach hears nothing."""

    def __init__(self, who: str, society: Society) -> None:
        self._who = who
        self._society = society

    def accessible(self) -> Mapping[str, str]:
        """Return whom the relations name."""
        return self._society.relations.accessible(self._who)

    async def talk(self, action: Action) -> Result:
        """Tell one, or all within reach."""
        accessible = self.accessible()
        names = list(accessible)
        if action.target:
            try:
                names = [self._society.find(action.target).name]
            except PersonaUnknown as error:
                return Outcome.REFUSED, str(error)
            if names[0] not in accessible:
                return Outcome.REFUSED, f"{action.target} is not within reach; reach out first"
        lost = []
        for name in names:
            try:
                await self._society.find(name).offer(Listen(action.content, self._who))
            except (DeliveryError, PersonaUnknown) as error:
                lost.append(f"{name} did not hear it: {describe(error)}")
        if lost:
            return (Outcome.REFUSED if len(lost) == len(names) else Outcome.DONE), "; ".join(lost)
        return None

    async def reach_out(self, action: Action) -> Result:
        """Relate the two, and tell the other."""
        name = action.target or action.content
        try:
            other = self._society.find(name)
        except PersonaUnknown as error:
            return Outcome.REFUSED, str(error)
        if other.name == self._who:
            return Outcome.REFUSED, "one reaches out to somebody else"
        if self._society.relations.between(self._who, other.name) is None:
            self._society.relations.relate(self._who, other.name, action.content if action.target else "")
        try:
            await other.offer(Meet(f"{self._who} is within reach now", self._who))
        except DeliveryError as error:
            return Outcome.REFUSED, describe(error)
        return f"{other.name} is within reach now"


class Silence:
    """Tells nobody: whoever asked passes on what was said."""

    def __init__(self, accessible: Mapping[str, str]) -> None:
        self._accessible = accessible

    def accessible(self) -> Mapping[str, str]:
        """Return whom it was given."""
        return self._accessible

    async def talk(self, action: Action) -> Result:  # noqa: ARG002 - as every outlet
        """Do nothing."""
        return None

    async def reach_out(self, action: Action) -> Result:
        """Say who is within reach already; nobody else ever is."""
        name = action.target or action.content
        return f"{name} is within reach now" if name in self._accessible else (Outcome.REFUSED, f"{name} is not here")


class InTurn:
    """Makes intents of it: the world decides, and who hears what does not depend on timing."""

    def __init__(self, turn: Turn, accessible: Mapping[str, str]) -> None:
        self._turn = turn
        self._accessible = accessible

    def accessible(self) -> Mapping[str, str]:
        """Return whom the world names."""
        return self._accessible

    async def talk(self, action: Action) -> Result:
        """Intend to say something."""
        if action.target and action.target not in self._accessible:
            return Outcome.REFUSED, f"{action.target} is not within reach; reach out first"
        self._turn.intend("talk", **_plain(to=action.target, content=action.content))
        return None

    async def reach_out(self, action: Action) -> Result:
        """Intend to get within reach."""
        name = action.target or action.content
        self._turn.intend("reach_out", **_plain(to=name, content=action.content if action.target else ""))
        return None


def _plain(**arguments: Any) -> dict[str, Any]:
    return arguments
