"""References to personas, for use from other threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from coterie.errors import InvalidSetting
from coterie.kernel import check_instance
from coterie.memory import AgentMemory, TieredMemory
from coterie.personas.agent import messages
from coterie.personas.agent.directory import PersonaDirectory
from coterie.personas.agent.state import Episode, PersonaCounts, PersonaState
from coterie.personas.mind.state import ActionRecord, MentalState, Stimulus
from coterie.personas.profile.persona import Persona
from coterie.runtime import AgentRef, Reply

_TIMEOUT = 300.0


class PersonaRef:
    """A reference to a persona agent. Safe from any thread and any event loop.

    Methods that send a message return a `Reply`: ``await`` it, or block in ``.result()``. It ends with a `DeliveryError` after
    `timeout` seconds, or if the agent has stopped. Messages are handled in the order of their sending. The properties return at
    once, even while the persona is busy: they read its latest whole state.
    """

    __slots__ = ("_directory", "_memory", "agent", "persona", "timeout")

    def __init__(
        self,
        agent: AgentRef,
        persona: Persona,
        directory: PersonaDirectory,
        memory: TieredMemory | None = None,
        timeout: float | None = _TIMEOUT,
    ) -> None:
        self.agent = agent
        """The reference of the agent, for example for a `Simulation`."""
        self.persona = persona
        """The persona."""
        self.timeout = timeout
        self._directory = directory
        self._memory = memory

    @property
    def name(self) -> str:
        """The name of the agent."""
        return self.agent.name

    @property
    def state(self) -> PersonaState:
        """The latest published state."""
        return self._directory.state(self.name)

    @property
    def mental_state(self) -> MentalState:
        """The latest published mental state."""
        return self.state.mental_state

    @property
    def counts(self) -> PersonaCounts:
        """The latest published counts."""
        return self.state.counts

    @property
    def actions(self) -> tuple[ActionRecord, ...]:
        """The latest published actions, oldest first."""
        return self.state.actions

    @property
    def accessible(self) -> dict[str, str]:
        """The names of the accessible agents, each with the relation to this persona."""
        return self._directory.relations.accessible(self.name)

    @property
    def memory(self) -> AgentMemory | None:
        """A handle on its memories, safe from any thread; None if the runtime has no memory."""
        return AgentMemory(self._memory, self.name, consolidate_at=None) if self._memory is not None else None

    def listen(self, content: str, speaker: PersonaRef | str = "") -> Reply[None]:
        """Send speech to the persona; the reply comes when the persona has perceived it."""
        return self._ask(messages.Listen(content, name_of(speaker)))

    def see(self, content: str) -> Reply[None]:
        """Show the persona a sight; the reply comes when the persona has perceived it."""
        return self._ask(messages.See(content))

    def think(self, content: str) -> Reply[None]:
        """Give the persona a thought; the reply comes when the persona has perceived it."""
        return self._ask(messages.Think(content))

    def introduce(self, content: str, source: PersonaRef | str = "") -> Reply[None]:
        """Inform the persona that another one is accessible, or acts; the reply comes when the persona has perceived it."""
        return self._ask(messages.Introduce(content, name_of(source)))

    def move_to(self, place: str) -> Reply[None]:
        """Change the location of the persona; the reply comes when the persona has perceived it."""
        return self._ask(messages.ChangeLocation(place))

    def set_goal(self, goal: str) -> Reply[None]:
        """Add a goal, as the most urgent one; the reply comes when the persona has perceived it."""
        return self._ask(messages.SetGoal(goal))

    def perceive(self, *stimuli: Stimulus) -> Reply[None]:
        """Send stimuli of any kind, in their order; the reply comes when the persona has perceived them."""
        return self._ask(messages.Perceive(stimuli))

    def act(self, *, steps: int | None = None, label: str = "") -> Reply[Episode]:
        """Run one episode, and deliver its speech to the others; the reply is the episode."""
        return self._ask(messages.StartEpisode(steps, label))

    def listen_and_act(self, content: str, speaker: PersonaRef | str = "", *, steps: int | None = None) -> Reply[Episode]:
        """Send speech to the persona, and run one episode; the reply is the episode."""
        return self._ask(messages.StartEpisode(steps, stimuli=(messages.Listen(content, name_of(speaker)).stimulus(),)))

    def see_and_act(self, content: str, *, steps: int | None = None) -> Reply[Episode]:
        """Show the persona a sight, and run one episode; the reply is the episode."""
        return self._ask(messages.StartEpisode(steps, stimuli=(messages.See(content).stimulus(),)))

    def think_and_act(self, content: str, *, steps: int | None = None) -> Reply[Episode]:
        """Give the persona a thought, and run one episode; the reply is the episode."""
        return self._ask(messages.StartEpisode(steps, stimuli=(messages.Think(content).stimulus(),)))

    def ask(self, question: str, asker: PersonaRef | str = "", *, label: str = "") -> Reply[Episode]:
        """Ask a question; the reply is the episode. Its speech is not delivered to other personas."""
        stimulus = messages.Listen(question, name_of(asker)).stimulus()
        return self._ask(messages.StartEpisode(None, label, silent=True, stimuli=(stimulus,)))

    def change_mind(
        self,
        *,
        goals: Sequence[str] | None = None,
        context: Sequence[str] | None = None,
        attention: str | None = None,
        emotions: str | None = None,
    ) -> Reply[MentalState]:
        """Change fields of the mental state; the reply is the new state."""
        return self._ask(
            messages.ChangeMind(_texts("change_mind.goals", goals), _texts("change_mind.context", context), attention, emotions)
        )

    def remember(self, content: str, importance: float = 0.5) -> Reply[str]:
        """Store a memory; the reply is its id, or an empty text if the runtime has no memory."""
        return self._ask(messages.Remember(content, importance))

    def recall(self, question: str, limit: int = 5) -> Reply[tuple[str, ...]]:
        """Search its memories; the reply is the best matches, best first."""
        return self._ask(messages.Recall(question, limit))

    def consolidate(self, *, force: bool = True) -> Reply[int]:
        """Consolidate its memories; the reply is the number of episodes consolidated."""
        return self._ask(messages.Consolidate(force))

    def fetch_state(self) -> Reply[PersonaState]:
        """Request the state after every message sent before this one; the reply is the state."""
        return self._ask(messages.GetState())

    def stop(self) -> Reply[None]:
        """Stop its agent after the messages already sent; the reply comes when it has stopped."""
        return self.agent.stop()

    def _ask(self, message: Any) -> Reply[Any]:
        return self.agent.ask(message, timeout=self.timeout)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PersonaRef) and other.agent == self.agent

    def __hash__(self) -> int:
        return hash(self.agent)

    def __repr__(self) -> str:
        return f"<PersonaRef {self.name}>"

    def __deepcopy__(self, memo: object) -> PersonaRef:
        return self


def name_of(persona: PersonaRef | str) -> str:
    """Return the name of a persona that is given as a reference or a name. Raises `InvalidSetting`."""
    check_instance("persona", persona, (PersonaRef, str), "a PersonaRef, or a name")
    return persona if isinstance(persona, str) else persona.name


def _texts(where: str, values: Sequence[str] | None) -> tuple[str, ...] | None:
    if isinstance(values, str) or not isinstance(values, Sequence | None):
        # A text is a sequence too, but its letters are not meant.
        raise InvalidSetting(where, values, "a list of texts, or None")
    return None if values is None else tuple(values)
